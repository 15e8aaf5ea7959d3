"""Which bases are hidden in spans, and which k-mer tokens see them.

Shapes: B rows, L bases, N k-mer tokens (without [CLS] and [SEP]).
"""

from functools import lru_cache
from math import ceil, log
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.tokenization.scheme import KmerScheme
from genolm.training.masking.chance import Words, are_chosen, draw_words, to_lower_fractions

Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]
SpanLengths = Literal["fixed", "geometric"]

_LONGEST_TAIL = 1e-4  # share of geometric lengths that are cut, so that a row asks only a few bases before it
_RARE = 1e-7  # a share of windows without a span that no longer moves the rate
_BISECTIONS = 60


class SpanLaw(NamedTuple):
    """How often spans begin and how long they are."""

    rate: float
    """expected share of hidden bases"""
    mean_bp: int
    """bases of a span"""
    lengths: SpanLengths
    """all of that length, or geometric with that mean"""


class TokenGroups(NamedTuple):
    """The tokens that see hidden bases, in groups that share one fate."""

    tokens: Numbers
    """[tokens]; row * N + number of each token that sees a hidden base, rising"""
    group_of: Numbers
    """[tokens]; number of the group"""
    firsts: Numbers
    """[groups]; row * N + number of the first token of each group"""


@lru_cache(maxsize=64)
def compute_survival(law: SpanLaw) -> npt.NDArray[np.float64]:
    """Return the probability that a span has at least 1, 2, ... bases, float64 [longest_bp].

    >>> compute_survival(SpanLaw(0.15, 3, "fixed")).tolist()
    [1.0, 1.0, 1.0]
    >>> compute_survival(SpanLaw(0.15, 2, "geometric"))[:4].tolist()
    [1.0, 0.5, 0.25, 0.125]
    """
    stay, longest_bp = 1.0, law.mean_bp
    if law.lengths == "geometric" and law.mean_bp > 1:
        stay = 1 - 1 / law.mean_bp
        longest_bp = ceil(log(_LONGEST_TAIL) / log(stay))
    survival = np.power(stay, np.arange(longest_bp), dtype=np.float64)
    survival.setflags(write=False)
    return survival


@lru_cache(maxsize=4096)
def solve_start_rate(law: SpanLaw, num_bases: int | None = None) -> float:
    """Return the probability that a span begins at a base, so that the expected hidden share is the rate.

    A base is hidden unless no span that could reach it begins: 1 - prod_j (1 - q S_j), where S_j is the
    probability that a span has at least j bases. A window in which nothing is hidden gets one span, so in
    a window of n bases q is a little lower, such that both ways together hide the rate. It is 0 where one
    span alone hides more than the rate: a share of mean / (n + mean - 1).

    Args:
        law: rate and lengths of spans.
        num_bases: bases of the window; None for a long one.

    >>> round(solve_start_rate(SpanLaw(0.19, 2, "fixed")), 6)
    0.1
    >>> solve_start_rate(SpanLaw(0.15, 1, "fixed"), 5)
    0.0
    """
    survival = compute_survival(law)
    mean_bp = survival.sum()

    def compute_share(start_rate: float) -> float:
        misses = np.log1p(-start_rate * survival)
        share = -np.expm1(misses.sum())
        if num_bases is not None:
            none = np.exp(num_bases * np.log1p(-start_rate) + misses[1:].sum())
            share += none * mean_bp / (num_bases + mean_bp - 1)
        return float(share)

    low, high = 0.0, law.rate
    if compute_share(low) >= law.rate:
        return low
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if compute_share(middle) < law.rate else (low, middle)
    return (low + high) / 2


def hide_bases(hideable: Flags, *, law: SpanLaw, keys: Words, purpose: int) -> Flags:
    """Choose spans of bases; where a row has a base to hide, at least one is hidden.

    Spans begin at every position with the same probability, and also before the row, so that its first
    bases are hidden as often as the others. They overlap and touch as they fall, and are cut where there is
    nothing to hide.

    Args:
        hideable: bool [B, L], bases that may be hidden.
        law: rate and lengths of spans.
        keys: uint64 [B], all that the chance of a row depends on.
        purpose: of `draw_words`.

    Returns:
        bool [B, L].
    """
    survival = compute_survival(law)
    before_bp = len(survival) - 1
    positions = np.arange(-before_bp, hideable.shape[1], dtype=np.int64)
    words = draw_words(keys[:, None], positions, purpose=purpose)
    numbers = hideable.sum(axis=1)
    hidden = _lay_spans(are_chosen(words, _solve_rows(law, numbers)[:, None]), words, survival)
    hidden &= hideable
    empty = np.flatnonzero(~hidden.any(axis=1) & (numbers > 0))
    if len(empty):
        starts = _choose_one_start(words[empty], hideable[empty], survival)
        hidden[empty] = _lay_spans(starts, words[empty], survival) & hideable[empty]
    return hidden


