"""The windows of one epoch, each a function of a key and of its number: nothing is replayed to find a place.

So they are the same for every batch size, and an epoch can be taken up anywhere, by any number of workers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Literal

import numpy as np

from genolm.corpus.dnabert_windows import count_dnabert_samples, cut_dnabert_windows
from genolm.corpus.windows import Positions, Tiling, Weights, Windows, WindowSampler, check_weights
from genolm.errors import SettingsError
from genolm.splitmix import scramble

_SHUFFLE_ROUNDS = 8
_CUTS, _SAMPLES, _PHASES, _ORDER = range(4)  # what a stream of chance is for


@dataclass(frozen=True, kw_only=True)
class WindowSettings:
    """Which windows of a corpus an epoch visits, and how they come in batches."""

    kind: Literal["random", "tiles", "dnabert"] = "random"
    """drawn anywhere; laid over every row; or DNABERT's mix of cuts and samples"""
    length_bp: int = 512
    """bp of a window; with dnabert, of the longest"""
    min_bp: int = 5
    """bp of the shortest window; with tiles, a row shorter than length_bp is one window if it has this many;
    not read with random, where a row shorter than length_bp has no window"""
    depth: float = 1.0
    """with random, how often a base is seen in an epoch, on average; fixed to 1 with tiles without overlap,
    and to 2 with dnabert"""
    overlap_bp: int = 0
    """with tiles, bp that a window shares with the next"""
    vary_phase: bool = True
    """with tiles, let the tiling of every row begin elsewhere in each epoch"""
    tails: Literal["flush", "drop"] = "flush"
    """with tiles, cover the ends of a row by windows flush with them, or leave them out"""
    shuffle: bool = True
    """with tiles and dnabert, visit the windows in an order drawn anew in each epoch"""
    batch_size: int = 256
    """windows"""
    drop_last: bool = False
    """leave out the last batch of an epoch if it is not full"""
    with_soft_mask: bool = False
    """also tell which bases are soft-masked"""
    buffer_bp: int = 64_000_000
    """bp held in memory when the corpus is a stream"""

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            SettingsError: a setting is out of its range; all such are named.
        """
        rules = {
            "kind: random, tiles or dnabert": self.kind in ("random", "tiles", "dnabert"),
            "tails: flush or drop": self.tails in ("flush", "drop"),
            "1 <= min_bp <= length_bp": 1 <= self.min_bp <= self.length_bp or self.kind == "random",
            "length_bp from 1": self.length_bp >= 1,
            "depth above 0": 0 < self.depth < float("inf"),
            "overlap_bp from 0 to length_bp - 1": 0 <= self.overlap_bp < self.length_bp,
            "batch_size from 1": self.batch_size >= 1,
            "buffer_bp of at least length_bp": self.buffer_bp >= self.length_bp,
        }
        if broken := [rule for rule, holds in rules.items() if not holds]:
            rules_text = ", ".join(broken)
            found = ", ".join(f"{name} = {value}" for name, value in vars(self).items() if name in rules_text)
            raise SettingsError(found=found, expected=rules_text, remedy="correct the settings")

    @property
    def min_row_bp(self) -> int:
        """The bp that a row must have to give a window."""
        return self.length_bp if self.kind == "random" else self.min_bp


class EpochWindows:
    """The windows of one epoch over the rows of a corpus, in the order of the visit."""

    def __init__(
        self,
        row_starts: Positions,
        *,
        settings: WindowSettings,
        key: Sequence[int],
        row_weights: Weights | None = None,
    ) -> None:
        """Prepare the windows; random ones and tiles take memory per row, dnabert also per cut.

        Args:
            row_starts: int64 [rows + 1], as in `CorpusBases`.
            settings: which windows.
            key: numbers from 0 on that name the epoch, such as seed and epoch; they decide every choice.
            row_weights: float64 [rows], above 0, for windows drawn at random; the number of windows grows
                with them, so let them be 1 on average.

        Raises:
            SettingsError: the weights are out of range.
            DataError: no row is long enough.
        """
        self._settings, self._key = settings, tuple(key)
        self._num_cuts = 0
        row_bp = np.diff(row_starts)
        if row_weights is not None:
            check_weights(row_weights, num_rows=len(row_bp))
        weighted_bp = float(row_bp.sum() if row_weights is None else (row_weights * row_bp).sum())
        min_bp, length_bp = settings.min_row_bp, settings.length_bp
        if settings.kind == "tiles":
            self._tiling = self._build_tiling(row_starts)
            self._num = len(self._tiling)
            return
        self._sampler = WindowSampler(row_starts, length_bp=length_bp, min_bp=min_bp, row_weights=row_weights)
        self._num = max(1, round(settings.depth * weighted_bp / length_bp))
        if settings.kind == "dnabert":
            self._cuts = cut_dnabert_windows(
                row_starts, min_bp=min_bp, max_bp=length_bp, generator=self._build_generator(_CUTS)
            )
            self._num_cuts = len(self._cuts.starts)
            self._num = self._num_cuts + count_dnabert_samples(weighted_bp, min_bp=min_bp, max_bp=length_bp)

    def __len__(self) -> int:
        """Return the number of windows."""
        return self._num

    def locate(self, first: int, last: int) -> Windows:
        """Return the windows from number `first` up to, not including, number `last`."""
        numbers = np.arange(first, last)
        if self._settings.kind != "random" and self._settings.shuffle:
            numbers = shuffle_numbers(numbers, total=self._num, key=(*self._key, _ORDER))
        if self._settings.kind == "tiles":
            return self._tiling.locate(numbers)
        drawn = self._sampler.draw(last - first, generator=self._build_generator(_SAMPLES, skip=first))
        if self._num_cuts:
            is_cut = numbers < self._num_cuts
            for values, cuts in zip(drawn, self._cuts, strict=True):
                values[is_cut] = cuts[numbers[is_cut]]
        return drawn

    def _build_tiling(self, row_starts: Positions) -> Tiling:
        settings = self._settings
        step_bp = settings.length_bp - settings.overlap_bp
        phase_bp: int | Positions = 0
        if settings.vary_phase:
            phase_bp = self._build_generator(_PHASES).integers(step_bp, size=len(row_starts) - 1)
        return Tiling(
            row_starts,
            length_bp=settings.length_bp,
            overlap_bp=settings.overlap_bp,
            phase_bp=phase_bp,
            min_bp=settings.min_bp,
            tails=settings.tails,
        )

    def _build_generator(self, purpose: int, *, skip: int = 0) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(_mix((*self._key, purpose))).advance(skip))


def shuffle_numbers(numbers: Positions, *, total: int, key: Sequence[int]) -> Positions:
    """Map numbers below `total` one to one onto numbers below `total`, by chance that the key decides.

    This is a random order of which any part can be had without the rest: a Feistel network on a grid of
    a times b >= total places; who falls outside goes on until he is inside (Black and Rogaway 2002, "Ciphers
    with arbitrary finite domains", methods 2 and 3).

    >>> sorted(shuffle_numbers(np.arange(7), total=7, key=(0, 1)).tolist())
    [0, 1, 2, 3, 4, 5, 6]
    """
    num_left = isqrt(max(total - 1, 0)) + 1
    num_right = -(-total // num_left)
    sides = (np.uint64(num_left), np.uint64(num_right))
    round_keys = _mix(key).generate_state(_SHUFFLE_ROUNDS, np.uint64)
    shuffled = numbers.astype(np.uint64)
    pending = np.arange(len(shuffled))
    while len(pending):
        halves = list(np.divmod(shuffled[pending], sides[1]))
        for turn, round_key in enumerate(round_keys):
            side = turn % 2
            halves[side] = (halves[side] + scramble(halves[1 - side] ^ round_key) % sides[side]) % sides[side]
        shuffled[pending] = halves[0] * sides[1] + halves[1]
        pending = pending[shuffled[pending] >= total]
    return shuffled.astype(np.int64)


def _mix(key: Sequence[int]) -> np.random.SeedSequence:
    return np.random.SeedSequence(list(key))
