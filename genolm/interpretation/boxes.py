"""Boxes: short stretches at a nearly fixed distance from each other that many sequences share, such as the
-10 and the -35 box of promoters, found in what a model sees of the sequences.

In three steps, none of which knows a consensus or a place:

1. First box: one site in each sequence. It is at first the window of the highest contribution; then, until
   nothing moves, the average of the sites is built, and each sequence takes the site that is most like it.
   What is averaged and compared are the contributions at the bases that stand there (the contribution weight
   matrix of TF-MoDISco, Shrikumar et al. 2018), so that a base counts as much as it matters to the model.
2. Place of the next box: with the sequences aligned by their first box, the window of the highest average
   contribution that does not overlap with a box found before, nor touches it by less than a width.
3. Next box: as the first one, among the sites within a few bases of that place.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.alphabet import BASES, Codes
from genolm.errors import DataError

Contributions = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]
_MAX_ROUNDS = 50


class Box(NamedTuple):
    """A box: one site in each of several sequences."""

    starts: Places
    """[n], first base of the site, 0-based; -1 where a sequence has none"""
    contributions: npt.NDArray[np.float64]
    """[width_bp, 4], average over the sites of the contribution at the base that stands there, A T C G"""
    frequencies: npt.NDArray[np.float64]
    """[width_bp, 4], of the bases at the sites and of one more, shared out as those of all sequences"""
    log_odds: npt.NDArray[np.float64]
    """[width_bp, 4], log2 of these frequencies over those of the bases of all sequences"""

    @property
    def word(self) -> str:
        """The base of the highest log-odds of each column."""
        return "".join(BASES[code] for code in self.log_odds.argmax(axis=1))

    @property
    def num_sites(self) -> int:
        """How many sequences have a site."""
        return int((self.starts >= 0).sum())


def find_boxes(
    contributions: Contributions, codes: Codes, *, num_boxes: int = 2, width_bp: int = 6, reach_bp: int = 5
) -> list[Box]:
    """Find boxes, that of the highest contribution first.

    Args:
        contributions: [n, length_bp], what each base contributes to the score of its sequence.
        codes: uint8 [n, length_bp], the bases.
        num_boxes: most boxes; each further one is sought by its distance from the first, and there are fewer
            where no window is left.
        width_bp: bases of a box.
        reach_bp: how far a site of a further box may lie from the usual distance.

    Raises:
        DataError: the arrays do not fit each other, or there is no window.
    """
    if contributions.shape != codes.shape or codes.ndim != 2 or not len(codes) or codes.shape[1] < width_bp:
        raise DataError(
            found=f"contributions of shape {contributions.shape} for bases of shape {codes.shape}",
            expected=f"both [sequences, bases], of one sequence or more and at least {width_bp} bases",
            remedy="give sequences of one length and the contributions of their bases",
        )
    last = codes.shape[1] - width_bp
    boxes = [
        align_sites(contributions, codes, np.tile(np.arange(last + 1), (len(codes), 1)), width_bp=width_bp)
    ]
    first = boxes[0].starts[:, None]
    distances = np.arange(-last, last + 1)
    heights = _average_windows(contributions, first + distances, width_bp)
    for _ in range(1, num_boxes):
        for box in boxes:
            usual = int(np.median((box.starts - boxes[0].starts)[box.starts >= 0]))
            heights[abs(distances - usual) < 2 * width_bp] = -np.inf
        if not np.isfinite(heights).any():
            break
        distance = int(distances[heights.argmax()])
        near = first + distance + np.arange(-reach_bp, reach_bp + 1)
        boxes.append(align_sites(contributions, codes, near, width_bp=width_bp))
    return boxes


def align_sites(contributions: Contributions, codes: Codes, candidates: Places, *, width_bp: int) -> Box:
    """Choose one site in each sequence, so that they are like each other in what matters to the model.

    Args:
        contributions: [n, length_bp].
        codes: uint8 [n, length_bp].
        candidates: int64 [n, sites], where a site may begin; one that does not lie in the sequence is none.
        width_bp: bases of a site.

    >>> codes = np.array([[0, 3, 2, 0], [3, 2, 0, 0], [2, 3, 2, 1]], dtype=np.uint8)
    >>> values = np.array([[0, 2, 2, 0], [2, 2, 0, 0], [0, 1, 1, 0]], dtype=np.float32)
    >>> box = align_sites(values, codes, np.tile(np.arange(3), (3, 1)), width_bp=2)
    >>> box.word, box.starts.tolist(), box.contributions.max(axis=1).round(2).tolist()
    ('GC', [1, 0, 1], [1.67, 1.67])
    """
    is_inside = (candidates >= 0) & (candidates <= codes.shape[1] - width_bp)
    rows = np.flatnonzero(is_inside.any(axis=1))
    is_inside, kept = is_inside[rows], candidates[rows]
    places = np.where(is_inside, kept, 0)[..., None] + np.arange(width_bp)
    values = np.nan_to_num(contributions[rows[:, None, None], places]).astype(np.float64)
    bases = codes[rows[:, None, None], places]
    chosen = np.where(is_inside, values.sum(axis=2), -np.inf).argmax(axis=1)
    own = np.arange(len(rows))
    columns = np.arange(width_bp)
    for _ in range(_MAX_ROUNDS):
        matrix = _average_letters(values[own, chosen], bases[own, chosen])
        table = np.append(matrix, np.zeros((width_bp, 1)), axis=1)  # of an unknown base
        likeness = (values * table[columns, bases]).sum(axis=2)
        before, chosen = chosen, np.where(is_inside, likeness, -np.inf).argmax(axis=1)
        if (chosen == before).all():
            break
    starts = np.full(len(codes), -1, dtype=np.int64)
    starts[rows] = kept[own, chosen]
    sites = bases[own, chosen]
    background = _count_bases(codes.reshape(-1, 1)) + 0.5
    background /= background.sum()
    counts = _count_bases(sites) + background
    frequencies = counts / counts.sum(axis=1, keepdims=True)
    contributions_of_sites = _average_letters(values[own, chosen], sites)
    return Box(starts, contributions_of_sites, frequencies, np.log2(frequencies / background))


def _count_bases(bases: Codes) -> npt.NDArray[np.float64]:
    """Count the known bases in each column, [columns, 4]."""
    return (bases[..., None] == np.arange(len(BASES))).sum(axis=0).astype(np.float64)


def _average_letters(values: npt.NDArray[np.float64], bases: Codes) -> npt.NDArray[np.float64]:
    """Average values by column and base, [columns, 4]; for a base that it does not have a site counts 0."""
    is_base = bases[..., None] == np.arange(len(BASES))
    return (values[..., None] * is_base).sum(axis=0) / max(len(values), 1)


def _average_windows(contributions: Contributions, starts: Places, width_bp: int) -> npt.NDArray[np.float64]:
    """Average the summed contribution of windows over the sequences: float64 [windows].

    One that does not lie in a sequence counts as 0, so that windows that few sequences have are not the best.
    """
    sums = np.lib.stride_tricks.sliding_window_view(np.nan_to_num(contributions), width_bp, axis=1).sum(
        axis=2
    )
    is_inside = (starts >= 0) & (starts < sums.shape[1])
    found = np.take_along_axis(sums, np.where(is_inside, starts, 0), axis=1)
    averages: npt.NDArray[np.float64] = np.where(is_inside, found, 0.0).mean(axis=0, dtype=np.float64)
    return averages
