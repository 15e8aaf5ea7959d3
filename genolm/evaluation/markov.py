"""Markov models of bases: what a language model of DNA must beat, in bits per base.

An order-k model predicts a base from the k bases before it, by counts. Both strands are counted, so the model
gives a sequence and its context the same chance whichever strand it is read on.
"""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.alphabet import UNKNOWN_CODE, Codes
from genolm.errors import SettingsError
from genolm.kmers import MAX_K, compute_kmer_codes, count_kmers, reverse_complement_kmer_codes
from genolm.metrics import bits_per_base

MAX_ORDER = MAX_K - 1
BATCH_BP = 1 << 22


class MarkovModel(NamedTuple):
    """Counts int64 [4^order, 4] of the next base in each context, and the pseudocount added to each count."""

    order: int
    counts: npt.NDArray[np.int64]
    pseudocount: float

    def compute_cost_bits(self) -> npt.NDArray[np.float64]:
        """Return -log2 P(next base | context), float64 [4^order, 4]."""
        smoothed = self.counts + self.pseudocount
        cost: npt.NDArray[np.float64] = np.log2(smoothed.sum(axis=1, keepdims=True) / smoothed)
        return cost

    def shorten(self) -> "MarkovModel":
        """Return the model of the next lower order, that forgets the first base of the context."""
        counts = self.counts.reshape(4, -1, 4).sum(axis=0)
        return MarkovModel(self.order - 1, counts, self.pseudocount)


class MarkovBits(NamedTuple):
    """Summed cost of the scored bases in bits, and how many there are."""

    total_bits: float
    bases: int

    @property
    def bits_per_base(self) -> float:
        """Bits per scored base; a uniform model scores 2."""
        return bits_per_base(self.total_bits * math.log(2), self.bases)


class MarkovSelection(NamedTuple):
    """The order that is best on validation, and the validation bits per base of every order tried."""

    order: int
    bits_per_base_by_order: dict[int, float]


def fit_markov(
    pieces: Iterable[Codes], *, order: int, both_strands: bool = True, pseudocount: float = 1.0
) -> MarkovModel:
    """Count every base after its context.

    Args:
        pieces: stretches of DNA, each uint8 base codes [length_bp]; a context never crosses two pieces, nor
            an unknown base (code 4).
        order: bases in a context, 0..11.
        both_strands: count the reverse complement of every piece as well.
        pseudocount: added to each count when scoring (1: Laplace's rule); above 0.

    Returns:
        A `MarkovModel`.

    Raises:
        SettingsError: order or pseudocount out of range.

    >>> from genolm.alphabet import encode_bases
    >>> fit_markov([encode_bases("AATA")], order=1, both_strands=False).counts[:2].tolist()
    [[1, 1, 0, 0], [1, 0, 0, 0]]
    """
    if not 0 <= order <= MAX_ORDER or pseudocount <= 0:
        raise SettingsError(
            found=f"order={order}, pseudocount={pseudocount}",
            expected=f"an order in 0..{MAX_ORDER} and a pseudocount above 0",
            remedy="choose an order between 1 and 10, and pseudocount=1",
        )
    counts = np.zeros(4 ** (order + 1), dtype=np.int64)
    for codes, _ in _iter_batches(pieces, order=order):
        counts += count_kmers(codes, k=order + 1)
    if both_strands:
        every_kmer = np.arange(counts.size, dtype=np.int32)
        counts += counts[reverse_complement_kmer_codes(every_kmer, k=order + 1)]
    return MarkovModel(order, counts.reshape(-1, 4), float(pseudocount))


def compute_markov_bits(model: MarkovModel, pieces: Iterable[Codes], *, context_bp: int) -> MarkovBits:
    """Score every known base from position context_bp of each piece on.

    The bases scored depend on the pieces and context_bp alone, not on the order, so orders and language
    models can be compared on exactly the same bases. A base with fewer known bases before it than the order
    (near the start of a piece, or after an unknown base) is scored by the lower order that fits.

    Args:
        model: from `fit_markov`.
        pieces: uint8 base codes [length_bp] each.
        context_bp: bases at the start of each piece that are context only, 0 or more.

    Returns:
        A `MarkovBits`.

    Raises:
        SettingsError: context_bp is negative.
    """
    if context_bp < 0:
        raise SettingsError(
            found=f"context_bp={context_bp}", expected="0 or more", remedy="set context_bp to 0 or more"
        )
    costs = _build_cost_tables(model)
    total_bits, bases = 0.0, 0
    for codes, scored in _iter_batches(pieces, order=model.order, context_bp=context_bp):
        scored &= codes < UNKNOWN_CODE
        bases += int(scored.sum())
        kmers = compute_kmer_codes(codes, k=model.order + 1)
        complete = scored[model.order :] & (kmers >= 0)
        total_bits += float(costs[model.order][kmers[complete]].sum())
        scored[model.order :] &= ~complete
        total_bits += _compute_short_context_bits(costs, codes, np.flatnonzero(scored))
    return MarkovBits(total_bits, bases)


