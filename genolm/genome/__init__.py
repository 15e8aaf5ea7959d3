"""Layer 1, genomes as files: `fasta` reads and checks sequences, `intervals` holds coordinates and BED."""
