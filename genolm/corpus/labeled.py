"""Labelled sequences: read from the usual files, checked letter by letter, divided into splits."""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.corpus.tables import is_fasta, read_table
from genolm.errors import DataError, SettingsError
from genolm.genome.fasta import iter_fasta
from genolm.genome.letters import check_nucleotides

SPLITS = ("train", "validation", "test")

_SPLIT_OF_NAME = (
    dict.fromkeys(("train", "training"), "train")
    | dict.fromkeys(("validation", "valid", "val", "dev", "development", "eval"), "validation")
    | dict.fromkeys(("test", "testing"), "test")
)
_UNKNOWN_LABEL = -1


@dataclass(frozen=True, kw_only=True)
class LabeledData:
    """Sequences with labels; the fields run in parallel."""

    sequences: list[str]
    """upper-case DNA; U is written T"""
    labels: npt.NDArray[np.int64]
    """[n]; index into label_names, -1 where no label was given"""
    label_names: tuple[str, ...]
    """in order: whole numbers by size, other names by letter"""
    splits: tuple[str, ...]
    """train, validation or test; all empty where the source has no split"""
    ids: tuple[str, ...]
    source: str = ""
    """name of the file they were read from, without its folder"""

    def __len__(self) -> int:
        """Return the number of sequences."""
        return len(self.sequences)

    @property
    def has_splits(self) -> bool:
        """Whether the source says which split a sequence belongs to."""
        return any(self.splits)

    def select(self, split: str) -> "LabeledData":
        """Return the sequences of one split, in order; there may be none.

        Raises:
            SettingsError: the split is not train, validation or test.
        """
        if split not in SPLITS:
            raise SettingsError(
                found=f"the split '{split}'", expected="train, validation or test", remedy="use one of these"
            )
        keep = [i for i, name in enumerate(self.splits) if name == split]
        return replace(
            self,
            sequences=[self.sequences[i] for i in keep],
            labels=self.labels[keep],
            splits=tuple(self.splits[i] for i in keep),
            ids=tuple(self.ids[i] for i in keep),
        )


@dataclass(frozen=True, kw_only=True)
class ColumnNames:
    """What the columns of a table are called, as a recipe gives it."""

    sequence: str = "sequence"
    label: str = "label"
    split: str = "split"
    id: str = "id"

    def build_arguments(self) -> dict[str, str]:
        """Return the arguments of `read_labeled` that name columns."""
        return {f"{kind}_column": name for kind, name in asdict(self).items()}


class NamedSequences(NamedTuple):
    """Sequences without labels: ids, and upper-case DNA in the same order."""

    ids: tuple[str, ...]
    sequences: list[str]


class _Record(NamedTuple):
    """One record as it stands in the file; None is a missing value."""

    where: str
    sequence: str | None
    label: str | None
    split: str | None
    id: str | None


def read_labeled(
    path: Path,
    *,
    sequence_column: str = "sequence",
    label_column: str = "label",
    split_column: str = "split",
    id_column: str = "id",
    require_labels: bool = True,
    min_length_bp: int = 1,
) -> LabeledData:
    """Read labelled sequences from CSV, TSV, JSONL, Parquet or FASTA (`>id|label` or `>id|label|training`).

    Args:
        path: the file, plain or gzipped; its content decides the format.
        sequence_column: column of the sequences.
        label_column: column of the labels.
        split_column: column of the splits; need not exist.
        id_column: column of the ids; without it the records are record_1, record_2 ...
        require_labels: refuse a file without labels, or with one class only. If false, a table without
            `label_column` and every FASTA file gives labels of -1.
        min_length_bp: the shortest sequence allowed.

    Raises:
        DataError: the file is not usable, a column or a value is missing, a row is ragged, a letter is no
            nucleotide code, a sequence is too short, there is one class only, or a class that is to be
            validated or tested is not in train.
    """
    if is_fasta(path):
        records = list(_iter_fasta_records(path, has_labels=require_labels))
    else:
        names = (sequence_column, label_column, split_column, id_column)
        records = list(_iter_table_records(path, names, require_labels=require_labels))
    return _build_data(path.name, records, require_labels=require_labels, min_length_bp=min_length_bp)


