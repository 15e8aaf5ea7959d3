"""Whole groups given to splits or folds, so that each has its share of every class."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from genolm.errors import DataError, SettingsError

Integers = npt.NDArray[np.int64]


def assign_groups(
    groups: Integers, labels: Integers, *, fractions: Mapping[str, float], seed: int
) -> npt.NDArray[np.str_]:
    """Give each group to a split, so that the splits have their fractions of every class.

    Groups come in random order, the larger ones first, each to the split that it brings closest to its wanted
    counts (chi-square: the squared distance of every class from its wanted count, divided by that).

    Args:
        groups: int64 [n], any numbers.
        labels: int64 [n], classes.
        fractions: share of the records for each split; above 0, 1 together.
        seed: of the order of groups of equal size.

    Returns:
        str [n], the name of each record's split.

    Raises:
        SettingsError: the fractions are not above 0, or not 1 together.
        DataError: there are fewer groups than splits, or a split got no record of a class.

    >>> groups, labels = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 1, 0, 1])
    >>> assign_groups(groups, labels, fractions={"train": 2 / 3, "test": 1 / 3}, seed=0).tolist()
    ['test', 'test', 'train', 'train', 'train', 'train']
    """
    shares = np.array(list(fractions.values()), dtype=np.float64)
    if not len(shares) or shares.min() <= 0 or abs(shares.sum() - 1) > 1e-6:
        raise SettingsError(
            found=", ".join(f"{share:g} for {name}" for name, share in fractions.items()) or "no split",
            expected="fractions above 0 that add up to 1",
            remedy="correct them",
        )
    names = list(fractions)
    chosen = _distribute(groups, labels, shares, np.random.default_rng(seed))
    _check_splits(chosen, groups, labels, names)
    return np.array(names)[chosen]


def assign_folds(groups: Integers, labels: Integers, *, folds: int, repeats: int = 1, seed: int) -> Integers:
    """Divide the groups into folds of equal size and class shares, several times over.

    Args:
        groups: int64 [n], any numbers.
        labels: int64 [n], classes.
        folds: how many, 2 or more; each is once the test set of a cross-validation.
        repeats: independent divisions.
        seed: the same seed gives the same folds; repeat r does not depend on the number of repeats.

    Returns:
        int64 [n, repeats], the fold of each record, 0 .. folds - 1.

    Raises:
        SettingsError: fewer than 2 folds or 1 repeat.
        DataError: there are fewer groups than folds, or a fold got no record of a class.
    """
    for name, value, smallest in (("folds", folds, 2), ("repeats", repeats, 1)):
        if value < smallest:
            raise SettingsError(
                found=f"{name} = {value}", expected=f"{smallest} or more", remedy=f"raise {name}"
            )
    columns = []
    for repeat in range(repeats):
        generator = np.random.default_rng([seed, repeat])
        chosen = _distribute(groups, labels, np.full(folds, 1 / folds), generator)
        _check_splits(chosen, groups, labels, [f"fold {number + 1}" for number in range(folds)])
        columns.append(chosen)
    return np.stack(columns, axis=1)


def _distribute(
    groups: Integers,
    labels: Integers,
    shares: npt.NDArray[np.float64],
    generator: np.random.Generator,
) -> Integers:
    """Return the number of the split of each record."""
    members, group_of = np.unique(groups, return_inverse=True)
    classes, class_of = np.unique(labels, return_inverse=True)
    shape = (len(members), len(classes))
    counts = np.bincount(group_of * shape[1] + class_of, minlength=shape[0] * shape[1]).reshape(shape)
    order = generator.permutation(shape[0])
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    wanted = shares[:, None] * counts.sum(axis=0)
    missing = wanted.copy()
    # Where splits are equally far, as at the start, chance decides, not their order.
    tie_break = generator.random((shape[0], len(shares))) * 1e-9
    chosen = np.empty(shape[0], dtype=np.int64)
    for index in order:
        count = counts[index]
        growth = (count * (count - 2 * missing) / wanted).sum(axis=1)
        split = int(np.argmin(growth + tie_break[index]))
        chosen[index] = split
        missing[split] -= count
    return chosen[group_of]


def _check_splits(chosen: Integers, groups: Integers, labels: Integers, names: list[str]) -> None:
    """Refuse a split without a record of some class."""
    counts = np.zeros((len(names), int(labels.max(initial=0)) + 1), dtype=np.int64)
    np.add.at(counts, (chosen, labels), 1)
    empty = np.argwhere((counts == 0) & (counts.sum(axis=0) > 0))
    if not len(groups) or len(empty):
        num_groups, largest = len(np.unique(groups)), np.unique(groups, return_counts=True)[1].max(initial=0)
        where = names[empty[0][0]] if len(empty) else names[0]
        raise DataError(
            found=f"no record of one class in {where}: there are {num_groups} groups, the largest of "
            f"{largest} records, for {len(names)} splits",
            expected="every class in every split",
            remedy="ask for fewer folds or larger fractions, make groups smaller (a higher --identity, "
            "shorter blocks), or add records of other origin",
        )
