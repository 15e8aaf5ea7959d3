"""The model card: what a run recorded, read, put into words and tables, and checked by the hub's rules."""
