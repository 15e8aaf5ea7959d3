"""Positives of which most parts are replaced by random bases (DeePromoter, Oubounyt et al. 2019).

Such a negative keeps some of the motifs of a promoter in their places, so that a single motif is not enough
to tell the two apart.
"""

from collections.abc import Sequence

import numpy as np

from genolm.alphabet import BASES, Codes
from genolm.errors import DataError, SettingsError

NUM_PARTS, NUM_KEPT = 20, 8


def substitute_parts(
    sequences: Sequence[Codes],
    *,
    seed: int,
    num_parts: int = NUM_PARTS,
    num_kept: int = NUM_KEPT,
    first_index: int = 0,
) -> list[Codes]:
    """Cut sequences into parts of equal length, keep some, and fill the others with random bases.

    Lengths of parts differ by at most one base. Every base is as likely as another, also the one that was
    there.

    Args:
        sequences: uint8 base codes.
        seed: what sequence i becomes depends on the seed, first_index + i, and itself alone.
        num_parts: parts that a sequence is cut into.
        num_kept: parts that stay, drawn at random.
        first_index: number of the first sequence.

    Returns:
        uint8 base codes, of the same lengths.

    Raises:
        SettingsError: not 0 <= num_kept < num_parts.
        DataError: a sequence has fewer bases than parts.

    >>> from genolm.alphabet import decode_bases, encode_bases
    >>> negatives = substitute_parts([encode_bases("AAAAAAAAAA")], seed=1, num_parts=5, num_kept=3)
    >>> decode_bases(negatives[0])
    'GTAAAAAACT'
    """
    if not 0 <= num_kept < num_parts:
        raise SettingsError(
            found=f"{num_kept} of {num_parts} parts to keep",
            expected="fewer than there are",
            remedy=f"keep {NUM_KEPT} of {NUM_PARTS}",
        )
    negatives = []
    for index, codes in enumerate(sequences, start=first_index):
        if len(codes) < num_parts:
            raise DataError(
                found=f"a positive of {len(codes)} bp",
                expected=f"at least {num_parts} bp, to cut it into {num_parts} parts",
                remedy="remove it, or use another method",
            )
        generator = np.random.default_rng([seed, index])
        kept = generator.permutation(num_parts) < num_kept
        part = np.arange(len(codes)) * num_parts // len(codes)
        random = generator.integers(len(BASES), size=len(codes), dtype=np.uint8)
        negatives.append(np.where(kept[part], codes, random))
    return negatives
