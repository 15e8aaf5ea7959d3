"""Pairs of records that share most of their k-mers: shifted windows, alleles, copies with a few changes.

Two records cannot share 80 % of the k-mers of the smaller one without sharing one of any 20 % of them and
one more. So only the rarest k-mers of each record are looked up, which lead to few other records (the prefix
filter of Chaudhuri et al. 2006, doi:10.1109/ICDE.2006.9), and only the pairs found so are compared in full.

A split needs every pair (`corpus.splitting.similar_pairs`), which costs the square of a large family. An
audit runs by itself before each training, so it is content with some pairs of each record there, and says so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.corpus.audit.sharing import Sharing, build_incidence, compute_sharing
from genolm.corpus.kmer_matrix import KmerMatrix, build_kmer_matrix, cap_columns
from genolm.corpus.labeled import LabeledData

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

KMER_BP = 12
MIN_SHARED = 0.8
MIN_KMERS = 16
"""of the smaller record; fewer say little, as in a short record or a repeat of two bases"""
MAX_RECORDS_PER_KMER = 64

_BLOCK_ROWS = 2_000
_BLOCK_PAIRS = 20_000


class NearPairs(NamedTuple):
    """Pairs of near duplicates."""

    first: npt.NDArray[np.int64]
    """[pairs]; number of the record"""
    second: npt.NDArray[np.int64]
    """[pairs]; number of the other one, which is higher"""
    is_capped: bool
    """whether rare k-mers occurred in so many records that pairs of large families may be missing"""


@dataclass(frozen=True, kw_only=True)
class NearDuplicates:
    """Near duplicates; exact ones, on either strand, are among them."""

    kmer_bp: int
    min_shared: float
    """share of the k-mers of the smaller record"""
    pairs: int
    pairs_across_splits: int
    pairs_across_classes: int
    is_capped: bool
    """there may be more pairs, within large families of records that are alike"""
    sharing: Sharing
    """records in a pair"""


def find_near_duplicates(data: LabeledData) -> NearDuplicates:
    """Find records that share at least 80 % of the 12-mers of the smaller one, both strands read."""
    pairs = find_near_pairs(data.sequences, k=KMER_BP, min_shared=MIN_SHARED)
    splits = np.array(data.splits)
    incidence = build_incidence([pairs.first, pairs.second], num_records=len(data))
    return NearDuplicates(
        kmer_bp=KMER_BP,
        min_shared=MIN_SHARED,
        pairs=len(pairs.first),
        pairs_across_splits=int((splits[pairs.first] != splits[pairs.second]).sum()),
        pairs_across_classes=int((data.labels[pairs.first] != data.labels[pairs.second]).sum()),
        is_capped=pairs.is_capped,
        sharing=compute_sharing(incidence, data),
    )


def find_near_pairs(
    sequences: Sequence[str],
    *,
    k: int,
    min_shared: float,
    max_records_per_kmer: int = MAX_RECORDS_PER_KMER,
) -> NearPairs:
    """Find the pairs of records that share a part of their distinct k-mers.

    Args:
        sequences: DNA texts of any lengths.
        k: bases in a k-mer, 1..32; a k-mer is the same on both strands.
        min_shared: share of the k-mers of the smaller record, 0 to 1. Records with fewer than 16 distinct
            k-mers pair with none.
        max_records_per_kmer: a k-mer leads to no more records than this. A record then still meets this many
            of a larger family, drawn from all of it.

    Raises:
        SettingsError: k does not lie in 1..32.
    """
    matrix = build_kmer_matrix(sequences, k=k)
    needed = np.ceil(min_shared * matrix.num_distinct - 1e-9).astype(np.int64)
    probes = _choose_probes(matrix, needed)
    leads = cap_columns(matrix.shared, max_records=max_records_per_kmer)
    num_leads = np.asarray(leads.sum(axis=0)).ravel()
    is_capped = bool((np.asarray(matrix.shared.sum(axis=0)).ravel() > num_leads)[probes.indices].any())
    found = [np.empty((0, 2), dtype=np.int64)]
    for pairs in _iter_candidates(probes, leads):
        smaller = np.argmin(matrix.num_distinct[pairs], axis=1)
        least = pairs[np.arange(len(pairs)), smaller]
        shared = _count_shared(matrix.shared, pairs)
        is_near = (shared >= needed[least]) & (matrix.num_distinct[least] >= MIN_KMERS)
        found.append(pairs[is_near])
    first, second = np.unique(np.concatenate(found), axis=0).T
    return NearPairs(first, second, is_capped)


def _choose_probes(matrix: KmerMatrix, needed: npt.NDArray[np.int64]) -> "csr_matrix":
    """Return of each record the rarest k-mers, one more than it may miss: int32 [records, shared k-mers].

    Those that no other record holds are the rarest of all and lead nowhere: they count, but are not here.
    """
    from scipy.sparse import csr_matrix

    shared = matrix.shared
    row_sizes = np.diff(shared.indptr)
    num_probes = matrix.num_distinct - needed + 1 - (matrix.num_distinct - row_sizes)
    num_probes[matrix.num_distinct < MIN_KMERS] = 0
    rows = np.repeat(np.arange(shared.shape[0]), row_sizes)
    frequencies = np.bincount(shared.indices, minlength=shared.shape[1])
    order = np.lexsort((frequencies[shared.indices], rows))
    ranks = np.arange(shared.nnz) - np.repeat(shared.indptr[:-1], row_sizes)
    chosen = order[ranks < num_probes[rows]]
    return csr_matrix((shared.data[chosen], (rows[chosen], shared.indices[chosen])), shape=shared.shape)


def _iter_candidates(probes: "csr_matrix", leads: "csr_matrix") -> Iterator[npt.NDArray[np.int64]]:
    """Yield pairs of records, int64 [n, 2], the lower first, where one holds a probe of the other."""
    holders = leads.T.tocsr()
    for start in range(0, probes.shape[0], _BLOCK_ROWS):
        hits = (probes[start : start + _BLOCK_ROWS] @ holders).tocoo()
        pairs = np.stack([hits.row.astype(np.int64) + start, hits.col.astype(np.int64)], axis=1)
        pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
        for low in range(0, len(pairs), _BLOCK_PAIRS):
            yield pairs[low : low + _BLOCK_PAIRS]


def _count_shared(shared: "csr_matrix", pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Count the k-mers that both records of each pair hold: int64 [pairs]."""
    both = shared[pairs[:, 0]].multiply(shared[pairs[:, 1]])
    return np.asarray(both.sum(axis=1)).ravel().astype(np.int64)
