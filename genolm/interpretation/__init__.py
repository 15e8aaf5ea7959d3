"""What a model sees: maps of mutations, gradients, attention, motifs, variants and genome scans."""
