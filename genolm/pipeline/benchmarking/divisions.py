"""The data of a benchmark, divided: its own split, folds or holdouts, with whole groups on one side."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.corpus.builtin import resolve_source
from genolm.corpus.labeled import SPLITS, LabeledData, read_labeled
from genolm.corpus.splitting.assignment import assign_groups
from genolm.corpus.splitting.groups import build_groups, group_by_blocks, number_groups
from genolm.corpus.splitting.table import get_groups, get_places, read_record_table
from genolm.errors import DataError
from genolm.evaluation.cross_validation import build_folds
from genolm.pipeline.benchmarking.settings import Benchmark

VALIDATION_SHARE = 0.1  # of the train split of a file without validation records
HOLDOUT_SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}  # of the records, with the protocol holdout

Integers = npt.NDArray[np.int64]


class Division(NamedTuple):
    """One way to divide the records."""

    repeat: int
    fold: int
    data: LabeledData
    """all records, with the splits of this division"""
    test_groups: Integers
    """[test records], the groups that a bootstrap draws"""
    seeds: tuple[int, ...]
    """of the trainings on it"""

    @property
    def name(self) -> str:
        """Name of its files."""
        return f"repeat-{self.repeat}-fold-{self.fold}"


class Grouping(NamedTuple):
    """The records divided with one kind of groups."""

    name: str
    """as `groups` of the benchmark has it"""
    num_groups: int
    largest_group: int
    """records"""
    divisions: tuple[Division, ...]


def read_benchmark_data(benchmark: Benchmark, *, min_length_bp: int) -> LabeledData:
    """Read the labeled records; with the protocols folds and holdout, a split that the file has is dropped.

    Raises:
        DataError: they are not usable, have no label, or no split although the protocol needs one.
    """
    names: dict[str, Any] = benchmark.columns.build_arguments()
    data = read_labeled(_find_file(benchmark), min_length_bp=min_length_bp, **names)
    if benchmark.protocol != "split":
        return replace(data, splits=("",) * len(data))
    if missing := [split for split in ("train", "test") if split not in data.splits]:
        raise DataError(
            found=f"no {' and no '.join(missing)} record in {benchmark.data}",
            expected="a split column with train and test records, for the protocol split",
            remedy="set protocol: folds or holdout, or divide the file with genolm data split",
        )
    return data


def build_grouping(benchmark: Benchmark, data: LabeledData, name: str) -> Grouping:
    """Divide the records with one kind of groups, and check that every part has every class.

    Args:
        benchmark: protocol and settings.
        data: as `read_benchmark_data` gives them.
        name: none, clusters, blocks, or the column of the groups.

    Raises:
        DataError: a part lacks a class, there are too few groups, or no such column or place.
    """
    groups = _find_groups(benchmark, data, name)
    divisions = tuple(
        _build_division(repeat, fold, replace(data, splits=splits), groups=groups, seeds=seeds)
        for repeat, fold, splits, seeds in _iter_splits(benchmark, data, groups)
    )
    sizes = np.bincount(groups)
    return Grouping(name, len(sizes), int(sizes.max()), divisions)


def _iter_splits(
    benchmark: Benchmark, data: LabeledData, groups: Integers
) -> Iterator[tuple[int, int, tuple[str, ...], tuple[int, ...]]]:
    """Yield repeat, fold, the split of each record, and the seeds of the trainings, of each division."""
    if benchmark.protocol == "split":
        yield 0, 0, _complete_split(data, groups, seed=benchmark.split_seed), benchmark.seeds
    elif benchmark.protocol == "holdout":
        for repeat, seed in enumerate(benchmark.seeds):
            split_seed = benchmark.split_seed + repeat
            chosen = assign_groups(groups, data.labels, fractions=HOLDOUT_SHARES, seed=split_seed)
            yield repeat, 0, tuple(map(str, chosen)), (seed,)
    else:
        for fold in build_folds(
            data.labels,
            groups=groups,
            num_folds=benchmark.folds,
            repeats=benchmark.repeats,
            seed=benchmark.split_seed,
        ):
            splits = _name_parts(fold.train, fold.validation, fold.test)
            yield fold.repeat, fold.number, splits, benchmark.seeds


def _find_file(benchmark: Benchmark) -> Path:
    return resolve_source(benchmark.data)


def _find_groups(benchmark: Benchmark, data: LabeledData, name: str) -> Integers:
    """Return the group of each record, int64 [n]; none: each record by itself."""
    if name == "none":
        return np.arange(len(data))
    if name == "clusters":
        return build_groups(data.sequences, settings=benchmark.clusters)
    table = read_record_table(_find_file(benchmark), columns=benchmark.columns)
    if name == "blocks":
        return group_by_blocks(get_places(table), block_bp=benchmark.block_bp)
    return number_groups(get_groups(table, column=name))


def _complete_split(data: LabeledData, groups: Integers, *, seed: int) -> tuple[str, ...]:
    """Return the file's split; if it has no validation records, whole groups of train become them."""
    if "validation" in data.splits:
        return data.splits
    splits = np.array(data.splits, dtype=object)
    rows = np.flatnonzero(splits == "train")
    shares = {"train": 1 - VALIDATION_SHARE, "validation": VALIDATION_SHARE}
    splits[rows] = assign_groups(groups[rows], data.labels[rows], fractions=shares, seed=seed)
    return tuple(map(str, splits))


def _name_parts(*parts: Integers) -> tuple[str, ...]:
    """Return the split of each record from the rows of train, validation and test.

    >>> _name_parts(np.array([0, 3]), np.array([1]), np.array([2]))
    ('train', 'validation', 'test', 'train')
    """
    splits = np.empty(sum(map(len, parts)), dtype=object)
    for name, rows in zip(SPLITS, parts, strict=True):
        splits[rows] = name
    return tuple(splits.tolist())


def _build_division(
    repeat: int, fold: int, data: LabeledData, *, groups: Integers, seeds: tuple[int, ...]
) -> Division:
    for split in SPLITS:
        present = set(data.select(split).labels.tolist())
        if missing := [name for label, name in enumerate(data.label_names) if label not in present]:
            raise DataError(
                found=f"no record of the class '{missing[0]}' in the {split} records of "
                f"repeat {repeat}, fold {fold}",
                expected="every class in train, validation and test",
                remedy="correct the split column, ask for fewer folds, or add records",
            )
    test_groups = groups[np.array(data.splits) == "test"]
    if len(np.unique(test_groups)) < 2:
        raise DataError(
            found=f"{len(test_groups)} test records, all of one group, in repeat {repeat}, fold {fold}",
            expected="2 groups or more, without which there is no interval",
            remedy="set groups: none, or make groups smaller (a higher clusters.identity)",
        )
    return Division(repeat, fold, data, test_groups, seeds)