def group_tokens(hidden: Flags, scheme: KmerScheme) -> TokenGroups:
    """Find the tokens that see a hidden base, in groups that share spans.

    Two tokens in a row are of one group if they see a hidden base in common, or (where tokens do not
    overlap) if a span goes on from one to the other.

    >>> hidden = np.zeros((1, 12), dtype=bool)
    >>> hidden[0, [2, 4, 9]] = True
    >>> groups = group_tokens(hidden, KmerScheme(k=3, stride=1))
    >>> groups.tokens.tolist(), groups.group_of.tolist()
    ([0, 1, 2, 3, 4, 7, 8, 9], [0, 0, 0, 0, 0, 1, 1, 1])
    """
    k, stride = scheme.k, scheme.stride
    sees = any_in_windows(hidden, k)[:, ::stride]
    goes_on = np.zeros_like(sees)  # from the token before
    if stride < k:
        goes_on[:, 1:] = any_in_windows(hidden, k - stride)[:, ::stride][:, 1 : sees.shape[1]]
    else:
        borders = np.arange(1, sees.shape[1]) * stride
        goes_on[:, 1:] = hidden[:, borders] & hidden[:, borders - 1]
    tokens = np.flatnonzero(sees)
    is_first = ~goes_on.reshape(-1)[tokens]
    return TokenGroups(tokens, np.cumsum(is_first) - 1, tokens[is_first])


def find_seen_bases(tokens: Flags, scheme: KmerScheme, *, length_bp: int) -> Flags:
    """Return which bases are seen by at least one of the flagged tokens, bool [B, length_bp].

    >>> find_seen_bases(np.array([[True, False, False]]), KmerScheme(k=3, stride=2), length_bp=8).tolist()
    [[True, True, True, False, False, False, False, False]]
    """
    starts = np.zeros((len(tokens), length_bp + scheme.k - 1), dtype=bool)
    starts[:, scheme.k - 1 :: scheme.stride][:, : tokens.shape[1]] = tokens
    return any_in_windows(starts, scheme.k)


def any_in_windows(flags: Flags, width: int) -> Flags:
    """Say of every window of `width` flags of a row whether any is set.

    >>> any_in_windows(np.array([[False, False, True, False, False]]), 2).tolist()
    [[False, True, True, False]]
    """
    done = 1
    while done < width:
        step = min(done, width - done)
        flags = flags[:, :-step] | flags[:, step:]
        done += step
    return flags


def _solve_rows(law: SpanLaw, numbers: Numbers) -> npt.NDArray[np.float64]:
    """Return the start rate of rows with so many bases to hide; one solution for each number there is."""
    long_bp = ceil(log(_RARE) / np.log1p(-solve_start_rate(law)))
    unique, row_of = np.unique(np.minimum(numbers, long_bp), return_inverse=True)
    return np.array([solve_start_rate(law, max(number, 1)) for number in unique.tolist()])[row_of]


def _lay_spans(starts: Flags, words: Words, survival: npt.NDArray[np.float64]) -> Flags:
    """Cover bases by spans from the flagged positions on; the first is len(survival) - 1 bp before."""
    width = starts.shape[1]
    before_bp = len(survival) - 1
    if before_bp == 0:
        return starts
    places = np.flatnonzero(starts)
    columns = places % width
    ends = columns + _read_lengths(words.reshape(-1)[places], survival)
    rows_at = (places - columns) // width * (width + 1)
    # As many spans are open at a base as have begun and not ended up to it.
    changes = np.bincount(rows_at + columns, minlength=len(starts) * (width + 1))
    changes -= np.bincount(rows_at + np.minimum(ends, width), minlength=len(changes))
    is_open = np.cumsum(changes) > 0
    return is_open.reshape(-1, width + 1)[:, before_bp:-1]


def _read_lengths(words: Words, survival: npt.NDArray[np.float64]) -> Numbers:
    """Return the bases of the span of each word: how many survival values lie above its fraction."""
    return len(survival) - np.searchsorted(survival[::-1], to_lower_fractions(words), side="right")


def _choose_one_start(words: Words, hideable: Flags, survival: npt.NDArray[np.float64]) -> Flags:
    """Flag one position of each row, each alike among those whose span has a base to hide."""
    length_bp = hideable.shape[1]
    positions = np.arange(words.shape[1]) - (len(survival) - 1)
    ends = np.minimum(positions + _read_lengths(words, survival), length_bp)
    sums = np.zeros((len(hideable), length_bp + 1), dtype=np.int64)
    np.cumsum(hideable, axis=1, out=sums[:, 1:])
    held = np.take_along_axis(sums, np.maximum(ends, 0), axis=1) - sums[:, np.maximum(positions, 0)]
    # The lowest word is as likely at any of them, whatever lies above the start rate.
    chosen = np.where(held > 0, words, np.uint64(2**64 - 1)).argmin(axis=1)
    return np.arange(words.shape[1]) == chosen[:, None]
