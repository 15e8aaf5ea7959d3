"""Both strands of a sequence where a classifier predicts."""

from collections.abc import Sequence
from typing import Any

from genolm.alphabet import decode_bases, encode_bases, reverse_complement


def averages_strands(config: Any) -> bool:
    """Say whether the config of a classifier asks for the mean over both strands; most have no such entry."""
    return bool(getattr(config, "average_strands", False))


def turn_sequences(sequences: Sequence[str]) -> list[str]:
    """Return the other strand of each sequence; a letter that is no base becomes N.

    >>> turn_sequences(["AACG", "TNR"])
    ['CGTT', 'NNA']
    """
    return [decode_bases(reverse_complement(encode_bases(sequence))) for sequence in sequences]
