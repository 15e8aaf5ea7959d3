"""A labeled table divided without a leak: the new columns, and what a user should know of them."""

import csv
import gzip
import io
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from genolm.corpus.promoter_table import get_summary_path
from genolm.corpus.splitting.assignment import assign_folds, assign_groups
from genolm.corpus.splitting.groups import (
    ClusterSettings,
    Groups,
    build_groups,
    group_by_blocks,
    link_groups,
    number_groups,
)
from genolm.corpus.splitting.similar_pairs import SimilarPairs, find_similar_pairs
from genolm.corpus.splitting.table import RecordTable, get_groups, get_places
from genolm.corpus.tables import Cells
from genolm.errors import SettingsError
from genolm.files import atomic_path, write_json

logger = logging.getLogger(__name__)

Method = Literal["clusters", "blocks", "group", "random"]

_MAX_SHARE_ERROR = 0.02


@dataclass(frozen=True, kw_only=True)
class SplitSettings:
    """What belongs together, and how it is divided."""

    method: Method = "clusters"
    """clusters of similar sequences, blocks of a genome, the groups of a column, or single records"""
    clusters: ClusterSettings = field(default_factory=ClusterSettings)
    """what is similar; of the other methods, it says which pairs the summary looks for"""
    block_bp: int = 50_000
    """bp; length of a block; 0: whole contigs"""
    group_column: str = ""
    """column of the groups"""
    validation_fraction: float = 0.1
    """of the records; 0: no validation split"""
    test_fraction: float = 0.2
    """of the records; 0: no test split"""
    folds: int = 0
    """folds of a cross-validation instead of a train, a validation and a test split; 0: none"""
    repeats: int = 1
    """independent divisions into folds"""

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            SettingsError: a setting is out of its range, or two do not go together.
        """
        if self.method not in get_args(Method):
            raise SettingsError(
                found=f"the method '{self.method}'",
                expected=f"one of {', '.join(get_args(Method))}",
                remedy="use one of these",
            )
        if (self.method == "group") != bool(self.group_column):
            raise SettingsError(
                found=f"method {self.method} and group_column '{self.group_column}'",
                expected="a group column with the method group, and only there",
                remedy="give --method group --group-column NAME",
            )
        held_out = (self.validation_fraction, self.test_fraction)
        if min(held_out) < 0 or not 0 < sum(held_out) < 1:
            raise SettingsError(
                found=f"validation_fraction = {held_out[0]} and test_fraction = {held_out[1]}",
                expected="shares of 0 or more that add up to more than 0 and less than 1",
                remedy="correct them",
            )
        if self.folds < 0 or self.folds == 1 or self.repeats < 1 or (self.repeats > 1 and not self.folds):
            raise SettingsError(
                found=f"folds = {self.folds} and repeats = {self.repeats}",
                expected="2 or more folds (0 for none), and repeats of folds only",
                remedy="give --folds 5 --repeats 3, or neither",
            )

    @property
    def fractions(self) -> dict[str, float]:
        """Share of the records per split, without those of nothing."""
        shares = {
            "train": 1 - self.validation_fraction - self.test_fraction,
            "validation": self.validation_fraction,
            "test": self.test_fraction,
        }
        return {name: share for name, share in shares.items() if share}


@dataclass(frozen=True, kw_only=True)
class SplitSummary:
    """What became of the records."""

    records: int
    groups: int
    largest_group: int
    """records"""
    splits: dict[str, dict[str, int]]
    """records per split, or per fold (fold_1=1 is fold 1 of the first repeat), and class"""
    largest_share_error: float
    """largest difference between the share of a class in a split and in the whole"""
    closest_pair: dict[str, Any] | None
    """the two records of different splits that have most k-mers in common: ids, and that share of the k-mers
    of the one that has fewer; none where no such pair has half of what counts as similar"""


class SplitTable(NamedTuple):
    """The table with its new columns, and the summary."""

    columns: tuple[str, ...]
    rows: list[Cells]
    summary: SplitSummary


def split_table(table: RecordTable, *, settings: SplitSettings, seed: int) -> SplitTable:
    """Give the records of a table splits, in a column split, or folds, in columns fold_1, fold_2 ...

    A column of such a name that is there is replaced. Folds are counted from 1.

    Args:
        table: from `genolm.corpus.splitting.table.read_record_table`.
        settings: how to divide.
        seed: of every choice; 0 or more.

    Raises:
        SettingsError: mmseqs is asked for and cannot be used.
        DataError: groups or places are asked for and missing; or the groups are too few or too large for
            every split to have every class.
    """
    pairs = find_similar_pairs(
        table.data.sequences, k=settings.clusters.kmer_bp, min_share=settings.clusters.identity / 2
    )
    groups = _find_groups(table, pairs, settings)
    classes = table.classes
    new: dict[str, npt.NDArray[Any]]
    if settings.folds:
        folds = assign_folds(groups, classes, folds=settings.folds, repeats=settings.repeats, seed=seed)
        new = {f"fold_{number}": column + 1 for number, column in enumerate(folds.T, start=1)}
    else:
        new = {"split": assign_groups(groups, classes, fractions=settings.fractions, seed=seed)}
    summary = _summarize(table, groups, pairs, new)
    _log_warnings(summary, settings)
    rows = [
        {**cells, **dict(zip(new, map(str, values), strict=True))}
        for cells, *values in zip(table.rows, *new.values(), strict=True)
    ]
    return SplitTable(tuple(dict.fromkeys([*table.columns, *new])), rows, summary)


def write_split_table(result: SplitTable, path: Path, *, provenance: Mapping[str, Any]) -> Path:
    """Write the table (CSV, gzipped if its name ends in .gz) and, beside it, the summary as JSON.

    Returns:
        The path of the summary: NAME.csv.gz has NAME.json.

    Raises:
        SettingsError: another ending than .csv or .csv.gz.
    """
    summary_path = get_summary_path(path)
    write_cells(path, result.columns, result.rows)
    write_json(summary_path, asdict(result.summary) | dict(provenance))
    return summary_path


def write_cells(path: Path, columns: tuple[str, ...], rows: list[Cells]) -> None:
    """Write a table of text as CSV, gzipped if its name ends in .gz; the same cells give the same bytes."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    content = text.getvalue().encode()
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def _find_groups(table: RecordTable, pairs: SimilarPairs, settings: SplitSettings) -> Groups:
    num_records = len(table.rows)
    if settings.method == "blocks":
        return group_by_blocks(get_places(table), block_bp=settings.block_bp)
    if settings.method == "group":
        return number_groups(get_groups(table, column=settings.group_column))
    if settings.method == "random":
        return np.arange(num_records)
    if settings.clusters.engine == "own":
        return link_groups(pairs, num_records=num_records, min_share=settings.clusters.identity)
    return build_groups(table.data.sequences, settings=settings.clusters)


