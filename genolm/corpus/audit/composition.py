"""What the records of each class look like: how many, how long, their GC, their letters."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from genolm.corpus.labeled import SPLITS, LabeledData
from genolm.kmer_profiles import compute_dense_profiles


@dataclass(frozen=True, kw_only=True)
class ClassComposition:
    """The records of one class, of all splits."""

    label: str
    records: int
    records_by_split: dict[str, int]
    """of the splits that the data has"""
    min_bp: int
    median_bp: float
    max_bp: int
    mean_gc: float | None
    """mean over the records of G + C among the known bases; None if no record has a known base"""
    records_with_other_letters: int
    other_letters: dict[str, int]
    """letters other than A, C, G, T, such as N, and how often they occur"""


def compute_composition(data: LabeledData) -> tuple[ClassComposition, ...]:
    """Describe every class that has records, in the order of the label names."""
    splits = np.array(data.splits)
    present = [split for split in SPLITS if (splits == split).any()]
    lengths = np.fromiter(map(len, data.sequences), dtype=np.int64, count=len(data))
    bases = compute_dense_profiles(data.sequences, k=1)  # in the order A, T, C, G
    num_known = bases.sum(axis=1)
    gc = np.divide(bases[:, 2:].sum(axis=1), num_known, out=np.zeros(len(data)), where=num_known > 0)
    found = []
    for label, name in enumerate(data.label_names):
        inside = data.labels == label
        if not inside.any():  # as in a part of larger data
            continue
        with_known = inside & (num_known > 0)
        with_others = np.flatnonzero(inside & (num_known < lengths))
        letters = Counter("".join(data.sequences[record] for record in with_others))
        found.append(
            ClassComposition(
                label=name,
                records=int(inside.sum()),
                records_by_split={split: int((splits[inside] == split).sum()) for split in present},
                min_bp=int(lengths[inside].min()),
                median_bp=float(np.median(lengths[inside])),
                max_bp=int(lengths[inside].max()),
                mean_gc=float(gc[with_known].mean()) if with_known.any() else None,
                records_with_other_letters=len(with_others),
                other_letters={letter: letters[letter] for letter in sorted(letters) if letter not in "ACGT"},
            )
        )
    return tuple(found)