def read_labeled_pair(positives: Path, negatives: Path, *, min_length_bp: int = 1) -> LabeledData:
    """Read two FASTA files; the label names are negative (0) and positive (1).

    A header that ends in `|training` or `|testing` gives the split. Errors as in `read_labeled`.
    """
    records = []
    for path, label in ((positives, "positive"), (negatives, "negative")):
        for record in _iter_fasta_records(path, has_labels=False):
            ending = (record.id or "").rpartition("|")[2].lower()
            split = ending if ending in _SPLIT_OF_NAME else None
            records.append(record._replace(label=label, split=split))
    name = f"{positives.name} and {negatives.name}"
    return _build_data(name, records, require_labels=True, min_length_bp=min_length_bp)


def read_sequences(
    path: Path, *, sequence_column: str = "sequence", id_column: str = "id", min_length_bp: int = 1
) -> NamedSequences:
    """Read sequences to predict, from any format of `read_labeled`; labels and splits are ignored."""
    if is_fasta(path):
        records = list(_iter_fasta_records(path, has_labels=False))
    else:
        records = list(_iter_table_records(path, (sequence_column, "", "", id_column), require_labels=False))
    data = _build_data(path.name, records, require_labels=False, min_length_bp=min_length_bp)
    return NamedSequences(data.ids, data.sequences)


def assign_random_split(
    data: LabeledData, *, seed: int, validation_fraction: float = 0.1, test_fraction: float = 0.2
) -> LabeledData:
    """Give every sequence a split at random, in the same proportions for every class.

    A random split can leak: near-identical sequences land on both sides. The caller says so to the user.

    Args:
        data: any splits it has are replaced.
        seed: the same seed gives the same split.
        validation_fraction: share of each class, 0 to 1.
        test_fraction: share of each class, 0 to 1; together less than 1.

    Raises:
        SettingsError: the fractions are negative or leave nothing for train.
        DataError: a class is too small to be in every split asked for.
    """
    if min(validation_fraction, test_fraction) < 0 or validation_fraction + test_fraction >= 1:
        raise SettingsError(
            found=f"validation_fraction = {validation_fraction} and test_fraction = {test_fraction}",
            expected="shares of 0 or more that add up to less than 1",
            remedy="lower them",
        )
    generator = np.random.default_rng(seed)
    splits = np.full(len(data), "train", dtype=object)
    for label in np.unique(data.labels):
        members = generator.permutation(np.flatnonzero(data.labels == label))
        num_test = round(len(members) * test_fraction)
        num_held_out = num_test + round(len(members) * validation_fraction)
        sizes = (len(members) - num_held_out, num_held_out - num_test, num_test)
        wanted = (True, validation_fraction > 0, test_fraction > 0)
        if any(size == 0 and is_wanted for size, is_wanted in zip(sizes, wanted, strict=True)):
            name = data.label_names[label] if label >= 0 else "(none)"
            raise DataError(
                found=f"{len(members)} sequence(s) of class '{name}'",
                expected="enough for every split",
                remedy="add sequences of this class, or raise the fractions",
            )
        splits[members[:num_test]] = "test"
        splits[members[num_test:num_held_out]] = "validation"
    return replace(data, splits=tuple(splits.tolist()))


def _iter_fasta_records(path: Path, *, has_labels: bool) -> Iterator[_Record]:
    for record in iter_fasta(path, duplicates="keep"):
        where = f"record '{record.id}' of {path.name}"
        if not has_labels:
            yield _Record(where, record.sequence, None, None, record.id)
            continue
        parts = [part.strip() for part in f"{record.id} {record.description}".split("|")]
        if len(parts) not in (2, 3):
            raise DataError(
                found=f"the header '{record.id}' in {path.name}",
                expected="'>id|label' or '>id|label|training'",
                remedy="write the label into each header, or give positives and negatives as two files",
            )
        split = parts[2] if len(parts) == 3 else None
        yield _Record(where, record.sequence, parts[1] or None, split or None, parts[0])


