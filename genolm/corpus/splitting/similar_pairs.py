"""Pairs of records that have k-mers in common, on either strand, counted exactly.

Counting is a product of sparse matrices, records times k-mers. A k-mer that occurs in n records costs n^2
there, so those in very many records, such as a run of A, are kept out of that product. They are not ignored:
they are counted for the pairs that need them to reach the share, and for the few records of which they alone
make up that share.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.corpus.kmer_matrix import build_kmer_matrix
from genolm.errors import SettingsError

COMMON_RECORDS = 256
"""a k-mer in more records than that is common"""

_BLOCK_PRODUCTS = 1 << 24
_COMPLEMENT = str.maketrans("ACGTRYKMBDHV", "TGCAYRMKVHDB")

Indices = npt.NDArray[np.int64]


class SimilarPairs(NamedTuple):
    """Pairs of records, each once, in no order; the arrays run in parallel."""

    first: Indices
    """[pairs]"""
    second: Indices
    """[pairs]"""
    share: npt.NDArray[np.float64]
    """[pairs]; k-mers in common, as a share of those of the record that has fewer"""


class _Profiles(NamedTuple):
    """Which k-mers the records have, without those that only one record has."""

    rare: Any
    """scipy csr_matrix [records, k-mers], int32, 1 where a record has the k-mer; at most COMMON_RECORDS"""
    common: Any
    """the same for the k-mers of more records"""
    sizes: Indices
    """[records]; different k-mers, on either strand"""


def find_similar_pairs(sequences: Sequence[str], *, k: int, min_share: float) -> SimilarPairs:
    """Find all pairs of records that have at least a share of their k-mers in common.

    A k-mer and its reverse complement are one, and count once in a record, wherever it stands. Records that
    are equal, or the reverse complement of one another, have all in common, even without a k-mer; of such a
    set, each is paired with the first one, and the first one alone is compared with other records.

    Args:
        sequences: DNA text; a k-mer with another letter than A, C, G, T is left out.
        k: bases in a k-mer, 1 to 32.
        min_share: k-mers in common as a share of those of the record that has fewer; above 0, at most 1.

    Raises:
        SettingsError: k or min_share is out of its range.

    >>> pairs = find_similar_pairs(["AACCGGTA", "ACCGGTAT", "TACCGGTT", "GGGGGGGG"], k=5, min_share=0.5)
    >>> pairs.first.tolist(), pairs.second.tolist(), pairs.share.tolist()
    ([0, 0], [2, 1], [1.0, 0.67])
    """
    if not 0 < min_share <= 1:
        raise SettingsError(
            found=f"identity = {min_share}", expected="above 0, at most 1", remedy="choose 0.5 or so"
        )
    kept, first_of = _find_distinct(sequences)
    profiles = _build_profiles([sequences[index] for index in kept], k=k)
    wanted = np.ceil(min_share * profiles.sizes - 1e-9).astype(np.int64)  # 0.3 * 10 is a little above 3
    parts = [*_iter_rare_pairs(profiles, wanted), *_iter_common_pairs(profiles, wanted)]
    one, other, shared = (np.concatenate(column) for column in zip(*parts, strict=True))
    share = shared / np.minimum(profiles.sizes[one], profiles.sizes[other])
    copies = np.flatnonzero(first_of != np.arange(len(sequences)))
    return SimilarPairs(
        np.concatenate([first_of[copies], kept[one]]),
        np.concatenate([copies, kept[other]]),
        np.concatenate([np.ones(len(copies)), share]),
    )


def _find_distinct(sequences: Sequence[str]) -> tuple[Indices, Indices]:
    """Return the first records of all sets of equal ones, on either strand, and for each record its first."""
    first: dict[str, int] = {}
    first_of = [
        first.setdefault(min(text, text.translate(_COMPLEMENT)[::-1]), index)
        for index, text in enumerate(map(str.upper, sequences))
    ]
    return np.array(list(first.values()), dtype=np.int64), np.array(first_of, dtype=np.int64)


def _build_profiles(sequences: Sequence[str], *, k: int) -> _Profiles:
    matrix = build_kmer_matrix(sequences, k=k)
    is_rare = np.bincount(matrix.shared.indices, minlength=matrix.shared.shape[1]) <= COMMON_RECORDS
    return _Profiles(
        rare=matrix.shared[:, is_rare], common=matrix.shared[:, ~is_rare], sizes=matrix.num_distinct
    )


def _iter_rare_pairs(profiles: _Profiles, wanted: Indices) -> Iterator[tuple[Indices, Indices, Indices]]:
    """Yield first, second and k-mers in common of the pairs that have a rare k-mer in common."""
    num_common = np.diff(profiles.common.indptr).astype(np.int64)
    rows = np.arange(len(wanted))
    for first, second, shared in _iter_products(profiles.rare, rows):
        is_new = first < second
        first, second, shared = first[is_new], second[is_new], shared[is_new]
        needed = np.minimum(wanted[first], wanted[second])
        is_possible = shared + np.minimum(num_common[first], num_common[second]) >= needed
        first, second, shared = first[is_possible], second[is_possible], shared[is_possible]
        both = profiles.common[first].multiply(profiles.common[second])
        yield _keep_similar(first, second, shared + np.asarray(both.sum(axis=1)).ravel(), wanted)


def _iter_common_pairs(profiles: _Profiles, wanted: Indices) -> Iterator[tuple[Indices, Indices, Indices]]:
    """Yield the pairs that have common k-mers alone in common, and enough of them.

    The smaller record of such a pair consists of common k-mers to the share that is asked for, which few
    records do. Those alone are compared with all others.
    """
    num_common = np.diff(profiles.common.indptr)
    heavy = np.flatnonzero((num_common >= wanted) & (num_common > 0))
    is_heavy = np.zeros(len(wanted), dtype=bool)
    is_heavy[heavy] = True
    for first, second, shared in _iter_products(profiles.common, heavy):
        is_new = (first < second) | ((first > second) & ~is_heavy[second])
        first, second, shared = _keep_similar(first[is_new], second[is_new], shared[is_new], wanted)
        with_rare = profiles.rare[first].multiply(profiles.rare[second])
        is_left = np.asarray(with_rare.sum(axis=1)).ravel() == 0
        yield first[is_left], second[is_left], shared[is_left]


def _iter_products(matrix: Any, rows: Indices) -> Iterator[tuple[Indices, Indices, Indices]]:
    """Yield row, row and columns in common of some rows with all rows, in blocks of bounded memory."""
    num_records = np.bincount(matrix.indices, minlength=matrix.shape[1])
    costs = np.concatenate([[0], np.cumsum(num_records[matrix.indices])])
    costs = np.cumsum(costs[matrix.indptr[rows + 1]] - costs[matrix.indptr[rows]])
    other = matrix.T.tocsr()
    for block in np.split(rows, np.flatnonzero(np.diff(costs // _BLOCK_PRODUCTS)) + 1):
        product = (matrix[block] @ other).tocoo()
        yield block[product.row], product.col.astype(np.int64), product.data.astype(np.int64)


def _keep_similar(
    first: Indices, second: Indices, shared: Indices, wanted: Indices
) -> tuple[Indices, Indices, Indices]:
    keep = shared >= np.minimum(wanted[first], wanted[second])
    return first[keep], second[keep], shared[keep]
