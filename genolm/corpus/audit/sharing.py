"""Who shares something with whom: records counted by split and class, whatever it is that they share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from genolm.corpus.labeled import SPLITS, LabeledData

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class GroupSharing:
    """Of the records of one split and class, how many share something with another record of ..."""

    split: str
    """train, validation or test; empty where the data has no split"""
    label: str
    records: int
    other_split: int
    """another split, whatever its class"""
    other_class: int
    """another class, whatever its split"""
    own_class: int
    """the same class, whatever its split"""
    any_other: int
    """any split and class"""


@dataclass(frozen=True, kw_only=True)
class SplitSharing:
    """How many records of a split share something with a record of another, nearer to training."""

    split: str
    other: str
    records: int
    shared: int


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """Records that share something, counted per split and class, and from split to split."""

    groups: tuple[GroupSharing, ...]
    splits: tuple[SplitSharing, ...]
    """validation with train, test with train, test with validation"""

    def count(self, relation: str, *, label: str | None = None) -> int:
        """Sum `records`, `own_class` or another field over all groups, or over those of a class."""
        groups = (group for group in self.groups if label in (None, group.label))
        return sum(int(getattr(group, relation)) for group in groups)


def compute_sharing(incidence: "csr_matrix", data: LabeledData) -> Sharing:
    """Count the records that share a column of a matrix with others.

    Args:
        incidence: int [records, columns], 1 where a record holds what the column stands for: a k-mer, a
            sequence, a pair of near duplicates.
        data: labeled records, in the same order.
    """
    splits = np.array(data.splits)
    other_split = np.zeros(len(data), dtype=bool)
    other_class, own_class = other_split.copy(), other_split.copy()
    for split in np.unique(splits):
        inside = splits == split
        other_split[inside] = _holds_any(incidence[inside], _count_holders(incidence, ~inside) > 0)
    for label in np.unique(data.labels):
        inside = data.labels == label
        members = incidence[inside]
        other_class[inside] = _holds_any(members, _count_holders(incidence, ~inside) > 0)
        own_class[inside] = _holds_any(members, _count_holders(incidence, inside) > 1)  # and not it alone
    any_other = _holds_any(incidence, _count_holders(incidence, np.ones(len(data), dtype=bool)) > 1)
    groups = [
        GroupSharing(
            split=split,
            label=name,
            records=int(inside.sum()),
            other_split=int(other_split[inside].sum()),
            other_class=int(other_class[inside].sum()),
            own_class=int(own_class[inside].sum()),
            any_other=int(any_other[inside].sum()),
        )
        for split in ("", *SPLITS)
        for label, name in enumerate(data.label_names)
        if (inside := (splits == split) & (data.labels == label)).any()
    ]
    return Sharing(groups=tuple(groups), splits=_compute_split_sharing(incidence, splits))


def _compute_split_sharing(incidence: "csr_matrix", splits: npt.NDArray[np.str_]) -> tuple[SplitSharing, ...]:
    present = [split for split in SPLITS if (splits == split).any()]
    found = []
    for number, split in enumerate(present):
        for other in present[:number]:
            members = incidence[splits == split]
            shared = _holds_any(members, _count_holders(incidence, splits == other) > 0)
            found.append(
                SplitSharing(split=split, other=other, records=members.shape[0], shared=int(shared.sum()))
            )
    return tuple(found)


def _count_holders(incidence: "csr_matrix", inside: Flags) -> npt.NDArray[np.int32]:
    """Count for each column the records that hold it, of those that are inside."""
    return np.asarray(incidence.T @ inside.astype(np.int32))


def _holds_any(members: "csr_matrix", columns: Flags) -> Flags:
    """Say of each record whether it holds one of the columns."""
    return np.asarray(members @ columns.astype(np.int32)) > 0


def build_incidence(columns: Sequence[npt.NDArray[np.int64]], *, num_records: int) -> "csr_matrix":
    """Build the matrix [records, columns] from arrays of record numbers, each [columns].

    >>> first, second = np.array([0, 0]), np.array([1, 2])
    >>> build_incidence([first, second], num_records=3).toarray().tolist()
    [[1, 1], [1, 0], [0, 1]]
    """
    from scipy.sparse import csr_matrix

    records = np.concatenate(columns)
    numbers = np.tile(np.arange(len(columns[0])), len(columns))
    ones = np.ones(len(records), dtype=np.int32)
    return csr_matrix((ones, (records, numbers)), shape=(num_records, len(columns[0])))
