"""From tokens to bases, and from one strand to the other.

The rule for what a token is worth: each token's value is divided evenly over the bases that it holds, and a
base has the sum of its shares. So the sum over a sequence stays, whatever the tokens: k-mers at any stride,
or BPE. A base in no token, at the end of a sequence whose length does not fit the stride, has 0.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from genolm.alphabet import BASES, COMPLEMENT_OF_CODE
from genolm.errors import DataError
from genolm.tokenization.scheme import KmerScheme
from genolm.tokenization.tokens import Tokens

Values = npt.NDArray[np.floating[Any]]


def find_token_lengths(ids: npt.NDArray[np.integer[Any]], tokens: Tokens) -> npt.NDArray[np.int64]:
    """Return how many bases each token holds, int64 [tokens]; `ids` without [CLS] and [SEP]."""
    return np.full(len(ids), tokens.k) if isinstance(tokens, KmerScheme) else tokens.token_bp[ids]


def divide_over_bases(
    values: Values, lengths_bp: npt.NDArray[np.int64], *, stride: int | None, length_bp: int
) -> npt.NDArray[np.float64]:
    """Divide the value of each token evenly over its bases.

    Args:
        values: [..., tokens], without [CLS] and [SEP].
        lengths_bp: [tokens], bases of each token.
        stride: bases from one token to the next; None if each begins where the one before ends.
        length_bp: bases of the sequence.

    Returns:
        float64 [..., length_bp].

    >>> divide_over_bases(np.array([3.0, 6.0]), np.array([3, 3]), stride=1, length_bp=5).tolist()
    [1.0, 3.0, 3.0, 2.0, 0.0]
    """
    starts = np.cumsum(lengths_bp) - lengths_bp if stride is None else np.arange(len(lengths_bp)) * stride
    holder = np.repeat(np.arange(len(lengths_bp)), lengths_bp)
    place = starts[holder] + np.arange(len(holder)) - (np.cumsum(lengths_bp) - lengths_bp)[holder]
    shares = (np.asarray(values) / np.maximum(lengths_bp, 1))[..., holder]
    divided = np.zeros((*shares.shape[:-1], length_bp))
    index: Any = (..., place)
    np.add.at(divided, index, shares)
    return divided


def turn_effects(effects: Values) -> Values:
    """Turn the effects of bases [length_bp, 4] on one strand into those on the other.

    >>> turn_effects(np.array([[1, 2, 3, 4], [5, 6, 7, 8]])).tolist()
    [[6, 5, 8, 7], [2, 1, 4, 3]]
    """
    return effects[::-1][:, COMPLEMENT_OF_CODE[: len(BASES)]]


def check_long_enough(sequence: str, tokens: Tokens, *, name: str, num_missing: int = 0) -> None:
    """Refuse a sequence that gives no token, also with so many bases missing.

    Raises:
        DataError: it is too short.
    """
    if len(sequence) < tokens.min_length_bp + num_missing:
        raise DataError(
            found=f"{name} of {len(sequence)} bp",
            expected=f"at least {tokens.min_length_bp + num_missing} bp, for one token of {tokens.name}",
            remedy="remove the sequence",
        )
