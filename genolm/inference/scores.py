"""What a language model says of sequences as a whole."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Scores(NamedTuple):
    """The bits that a language model needs for each sequence, and for how many of its bases."""

    bits: npt.NDArray[np.float64]
    """[n], -log2 of the probability of the scored bases, in sum"""
    bases: npt.NDArray[np.int64]
    """[n], bases that are scored"""

    @property
    def bits_per_base(self) -> npt.NDArray[np.float64]:
        """[n]; NaN where no base is scored.

        >>> Scores(np.array([3.0, 0.0]), np.array([2, 0])).bits_per_base.tolist()
        [1.5, nan]
        """
        return np.divide(self.bits, self.bases, out=np.full(len(self.bits), np.nan), where=self.bases > 0)
