"""What a trained model says of the variants in a VCF file or a table."""
