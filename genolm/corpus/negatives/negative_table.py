"""Positives read from any labeled table, and both labels written as one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genolm.corpus.labeled import ColumnNames
from genolm.corpus.negatives.build import NegativeSet, Positives, Record
from genolm.corpus.promoter_table import get_summary_path
from genolm.corpus.splitting.split_table import write_cells
from genolm.corpus.splitting.table import PLACE_COLUMNS, RecordTable, get_places, read_record_table
from genolm.corpus.tables import Cells
from genolm.errors import DataError
from genolm.files import write_json

_NO_LABELS = ("positive", "negative")
_STRANDS = ("+", "-")


def read_positives(
    path: Path, *, columns: ColumnNames, positive_label: str | None = None
) -> tuple[Positives, tuple[str, str]]:
    """Read the positives of a table, and what positives and negatives shall be called.

    Of a table with two classes the positives are those of the second one (promoter of other and promoter, 1
    of 0 and 1), unless `positive_label` says which; the negatives get the name of the other class. Columns
    contig, start, end and strand are taken as the places of the records.

    Raises:
        DataError: the file is not usable, the label does not occur, or there are more than two classes and
            it is not said which are the positives.
    """
    table = read_record_table(path, columns=columns)
    names = table.data.label_names
    label = positive_label or (names[-1] if 0 < len(names) <= 2 else "")
    if names and label not in names:
        raise DataError(
            found=f"the classes {', '.join(names)[:200]} in {path.name}",
            expected=f"a class '{label}'" if label else "one or two classes",
            remedy="say with --positive-label which records are the positives",
        )
    chosen = [number for number, index in enumerate(table.data.labels) if not names or names[index] == label]
    places = get_places(table) if set(PLACE_COLUMNS) <= set(table.columns) else None
    positives = Positives(
        sequences=[table.data.sequences[number] for number in chosen],
        splits=_get_texts(table, columns.split, chosen),
        ids=[table.data.ids[number] for number in chosen],
        places=[places[number] for number in chosen] if places else None,
        strands=[text if text in _STRANDS else "" for text in _get_texts(table, "strand", chosen)],
    )
    others = [name for name in names if name != label]
    return positives, (label or _NO_LABELS[0], others[0] if len(others) == 1 else _NO_LABELS[1])


def write_negative_set(result: NegativeSet, path: Path, *, provenance: Mapping[str, Any]) -> Path:
    """Write both labels as a table (CSV, gzipped if its name ends in .gz), and the counts as JSON beside it.

    Columns in which no record has a value are left out.

    Returns:
        The path of the summary: NAME.csv.gz has NAME.json.

    Raises:
        SettingsError: another ending than .csv or .csv.gz.
    """
    summary_path = get_summary_path(path)
    columns = tuple(name for name in Record._fields if any(getattr(row, name) for row in result.rows))
    rows: list[Cells] = [{name: getattr(row, name) for name in columns} for row in result.rows]
    write_cells(path, columns, rows)
    summary = {"records": count_records(result), "missing": result.missing, "not_found": result.not_found}
    write_json(summary_path, summary | dict(provenance))
    return summary_path


def count_records(result: NegativeSet) -> dict[str, dict[str, int]]:
    """Return the number of records per split (or all) and label."""
    labels = list(dict.fromkeys(row.label for row in result.rows))
    counts: dict[str, dict[str, int]] = {}
    for row in result.rows:
        of_split = counts.setdefault(row.split or "all", dict.fromkeys(labels, 0))
        of_split[row.label] += 1
    return counts


def _get_texts(table: RecordTable, column: str, chosen: list[int]) -> list[str]:
    return [table.rows[number].get(column) or "" for number in chosen]
