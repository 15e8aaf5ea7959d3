"""The mixing step of SplitMix64: chance as a function of a number, without a state to carry."""

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]


def scramble(words: Words) -> Words:
    """Return the finalizer of SplitMix64 (Steele, Lea and Flood 2014) of each word; it is one to one.

    >>> hex(int(scramble(np.array([0x9E3779B97F4A7C15], dtype=np.uint64))[0]))
    '0xe220a8397b1dcdaf'
    """
    words = words ^ (words >> np.uint64(30))  # a new array; the steps after it need no more memory
    words *= np.uint64(0xBF58476D1CE4E5B9)
    words ^= words >> np.uint64(27)
    words *= np.uint64(0x94D049BB133111EB)
    words ^= words >> np.uint64(31)
    return words
