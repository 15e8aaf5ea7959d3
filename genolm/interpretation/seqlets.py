"""Motifs from attributions: seqlets, the stretches that stand out, aligned to position frequency matrices.

In three plain steps, where TF-MoDISco (Shrikumar et al. 2018) has clusters and many more:

1. Seqlets: the windows of each sequence with the highest summed contribution, highest first, none overlapping
   one before it, as long as the sum lies among the highest of all windows.
2. Seed: the word with the most contribution over all seqlets, each seqlet counting it once.
3. Alignment: in each seqlet the place that fits the matrix best; those that fit make the next matrix, a few
   times. What belongs to the motif is taken out, and the next seed is sought in the rest.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.alphabet import BASES, UNKNOWN_CODE, encode_bases
from genolm.errors import SettingsError

MAX_MOTIF_BP = 10
_PSEUDOCOUNT = 0.5
_MIN_FIT = 0.5  # of the best score that a matrix gives; a seqlet below it does not belong
_ROUNDS = 6
Numbers = npt.NDArray[np.floating[Any]]


class Seqlets(NamedTuple):
    """Windows of sequences."""

    owners: npt.NDArray[np.int64]
    """[seqlets], number of the sequence"""
    starts: npt.NDArray[np.int64]
    """[seqlets], 0-based"""
    window_bp: int


class Motif(NamedTuple):
    """A motif and the places that it was made of."""

    frequencies: npt.NDArray[np.float64]
    """[width_bp, 4], in the order of `genolm.alphabet.BASES`, A T C G"""
    owners: npt.NDArray[np.int64]
    """[sites], number of the sequence"""
    starts: npt.NDArray[np.int64]
    """[sites], 0-based"""

    @property
    def num_sites(self) -> int:
        """Number of aligned places."""
        return len(self.starts)


def find_seqlets(
    contributions: Sequence[Numbers], *, window_bp: int = 12, min_quantile: float = 0.75
) -> Seqlets:
    """Find the windows that stand out.

    Args:
        contributions: [length_bp] of each sequence; NaN counts as 0.
        window_bp: bases of a window; shorter sequences have none.
        min_quantile: of the sums of all windows; one must reach it, and be above 0.

    Raises:
        SettingsError: a number is out of range.

    >>> find_seqlets([np.array([0, 0, 1, 2, 0, 0.1])], window_bp=2, min_quantile=0.5).starts.tolist()
    [2]
    """
    if window_bp < 1 or not 0 <= min_quantile < 1:
        raise SettingsError(
            found=f"windows of {window_bp} bp above the quantile {min_quantile}",
            expected="at least 1 bp, and a quantile from 0 to below 1",
            remedy="choose for example 12 and 0.75",
        )
    sums = [_sum_windows(np.nan_to_num(row), window_bp) for row in contributions]
    everything = np.concatenate([*sums, np.zeros(0)])
    threshold = float(np.quantile(everything, min_quantile)) if len(everything) else 0.0
    owners, starts = [], []
    for owner, row in enumerate(sums):
        left = row.copy()
        while len(left) and (best := int(left.argmax())) >= 0 and left[best] >= threshold and left[best] > 0:
            owners.append(owner)
            starts.append(best)
            left[max(best - window_bp + 1, 0) : best + window_bp] = -np.inf
    return Seqlets(np.array(owners, dtype=np.int64), np.array(starts, dtype=np.int64), window_bp)


def build_motifs(
    sequences: Sequence[str],
    contributions: Sequence[Numbers],
    seqlets: Seqlets,
    *,
    motif_bp: int = 6,
    max_motifs: int = 5,
    min_sites: int = 10,
) -> list[Motif]:
    """Align seqlets to motifs, that of the most contribution first.

    Args:
        sequences: upper-case DNA.
        contributions: [length_bp] of each.
        seqlets: of these sequences; a motif may reach over the end of one by half of its width.
        motif_bp: width of a motif, 1 to 10.
        max_motifs: most motifs.
        min_sites: fewest seqlets of a motif.

    Raises:
        SettingsError: motif_bp is out of range.
    """
    if not 1 <= motif_bp <= MAX_MOTIF_BP:
        raise SettingsError(
            found=f"motifs of {motif_bp} bp",
            expected=f"1 to {MAX_MOTIF_BP} bp",
            remedy="choose for example 6",
        )
    words = _cut_words(sequences, contributions, seqlets, motif_bp)
    left = np.ones(len(seqlets.owners), dtype=bool)
    motifs: list[Motif] = []
    while len(motifs) < max_motifs and left.sum() >= min_sites:
        seed = _find_seed(words, left)
        if seed is None:
            break
        frequencies = np.eye(len(BASES))[seed]
        for _ in range(_ROUNDS):
            offsets, belongs = _fit(words.codes, frequencies)
            belongs &= left
            if not belongs.any():
                break
            frequencies = _count(words.codes[belongs, offsets[belongs]])
        if belongs.sum() >= min_sites:
            place = words.starts[belongs, offsets[belongs]]
            motifs.append(Motif(frequencies, seqlets.owners[belongs], place))
        if not belongs.any():
            break
        left &= ~belongs
    return motifs


class _Words(NamedTuple):
    """The words of a motif's width in each seqlet."""

    codes: npt.NDArray[np.uint8]
    """[seqlets, offsets, motif_bp]; 4 also beyond the ends of a sequence"""
    weights: npt.NDArray[np.float64]
    """[seqlets, offsets], summed contribution"""
    starts: npt.NDArray[np.int64]
    """[seqlets, offsets], place in the sequence"""


