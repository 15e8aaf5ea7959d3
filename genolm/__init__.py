"""From a genome to a published, honestly evaluated genomic language model in Hugging Face format."""

__version__ = "0.1.0"
