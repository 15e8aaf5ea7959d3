"""From bases to token ids: schemes, the fast encoder, and plain tokenizer.json files."""
