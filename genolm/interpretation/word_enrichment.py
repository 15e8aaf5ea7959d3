"""Motifs the way of DNABERT-viz (Ji et al. 2021): words of high-attention regions that are enriched.

A region is a run of bases whose attention is above the mean of its sequence and far above its smallest. A
word of the regions is enriched if more of the sequences hold it than chance would have it, compared with
background sequences: the upper tail of the hypergeometric distribution, corrected for the number of words by
Benjamini and Hochberg.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.alphabet import encode_bases
from genolm.kmers import build_kmer_names, compute_kmer_codes

MIN_REGION_BP = 4
MIN_OVER_LOWEST = 10.0


class EnrichedWord(NamedTuple):
    """A word and how many sequences hold it."""

    word: str
    num_foreground: int
    num_background: int
    p_value: float
    q_value: float
    """after Benjamini and Hochberg"""


def find_high_regions(
    attention: npt.NDArray[np.floating[Any]],
    *,
    min_region_bp: int = MIN_REGION_BP,
    min_over_lowest: float = MIN_OVER_LOWEST,
) -> list[tuple[int, int]]:
    """Find the runs of bases with high attention, as DNABERT-viz does: start and end, half-open.

    Args:
        attention: [length_bp].
        min_region_bp: shortest run.
        min_over_lowest: times the smallest attention of the sequence.

    >>> find_high_regions(np.array([1, 90, 80, 70, 95, 1, 99, 1.0]))
    [(1, 5)]
    """
    is_high = (attention > attention.mean()) & (attention > min_over_lowest * attention.min())
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_high.astype(np.int8), [0]])))
    runs = edges.reshape(-1, 2).tolist()
    return [(start, end) for start, end in runs if end - start >= min_region_bp]


def find_enriched_words(
    sequences: Sequence[str],
    attention: Sequence[npt.NDArray[np.floating[Any]]],
    background: Sequence[str],
    *,
    word_bp: int = 6,
    max_q_value: float = 0.05,
) -> list[EnrichedWord]:
    """Find the words of high-attention regions that more sequences hold than background ones do.

    Args:
        sequences: upper-case DNA.
        attention: [length_bp] of each.
        background: sequences without what is sought, such as negatives or shuffled sequences.
        word_bp: bases of a word, 1 to 12.
        max_q_value: a false discovery rate.

    Returns:
        The words, that of the smallest p-value first.
    """
    from scipy.stats import hypergeom

    in_regions = _count_holders(
        [
            sequence[start:end]
            for sequence, row in zip(sequences, attention, strict=True)
            for start, end in find_high_regions(row, min_region_bp=word_bp)
        ],
        word_bp,
    )
    tested = np.flatnonzero(in_regions)
    if len(tested) == 0:
        return []
    found = _count_holders(sequences, word_bp)[tested]
    elsewhere = _count_holders(background, word_bp)[tested]
    total = len(sequences) + len(background)
    p_values = hypergeom.sf(found - 1, total, found + elsewhere, len(sequences))
    q_values = correct_p_values(p_values)
    names = build_kmer_names(word_bp)
    order = np.lexsort((tested, p_values))
    return [
        EnrichedWord(
            names[tested[i]], int(found[i]), int(elsewhere[i]), float(p_values[i]), float(q_values[i])
        )
        for i in order.tolist()
        if q_values[i] <= max_q_value
    ]


def keep_words(
    sequence: str, values: npt.NDArray[np.floating[Any]], words: Sequence[str]
) -> npt.NDArray[np.floating[Any]]:
    """Return the values of the bases that one of the words covers, and 0 elsewhere.

    >>> keep_words("AACGA", np.ones(5), ["CG"]).tolist()
    [0.0, 0.0, 1.0, 1.0, 0.0]
    """
    covered = np.zeros(len(sequence), dtype=bool)
    for word in words:
        start = sequence.find(word)
        while start >= 0:
            covered[start : start + len(word)] = True
            start = sequence.find(word, start + 1)
    return np.where(covered, values, 0)


def correct_p_values(p_values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return q-values after Benjamini and Hochberg 1995.

    >>> correct_p_values(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.04, 0.04]
    """
    from scipy.stats import false_discovery_control

    return np.asarray(false_discovery_control(p_values), dtype=np.float64)


def _count_holders(sequences: Sequence[str], word_bp: int) -> npt.NDArray[np.int64]:
    """Count how many sequences hold each word: int64 [4^word_bp]."""
    counts = np.zeros(4**word_bp, dtype=np.int64)
    for sequence in sequences:
        words = compute_kmer_codes(encode_bases(sequence), k=word_bp)
        counts[np.unique(words[words >= 0])] += 1
    return counts
