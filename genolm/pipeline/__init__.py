"""A pipeline from one recipe: each stage is a folder, reused when it is finished; each can be run alone."""
