"""Masks of a masked language model: what is hidden, what is shown instead, the batches, and the score."""
