"""How much of what is hidden can be read from the tokens around it, without any model."""

import numpy as np

from genolm.alphabet import BASES, Codes
from genolm.tokenization.scheme import MASK_ID, NUM_SPECIAL_TOKENS, KmerScheme
from genolm.training.masking.spans import find_seen_bases
from genolm.training.masking.windows import MaskedBatch

CHANCE = 1 / len(BASES)


def compute_copying_accuracy(codes: Codes, batch: MaskedBatch, scheme: KmerScheme) -> float:
    """Return how often a decoder that only copies tells a hidden base right.

    It is asked for the hidden bases that at least one [MASK] sees, takes the base that most of the other
    tokens show there, and guesses where none shows any, or between equals. So 0.25 is chance, and anything
    above it is read off the input.

    Args:
        codes: uint8 [B, L], the true base codes.
        batch: of `mask_windows`, not empty.
        scheme: k-mer scheme.

    Returns:
        A share of the bases asked for; nan if there are none.
    """
    num_tokens = scheme.count_tokens(codes.shape[1])
    shown = np.zeros((len(codes), num_tokens), dtype=np.int64)
    width = min(num_tokens, batch.input_ids.shape[1] - 2)
    shown[:, :width] = batch.input_ids[:, 1 : 1 + width]
    asked = batch.hidden & find_seen_bases(shown == MASK_ID, scheme, length_bp=codes.shape[1])
    rows, numbers = np.nonzero(shown >= NUM_SPECIAL_TOKENS)
    kmers = shown[rows, numbers] - NUM_SPECIAL_TOKENS
    votes = np.zeros((*codes.shape, len(BASES)), dtype=np.int64)
    for offset in range(scheme.k):
        bases = kmers // 4 ** (scheme.k - 1 - offset) % 4
        np.add.at(votes, (rows, numbers * scheme.stride + offset, bases), 1)
    is_best = (votes == votes.max(axis=2, keepdims=True))[asked]
    is_right = is_best[np.arange(len(is_best)), codes[asked]]
    return float((is_right / is_best.sum(axis=1)).mean()) if len(is_best) else float("nan")
