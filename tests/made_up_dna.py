"""Sequence that means nothing."""

import numpy as np


def make_dna(length_bp: int, seed: int) -> str:
    """Random upper-case DNA."""
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), size=length_bp))