def select_markov_order(
    train_pieces: Iterable[Codes],
    validation_pieces: Iterable[Codes],
    *,
    orders: Iterable[int] = range(1, 11),
    both_strands: bool = True,
    pseudocount: float = 1.0,
) -> MarkovSelection:
    """Choose the order with the fewest bits per base on the validation pieces; on a tie the lowest.

    Every order is scored on the same bases: those after the longest context.

    Args:
        train_pieces: uint8 base codes [length_bp] each; counted.
        validation_pieces: as above; scored.
        orders: the orders to try, each in 0..11.
        both_strands: as in `fit_markov`.
        pseudocount: as in `fit_markov`.

    Returns:
        A `MarkovSelection`.

    Raises:
        SettingsError: no order is given, or one is out of range.
        DataError: no validation base comes after the longest context.
    """
    candidates = sorted(set(orders))
    if not candidates:
        raise SettingsError(found="no order", expected="at least one", remedy="set orders, such as 1 to 10")
    train, validation = list(train_pieces), list(validation_pieces)
    by_order = {}
    for order in candidates:
        model = fit_markov(train, order=order, both_strands=both_strands, pseudocount=pseudocount)
        by_order[order] = compute_markov_bits(model, validation, context_bp=candidates[-1]).bits_per_base
    return MarkovSelection(min(by_order, key=by_order.__getitem__), by_order)


def _iter_batches(
    pieces: Iterable[Codes], *, order: int, context_bp: int = 0
) -> Iterator[tuple[Codes, npt.NDArray[np.bool_]]]:
    """Yield base codes [n], a few megabases at a time, and which of them are to be scored, bool [n].

    Short pieces are joined by an unknown base, which breaks every context; a long one is cut into parts that
    overlap by `order` bases, so that each window of order + 1 bases is in exactly one part.
    """
    batch: list[Codes] = []
    scored: list[npt.NDArray[np.bool_]] = []
    separator = np.full(1, UNKNOWN_CODE, dtype=np.uint8)
    batch_bp = 0
    for piece in pieces:
        for start in range(0, len(piece), BATCH_BP):
            first = max(start - order, 0)
            part = piece[first : start + BATCH_BP]
            batch += [part, separator]
            scored += [
                np.arange(first, first + len(part)) >= max(start, context_bp),
                np.zeros(1, dtype=np.bool_),
            ]
            batch_bp += len(part)
            if batch_bp >= BATCH_BP:
                yield np.concatenate(batch), np.concatenate(scored)
                batch, scored, batch_bp = [], [], 0
    if batch:
        yield np.concatenate(batch), np.concatenate(scored)


def _build_cost_tables(model: MarkovModel) -> list[npt.NDArray[np.float64]]:
    """Return the cost in bits of each (j+1)-mer, float64 [4^(j+1)], for each order j up to the model's."""
    tables = [model.compute_cost_bits().ravel()]
    while model.order > 0:
        model = model.shorten()
        tables.append(model.compute_cost_bits().ravel())
    return tables[::-1]


def _compute_short_context_bits(
    costs: list[npt.NDArray[np.float64]], codes: Codes, indices: npt.NDArray[np.int64]
) -> float:
    """Score the bases at `indices`, each with the known bases before it, fewer than the full order."""
    order = len(costs) - 1
    padded = np.concatenate([np.full(order, UNKNOWN_CODE, dtype=np.uint8), codes])
    windows = padded[indices[:, None] + np.arange(order + 1)]
    known_before = (windows[:, -2::-1] < UNKNOWN_CODE).cumprod(axis=1).sum(axis=1)
    bits = 0.0
    for length in np.unique(known_before):
        chosen = windows[known_before == length, order - length :]
        bits += float(costs[length][compute_kmer_codes(chosen, k=length + 1)].sum())
    return bits
