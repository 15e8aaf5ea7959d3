"""Records with the same sequence, on either strand, and records that contradict each other."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genolm.corpus.audit.sharing import Sharing, compute_sharing
from genolm.corpus.labeled import LabeledData

MAX_EXAMPLES = 5

_COMPLEMENT = str.maketrans("ACGTRYSWKMBDHVN", "TGCAYRSWMKVHDBN")

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Exact and reverse-complement duplicates."""

    exact: int
    """records that repeat the text of an earlier one"""
    reverse_complement: int
    """pairs of different texts that are each other's reverse complement"""
    contradictory: int
    """sequences, whatever their strand, that occur with more than one label"""
    contradictory_records: int
    """records of these sequences"""
    sharing: Sharing
    """records whose sequence, or its reverse complement, is that of another record"""
    contradictory_examples: tuple[str, ...]
    """ids of the first record and of the first one with another label"""
    split_examples: tuple[str, ...]
    """the same for the first one of another split"""


def find_duplicates(data: LabeledData) -> Duplicates:
    """Find records with the same sequence or its reverse complement; N is a letter like any other."""
    from scipy.sparse import csr_matrix

    number_of: dict[str, int] = {}
    numbers = np.array(
        [number_of.setdefault(_read_smaller_strand(text), len(number_of)) for text in data.sequences],
        dtype=np.int64,
    )
    num_texts, num_sequences = len(set(data.sequences)), len(number_of)
    is_contradictory = _count_values(numbers, data.labels) > 1
    shape = (len(data), num_sequences)
    incidence = csr_matrix((np.ones(len(data), dtype=np.int32), (np.arange(len(data)), numbers)), shape=shape)
    split_numbers = np.unique(np.array(data.splits), return_inverse=True)[1]
    return Duplicates(
        exact=len(data) - num_texts,
        reverse_complement=num_texts - num_sequences,
        contradictory=int(is_contradictory.sum()),
        contradictory_records=int(is_contradictory[numbers].sum()),
        sharing=compute_sharing(incidence, data),
        contradictory_examples=_find_examples(numbers, data.labels, data.ids),
        split_examples=_find_examples(numbers, split_numbers, data.ids),
    )


def _read_smaller_strand(text: str) -> str:
    """Return the sequence or its reverse complement, whichever comes first in the alphabet.

    >>> _read_smaller_strand("TTGN")
    'NCAA'
    """
    return min(text, text.translate(_COMPLEMENT)[::-1])


def _count_values(numbers: Numbers, values: Numbers) -> Numbers:
    """Count the different values that go with each number: int64 [numbers]."""
    pairs = np.unique(np.stack([numbers, values], axis=1), axis=0)
    return np.bincount(pairs[:, 0])


def _find_examples(numbers: Numbers, values: Numbers, ids: tuple[str, ...]) -> tuple[str, ...]:
    """Name a few pairs of records with the same number and another value."""
    _, first = np.unique(numbers, return_index=True)
    differs = np.flatnonzero(values != values[first][numbers])
    _, places = np.unique(numbers[differs], return_index=True)
    chosen = np.sort(differs[places])[:MAX_EXAMPLES]
    return tuple(f"{ids[first[numbers[record]]]} and {ids[record]}" for record in chosen)
