"""A labeled table with what a split needs to know of it: sequences, classes, places on a genome."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.corpus.labeled import ColumnNames, LabeledData, read_labeled
from genolm.corpus.tables import Cells, is_fasta, read_table
from genolm.errors import DataError
from genolm.genome.intervals import Interval

PLACE_COLUMNS = ("contig", "start", "end")

_PLACE_IN_ID = re.compile(r"(?P<contig>[^\s:]+):(?P<start>\d+)-(?P<end>\d+)(?!\d)")
_MAX_CLASSES = 20


class RecordTable(NamedTuple):
    """The cells of a file as they stand there, and what they mean."""

    name: str
    """of the file"""
    columns: tuple[str, ...]
    rows: list[Cells]
    data: LabeledData

    @property
    def classes(self) -> npt.NDArray[np.int64]:
        """Classes to balance, [n]; all 0 where there is no label, or so many that they are no classes."""
        if len(self.data.label_names) > _MAX_CLASSES:
            return np.zeros(len(self.rows), dtype=np.int64)
        return np.maximum(self.data.labels, 0)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in their order."""
        names = self.data.label_names
        return names if 0 < len(names) <= _MAX_CLASSES else ("all",)


def read_record_table(path: Path, *, columns: ColumnNames) -> RecordTable:
    """Read any file of labeled or unlabeled sequences that `genolm.corpus.labeled.read_labeled` reads.

    A split that the file has is not looked at. Of FASTA the table has the columns id, sequence and label.

    Raises:
        DataError: the file is not usable, or has no column of the name asked for.
    """
    if is_fasta(path):
        data = read_labeled(path, require_labels=False)
        if all("|" in each for each in data.ids):
            data = read_labeled(path)
        cells = [
            Cells(id=name, sequence=text, label=data.label_names[label] if data.label_names else None)
            for name, text, label in zip(data.ids, data.sequences, data.labels, strict=True)
        ]
        shown = ("id", "sequence", *(["label"] if data.label_names else []))
        return RecordTable(path.name, shown, cells, data)
    table = read_table(path)
    if columns.label != ColumnNames().label:
        get_column(path.name, table.columns, columns.label)
    data = read_labeled(
        path,
        sequence_column=columns.sequence,
        label_column=columns.label,
        split_column="",
        id_column=columns.id,
        require_labels=False,
    )
    return RecordTable(path.name, table.columns, [row.cells for row in table.rows], data)


def get_column(name: str, columns: tuple[str, ...], column: str) -> str:
    """Return the name of a column that must exist.

    Raises:
        DataError: the table has no such column.
    """
    if column not in columns:
        raise DataError(
            found=f"the columns {', '.join(columns)[:200]} in {name}",
            expected=f"a column named {column}",
            remedy="correct the name of the column",
        )
    return column


def get_groups(table: RecordTable, *, column: str) -> list[str]:
    """Return the groups (one per record) that a column names.

    Raises:
        DataError: the column does not exist, or a record has no group.
    """
    get_column(table.name, table.columns, column)
    names = []
    for number, cells in enumerate(table.rows, start=1):
        name = cells.get(column)
        if name is None:
            raise DataError(
                found=f"no {column} at record {number} of {table.name}",
                expected="a group for every record",
                remedy="fill it in; a record that belongs to no group gets a name of its own",
            )
        names.append(name)
    return names


def get_places(table: RecordTable) -> list[Interval]:
    """Return where the records lie: columns contig, start, end, or ids such as chr1:100-181(+).

    Raises:
        DataError: a record has neither, or its end is not behind its start.
    """
    has_columns = set(PLACE_COLUMNS) <= set(table.columns)
    places = []
    for number, cells in enumerate(table.rows, start=1):
        if has_columns:
            texts = [cells.get(column) or "" for column in PLACE_COLUMNS]
        else:
            match = _PLACE_IN_ID.match(table.data.ids[number - 1])
            texts = list(match.groups()) if match else []
        try:
            place = Interval(texts[0], int(texts[1]), int(texts[2]))
        except (IndexError, ValueError):
            place = Interval("", 0, 0)
        if not place.contig or not 0 <= place.start < place.end:
            raise DataError(
                found=f"no place on a genome for record {number} of {table.name}",
                expected="columns contig, start, end (0-based, half-open), or ids such as chr1:100-181(+)",
                remedy="add the columns, or use --method clusters",
            )
        places.append(place)
    return places
