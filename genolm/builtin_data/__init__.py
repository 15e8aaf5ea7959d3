"""The E. coli genome and promoter set that the quickstart uses; see README.md in this folder."""