def _iter_table_records(
    path: Path, names: tuple[str, str, str, str], *, require_labels: bool
) -> Iterator[_Record]:
    table = read_table(path)
    for name, kind in zip(names[: 1 + require_labels], ("sequence", "label"), strict=False):
        if name not in table.columns:
            columns = ", ".join(column[:30] for column in table.columns[:20])
            raise DataError(
                found=f"the columns {columns} in {path.name}",
                expected=f"a column named {name}",
                remedy=f"name the right one with --{kind}-column, in a recipe with columns.{kind}",
            )
    for row in table.rows:
        yield _Record(row.where, *(row.cells.get(name) for name in names))


def _build_data(
    name: str, records: list[_Record], *, require_labels: bool, min_length_bp: int
) -> LabeledData:
    if not records:
        raise DataError(
            found=f"no record in {name}", expected="at least one", remedy="check that the export was complete"
        )
    has_labels = require_labels or any(record.label for record in records)
    labels = [_get_value(record, "label") for record in records] if has_labels else []
    label_names = tuple(sorted(set(labels), key=_label_order))
    index_of = {label: index for index, label in enumerate(label_names)}
    has_splits = any(record.split for record in records)
    data = LabeledData(
        sequences=[_clean_sequence(record, min_length_bp=min_length_bp) for record in records],
        labels=np.array(
            [index_of[label] for label in labels] or [_UNKNOWN_LABEL] * len(records), dtype=np.int64
        ),
        label_names=label_names,
        splits=tuple(_clean_split(record) if has_splits else "" for record in records),
        ids=tuple(record.id or f"record_{number}" for number, record in enumerate(records, start=1)),
        source=name,
    )
    if require_labels:
        _check_classes(name, data)
    return data


def _get_value(record: _Record, field: str) -> str:
    value: str | None = getattr(record, field)
    if value is None:
        raise DataError(
            found=f"no {field} at {record.where}",
            expected=f"a {field} in every record",
            remedy=f"fill in the {field} or remove the record",
        )
    return value


def _clean_sequence(record: _Record, *, min_length_bp: int) -> str:
    sequence = "".join(_get_value(record, "sequence").split())
    check_nucleotides(sequence, where=record.where)
    if len(sequence) < min_length_bp:
        raise DataError(
            found=f"a sequence of {len(sequence)} bp at {record.where}",
            expected=f"at least {min_length_bp} bp",
            remedy="remove the record or lower the minimum",
        )
    return sequence.upper().replace("U", "T")


def _clean_split(record: _Record) -> str:
    value = _get_value(record, "split")
    if value.lower() not in _SPLIT_OF_NAME:
        raise DataError(
            found=f"the split '{value}' at {record.where}",
            expected="train, validation (dev, valid, val, eval) or test",
            remedy="rename the split",
        )
    return _SPLIT_OF_NAME[value.lower()]


def _label_order(label: str) -> tuple[bool, int, str]:
    """Sort whole numbers by size, before all other names."""
    is_number = re.fullmatch(r"-?[0-9]+", label) is not None
    return (not is_number, int(label) if is_number else 0, label)


def _check_classes(name: str, data: LabeledData) -> None:
    """Refuse one class only, in all or in train, and held-out classes that train does not have."""
    in_train = np.unique(data.select("train").labels)
    has_train = len(in_train) > 0
    if len(data.label_names) < 2 or (has_train and len(in_train) < 2):
        only = data.label_names[in_train[0] if has_train else 0]
        raise DataError(
            found=f"one class only ('{only}'){' in train' if has_train else ''} in {name}",
            expected="at least two classes",
            remedy="add records of another class, or check which column holds the labels",
        )
    unseen = sorted(set(data.labels.tolist()) - set(in_train.tolist())) if has_train else []
    if unseen:
        raise DataError(
            found=f"the class '{data.label_names[unseen[0]]}' in {name}, which train does not have",
            expected="every class in train",
            remedy="move records of this class to train, or correct the label",
        )