def _summarize(
    table: RecordTable, groups: Groups, pairs: SimilarPairs, new: Mapping[str, npt.NDArray[Any]]
) -> SplitSummary:
    whole = np.bincount(table.classes, minlength=len(table.class_names))
    splits, errors = {}, [0.0]
    crosses = np.zeros(len(pairs.share), dtype=bool)
    for column, values in new.items():
        crosses |= values[pairs.first] != values[pairs.second]
        for name in dict.fromkeys(values.tolist()):
            counts = np.bincount(table.classes[values == name], minlength=len(whole))
            errors.append(float(np.abs(counts / counts.sum() - whole / whole.sum()).max()))
            title = name if column == "split" else f"{column}={name}"
            splits[title] = dict(zip(table.class_names, counts.tolist(), strict=True))
    return SplitSummary(
        records=len(table.rows),
        groups=len(np.unique(groups)),
        largest_group=int(np.bincount(groups).max()),
        splits=dict(sorted(splits.items(), key=_split_order)),
        largest_share_error=max(errors),
        closest_pair=_find_closest(table, pairs, np.flatnonzero(crosses)),
    )


def _split_order(item: tuple[str, Any]) -> tuple[int, int, str]:
    order = ("train", "validation", "test")
    name = item[0]
    return (order.index(name) if name in order else len(order), len(name), name)


def _find_closest(
    table: RecordTable, pairs: SimilarPairs, crossing: npt.NDArray[np.int64]
) -> dict[str, Any] | None:
    if not len(crossing):
        return None
    # By index where shares are equal, so that the pair does not depend on the order of the search.
    best = min(crossing, key=lambda pair: (-pairs.share[pair], pairs.first[pair], pairs.second[pair]))
    ids = [table.data.ids[index] for index in (pairs.first[best], pairs.second[best])]
    return {"ids": ids, "share": float(pairs.share[best])}


def _log_warnings(summary: SplitSummary, settings: SplitSettings) -> None:
    share = summary.closest_pair["share"] if summary.closest_pair else 0.0
    if settings.method == "random":
        logger.warning(
            "a random split can leak: near-identical sequences may stand on both sides; prefer clusters"
        )
    if share >= settings.clusters.identity:
        logger.warning(
            "two records of different splits have %.0f %% of their %d-mers in common: %s and %s",
            100 * share,
            settings.clusters.kmer_bp,
            *(summary.closest_pair or {})["ids"],
        )
    if summary.largest_share_error > _MAX_SHARE_ERROR:
        logger.warning(
            "the share of a class differs by %.1f %% between a split and the whole: the groups are too large "
            "(the largest has %d of %d records) for a better balance",
            100 * summary.largest_share_error,
            summary.largest_group,
            summary.records,
        )
