"""Checkpoints of others, read without running anything of theirs, and written as folders of this package."""