def _sum_windows(values: Numbers, window_bp: int) -> npt.NDArray[np.float64]:
    if len(values) < window_bp:
        return np.zeros(0)
    return np.convolve(values, np.ones(window_bp), mode="valid")


def _cut_words(
    sequences: Sequence[str], contributions: Sequence[Numbers], seqlets: Seqlets, motif_bp: int
) -> _Words:
    margin = motif_bp // 2
    num_offsets = max(seqlets.window_bp + 2 * margin - motif_bp + 1, 1)
    longest = max(map(len, sequences), default=0) + 2 * margin + seqlets.window_bp + motif_bp
    codes = np.full((len(sequences), longest), UNKNOWN_CODE, dtype=np.uint8)
    values = np.zeros((len(sequences), longest))
    for number, (sequence, row) in enumerate(zip(sequences, contributions, strict=True)):
        codes[number, margin : margin + len(sequence)] = encode_bases(sequence)
        values[number, margin : margin + len(sequence)] = np.nan_to_num(row)
    first = seqlets.starts[:, None] + np.arange(num_offsets)
    place = first[..., None] + np.arange(motif_bp)
    owner = seqlets.owners[:, None, None]
    return _Words(codes[owner, place], values[owner, place].sum(axis=2), first - margin)


def _find_seed(words: _Words, left: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64] | None:
    """Return the codes of the word with the most contribution; None if no word has any."""
    motif_bp = words.codes.shape[2]
    powers = len(BASES) ** np.arange(motif_bp - 1, -1, -1)
    known = (words.codes < UNKNOWN_CODE).all(axis=2) & left[:, None] & (words.weights > 0)
    if not known.any():
        return None
    numbers = (words.codes.astype(np.int64) * powers).sum(axis=2)[known]
    owners = np.nonzero(known)[0]
    weights = words.weights[known]
    order = np.argsort(-weights, kind="stable")  # so that a seqlet's best place of a word is kept
    _, first = np.unique(np.stack([owners, numbers])[:, order], axis=1, return_index=True)
    kept = order[first]
    totals = np.bincount(numbers[kept], weights=weights[kept])
    return int(totals.argmax()) // powers % len(BASES)


def _fit(
    codes: npt.NDArray[np.uint8], frequencies: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return the offset where each seqlet fits a matrix best, and whether it belongs to it."""
    smooth = (frequencies + 0.05) / (1 + 0.05 * len(BASES))
    log_odds = np.log2(smooth * len(BASES))
    table = np.concatenate([log_odds, log_odds.min(axis=1, keepdims=True)], axis=1)
    scores = table[np.arange(codes.shape[2]), codes].sum(axis=2)
    return scores.argmax(axis=1), scores.max(axis=1) >= _MIN_FIT * log_odds.max(axis=1).sum()


def _count(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Return the frequencies of the bases in each column of aligned words [sites, motif_bp]."""
    counts = (codes[..., None] == np.arange(len(BASES))).sum(axis=0) + _PSEUDOCOUNT / len(BASES)
    return counts / counts.sum(axis=1, keepdims=True)
