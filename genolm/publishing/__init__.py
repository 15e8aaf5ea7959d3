"""Folders for the Hugging Face hub: models, corpora and labeled data, each with its card."""
