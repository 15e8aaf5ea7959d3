"""Which record holds which k-mer, for all records at once: a sparse matrix of records and shared k-mers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.alphabet import encode_bases
from genolm.kmers import compute_canonical_kmers

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class KmerMatrix(NamedTuple):
    """The k-mers of many records; a k-mer and its reverse complement are the same."""

    k: int
    shared: "csr_matrix"
    """int32 [records, k-mers that at least two records hold], 1 where the record holds the k-mer"""
    num_distinct: npt.NDArray[np.int64]
    """[records]; distinct k-mers of each record, those that no other record holds too"""


def build_kmer_matrix(sequences: Sequence[str], *, k: int) -> KmerMatrix:
    """Find the k-mers of every record, and which of them other records hold as well.

    All k-mers are sorted once, so that equal ones lie side by side (an inverted index).

    Args:
        sequences: DNA texts of any lengths; a k-mer with another letter than A, C, G, T, U is left out.
        k: bases in a k-mer, 1..32.

    Raises:
        SettingsError: k does not lie in 1..32.

    >>> matrix = build_kmer_matrix(["AACCA", "CGGTT", "GGGGG"], k=4)  # the other strand of GGTT is AACC
    >>> matrix.num_distinct.tolist(), matrix.shared.toarray().tolist()
    ([2, 2, 1], [[1], [1], [0]])
    """
    from scipy.sparse import csr_matrix

    # The separator is an unknown base, so no k-mer crosses from one record to the next.
    kmers, is_known = compute_canonical_kmers(encode_bases("N".join(sequences)), k=k)
    lengths = np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences)) + 1
    records = np.repeat(np.arange(len(sequences), dtype=np.int32), lengths)[: kmers.size][is_known]
    kmers = kmers[is_known]
    order = np.argsort(kmers, kind="stable")  # stable: the records of one k-mer stay in order
    kmers, records = kmers[order], records[order]
    is_new_kmer = np.diff(kmers, prepend=~kmers[:1]) != 0
    is_first = is_new_kmer | (np.diff(records, prepend=-1) != 0)
    records, columns = records[is_first], np.cumsum(is_new_kmer[is_first]) - 1

    is_shared = np.bincount(columns) > 1
    is_kept = is_shared[columns]
    columns = (np.cumsum(is_shared) - 1)[columns[is_kept]]
    shape = (len(sequences), int(is_shared.sum()))
    ones = np.ones(len(columns), dtype=np.int32)
    shared = csr_matrix((ones, (records[is_kept], columns)), shape=shape)
    return KmerMatrix(k, shared, np.bincount(records, minlength=len(sequences)))


def cap_columns(matrix: "csr_matrix", *, max_records: int) -> "csr_matrix":
    """Leave of each column at most `max_records` records, so that one frequent k-mer does not pair all.

    Which ones is decided by one order of the records that is drawn with a fixed seed and holds for every
    column: records that are alike are then compared with the same few, from all splits and classes.

    Args:
        matrix: int32 [records, columns], 0 and 1.
        max_records: left of a column.

    Returns:
        int32 of the same shape.
    """
    from scipy.sparse import csc_matrix

    drawn = np.random.default_rng(0).permutation(matrix.shape[0])
    columns = csc_matrix(matrix[drawn])
    columns.sort_indices()
    counts = np.diff(columns.indptr)
    if not (counts > max_records).any():
        return matrix
    is_kept = np.arange(columns.nnz) - np.repeat(columns.indptr[:-1], counts) < max_records
    ends = np.concatenate([[0], np.cumsum(np.minimum(counts, max_records))])
    kept = (columns.data[is_kept], drawn[columns.indices[is_kept]], ends)
    return csc_matrix(kept, shape=matrix.shape).tocsr()
