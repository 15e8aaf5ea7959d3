"""Peaks of a scan: overlapping windows above the threshold become one interval with its highest value."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.interpretation.scan.blocks import Values

Places = npt.NDArray[np.int64]
MAX_BED_SCORE = 1000


class Peaks(NamedTuple):
    """Peaks on one strand of a contig, sorted; 0-based and half-open."""

    starts: Places
    """[peaks]"""
    ends: Places
    """[peaks]"""
    summits: Places
    """[peaks], the base of the best window that its value stands for; of equals the first"""
    values: Values
    """[peaks], of the best window"""


def merge_windows(starts: Places, values: Values, *, window_bp: int, place_bp: int) -> Peaks:
    """Join windows that overlap.

    Args:
        starts: int64 [windows], sorted; of the windows above the threshold alone.
        values: float32 [windows].
        window_bp: bases of a window.
        place_bp: base of a window, from its left end, that its value stands for.

    >>> peaks = merge_windows(
    ...     np.array([0, 3, 9]), np.array([0.6, 0.9, 0.7], dtype=np.float32), window_bp=5, place_bp=2
    ... )
    >>> peaks.starts.tolist(), peaks.ends.tolist(), peaks.summits.tolist()
    ([0, 9], [8, 14], [5, 11])
    """
    if not len(starts):
        none = np.empty(0, dtype=np.int64)
        return Peaks(none, none, none, np.empty(0, dtype=np.float32))
    firsts = np.flatnonzero(np.diff(starts, prepend=starts[0] - window_bp) >= window_bp)
    lasts = np.append(firsts[1:], len(starts)) - 1
    best = np.maximum.reduceat(values, firsts)
    peak_of = np.repeat(np.arange(len(firsts)), lasts - firsts + 1)
    is_best = np.flatnonzero(values == best[peak_of])
    summits = starts[is_best[np.unique(peak_of[is_best], return_index=True)[1]]] + place_bp
    return Peaks(starts[firsts], starts[lasts] + window_bp, summits, best)


def format_bed(contig: str, peaks_by_strand: Sequence[tuple[str, Peaks]]) -> str:
    """Write the peaks of a contig as 6 columns of BED, sorted by place, then strand.

    The name tells the summit, counted from 1; the score is the highest value times 1000, from 0 to 1000.
    """
    rows = [
        (start, end, strand, f"{contig}\t{start}\t{end}\tsummit_{summit + 1}\t{score}\t{strand}\n")
        for strand, peaks in peaks_by_strand
        for start, end, summit, score in zip(
            peaks.starts.tolist(),
            peaks.ends.tolist(),
            peaks.summits.tolist(),
            np.clip(np.round(peaks.values.astype(np.float64) * MAX_BED_SCORE), 0, MAX_BED_SCORE)
            .astype(int)
            .tolist(),
            strict=True,
        )
    ]
    return "".join(row[-1] for row in sorted(rows))
