"""Chance without a state: a number is a function of a key, a purpose and a counter.

So what happens to a row of a batch does not depend on the other rows, on its place or on the padding.
"""

import numpy as np
import numpy.typing as npt

from genolm.splitmix import Words, scramble

Counters = npt.NDArray[np.int64]

_STEP = np.uint64(0x9E3779B97F4A7C15)  # of SplitMix64: the golden ratio as an odd number of 64 bits
_PURPOSE_STEP = 0xD1B54A32D192ED03  # another odd one, so that purposes are not steps of a counter
_LOW_BITS = np.uint64(0xFFFFFFFF)
_WORD_BITS = 64


def build_keys(seed: int, epoch: int, numbers: Counters) -> Words:
    """Return one key for each example of an epoch.

    Args:
        seed: of the run, from 0 on.
        epoch: counted from 0.
        numbers: int64, of the examples in the epoch.

    Returns:
        uint64 of the same shape.

    >>> keys = build_keys(0, 1, np.array([5, 6]))
    >>> [bool(keys[1] == build_keys(0, epoch, np.array([6]))[0]) for epoch in (1, 2)]
    [True, False]
    """
    start = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)
    return scramble(start + np.asarray(numbers, dtype=np.int64).view(np.uint64) * _STEP)


def draw_words(keys: Words, counters: Counters, *, purpose: int) -> Words:
    """Return 64 random bits for each key and counter: SplitMix64 (Steele, Lea and Flood 2014).

    Args:
        keys: uint64, of a shape that broadcasts with that of the counters.
        counters: int64, such as positions; below 0 too.
        purpose: what the words are for, from 0 on; words of two purposes have nothing to do with each other.

    Returns:
        uint64, of the common shape.
    """
    offset = (purpose + 1) * _PURPOSE_STEP % (1 << _WORD_BITS)
    streams = scramble(keys + np.uint64(offset))
    return scramble(streams + counters.view(np.uint64) * _STEP)


def to_fractions(words: Words) -> npt.NDArray[np.float64]:
    """Turn the upper 53 bits of each word into a number of [0, 1).

    >>> to_fractions(np.array([0, 1 << 63], dtype=np.uint64)).tolist()
    [0.0, 0.5]
    """
    return np.multiply(words >> np.uint64(11), 2.0**-53, dtype=np.float64)


def to_lower_fractions(words: Words) -> npt.NDArray[np.float64]:
    """Turn the lower 32 bits of each word into a number of [0, 1), not bound to a choice by the upper ones.

    >>> to_lower_fractions(np.array([(1 << 63) + (1 << 31)], dtype=np.uint64)).tolist()
    [0.5]
    """
    return np.multiply(words & _LOW_BITS, 2.0**-32, dtype=np.float64)


def are_chosen(words: Words, probabilities: npt.NDArray[np.float64] | np.float64) -> npt.NDArray[np.bool_]:
    """Say of each word whether it is among the given share of all words, below 1; exact to 2^-53."""
    return words < (probabilities * 2.0**_WORD_BITS).astype(np.uint64)
