"""Sequences with the same counts of every pair of neighboring bases (Altschul and Erickson 1985).

A sequence is a walk over a graph whose vertices are the bases and whose edges are its pairs of neighbors; any
other walk that uses each edge once has the same pairs. Such a walk is drawn uniformly in two steps: for every
base but the last one of the sequence the edge by which the walk leaves it for the last time, so that these
edges lead to that last base (a tree); then the order of all other edges, which is free.
"""

from collections.abc import Sequence
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.alphabet import BASES, Codes

_LETTERS = len(BASES) + 1  # the unknown base is one more letter, which keeps its neighbors too
_BATCH_EDGES = 1 << 22

Indices = npt.NDArray[np.int64]


class _Edges(NamedTuple):
    """The pairs of neighbors of many sequences, one behind the other."""

    row: Indices
    """number of the sequence"""
    source: Indices
    target: Indices


def shuffle_dinucleotides(sequences: Sequence[Codes], *, seed: int, first_index: int = 0) -> list[Codes]:
    """Shuffle sequences so that the counts of all pairs of neighboring bases stay, uniformly among all such.

    The first and the last base stay as well, and with them the counts of single bases.

    Args:
        sequences: uint8 base codes of any lengths; unknown bases count as one more letter.
        seed: what sequence i becomes depends on the seed, first_index + i, and itself alone.
        first_index: number of the first sequence.

    Returns:
        uint8 base codes, of the same lengths.

    >>> from genolm.alphabet import decode_bases, encode_bases
    >>> [decode_bases(each) for each in shuffle_dinucleotides([encode_bases("ACATAGA")] * 3, seed=2)]
    ['ATACAGA', 'AGACATA', 'AGATACA']
    """
    shuffled: list[Codes] = []
    for batch in _iter_batches(sequences):
        generators = [
            np.random.default_rng([seed, first_index + len(shuffled) + number])
            for number in range(len(batch))
        ]
        shuffled.extend(_shuffle_batch(batch, generators))
    return shuffled


def _iter_batches(sequences: Sequence[Codes]) -> list[list[Codes]]:
    """Divide the sequences, in their order, into batches of bounded memory."""
    batches: list[list[Codes]] = []
    free = 0
    for sequence in sequences:
        if len(sequence) > free:
            batches.append([])
            free = max(_BATCH_EDGES, len(sequence))
        elif not batches:
            batches.append([])
        batches[-1].append(sequence)
        free -= len(sequence)
    return batches


def _shuffle_batch(sequences: list[Codes], generators: list[np.random.Generator]) -> list[Codes]:
    lengths = np.array([len(each) for each in sequences], dtype=np.int64)
    joined = np.concatenate(sequences).astype(np.int64)
    row_of = np.repeat(np.arange(len(sequences)), lengths)
    is_edge = row_of[1:] == row_of[:-1]
    edges = _Edges(row_of[:-1][is_edge], joined[:-1][is_edge], joined[1:][is_edge])
    choice = np.array([generator.random() for generator in generators])
    keys = np.concatenate(
        [
            generator.random(max(0, len(each) - 1))
            for generator, each in zip(generators, sequences, strict=True)
        ]
    )
    last_base = np.zeros(len(sequences), dtype=np.int64)
    last_base[row_of] = joined  # the last of equal indices is kept
    exits = _draw_last_exits(edges, last_base, choice)
    keys[_find_edges(edges, exits)] = 1.0  # above all others: the last one that leaves its base
    return np.split(_walk(edges, keys, joined, lengths).astype(np.uint8), np.cumsum(lengths)[:-1])


def _draw_last_exits(edges: _Edges, last_base: Indices, choice: npt.NDArray[np.float64]) -> Indices:
    """Draw for each sequence and base where its last exit leads: int64 [n, letters], -1 where it has none.

    All trees of exits are few, so each sequence chooses one of the list, by the number of ways that it has to
    make it: the product of the numbers of its edges.
    """
    size = len(choice) * _LETTERS
    flat = np.bincount(
        (edges.row * _LETTERS + edges.source) * _LETTERS + edges.target, minlength=size * _LETTERS
    )
    counts = flat.reshape(-1, _LETTERS, _LETTERS)
    exits = np.full((len(choice), _LETTERS), -1, dtype=np.int64)
    for root in range(_LETTERS):
        rows = np.flatnonzero(last_base == root)
        ways = counts[rows].astype(np.float64)
        is_absent = ways.sum(axis=2) == 0
        ways[..., root] += is_absent  # a base that does not occur hangs on the last one, in one way
        trees = _list_trees(root)
        weights = np.ones((len(rows), len(trees)))
        for base in range(_LETTERS):
            if base != root:
                weights *= ways[:, base, trees[:, base]]
        totals = np.cumsum(weights, axis=1)
        wanted = choice[rows] * totals[:, -1]
        chosen = trees[(totals <= wanted[:, None]).sum(axis=1)]
        chosen[is_absent] = -1
        chosen[:, root] = -1
        exits[rows] = chosen
    return exits


@cache
def _list_trees(root: int) -> Indices:
    """Return every choice of one exit per base that leads all bases to the root: int64 [trees, letters]."""
    options = [[root] if base == root else range(_LETTERS) for base in range(_LETTERS)]
    exits = np.array(list(product(*options)), dtype=np.int64)
    place = exits
    for _ in range(_LETTERS):
        place = np.take_along_axis(exits, place, axis=1)
    return exits[(place == root).all(axis=1)]


def _find_edges(edges: _Edges, exits: Indices) -> Indices:
    """Return the index of one edge for each exit; edges between the same bases do not differ."""
    kinds, first = np.unique(
        (edges.row * _LETTERS + edges.source) * _LETTERS + edges.target, return_index=True
    )
    row, source = np.nonzero(exits >= 0)
    wanted = (row * _LETTERS + source) * _LETTERS + exits[row, source]
    return first[np.searchsorted(kinds, wanted)]


def _walk(edges: _Edges, keys: npt.NDArray[np.float64], joined: Indices, lengths: Indices) -> Indices:
    """Leave each base by its edges in the order of the keys; one step of all sequences at a time."""
    vertex = edges.row * _LETTERS + edges.source
    targets = edges.target[np.lexsort((keys, vertex))]
    number = np.bincount(vertex, minlength=len(lengths) * _LETTERS)
    next_edge = np.cumsum(number) - number
    walks = joined.copy()
    begins = np.cumsum(lengths) - lengths
    rows = np.arange(len(lengths))
    for step in range(1, int(lengths.max())):
        rows = rows[lengths[rows] > step]
        vertices = rows * _LETTERS + walks[begins[rows] + step - 1]
        walks[begins[rows] + step] = targets[next_edge[vertices]]
        next_edge[vertices] += 1
    return walks
