"""Whole groups to splits and folds: nothing is torn, and the classes keep their shares."""

import numpy as np
import pytest

from genolm.corpus.splitting.assignment import assign_folds, assign_groups
from genolm.errors import DataError, SettingsError

FRACTIONS = {"train": 0.7, "validation": 0.1, "test": 0.2}


def make_groups(seed, num_records=3_000, num_groups=400, largest=0, classes=2):
    """Groups of uneven size, each with a class that prevails in it."""
    generator = np.random.default_rng(seed)
    weights = generator.pareto(1.5, size=num_groups) + 0.2
    groups = generator.choice(num_groups, size=num_records, p=weights / weights.sum())
    groups[:largest] = num_groups
    prevailing = generator.integers(classes, size=num_groups + 1)
    labels = np.where(generator.random(num_records) < 0.7, prevailing[groups], 0)
    return groups, labels


def share_errors(labels, members):
    """Largest difference of a class share inside and overall."""
    counts = np.bincount(labels[members], minlength=labels.max() + 1) / members.sum()
    return np.abs(counts - np.bincount(labels) / len(labels)).max()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("classes", [2, 5])
def test_groups_stay_whole_and_splits_have_their_share_of_every_class(seed, classes):
    groups, labels = make_groups(seed, classes=classes)
    splits = assign_groups(groups, labels, fractions=FRACTIONS, seed=seed)
    assert len({*zip(groups.tolist(), splits.tolist(), strict=True)}) == len(np.unique(groups))
    for name, fraction in FRACTIONS.items():
        assert np.mean(splits == name) == pytest.approx(fraction, abs=0.01)
        assert share_errors(labels, splits == name) < 0.02


def test_a_hand_computed_case():
    # One group of 6, which only train can hold, then one of 2 and two of 1: 2 records each for the others.
    groups = np.array([5] * 6 + [1] * 2 + [8, 9])
    splits = assign_groups(
        groups, np.zeros(10, dtype=int), fractions={"train": 0.6, "validation": 0.2, "test": 0.2}, seed=0
    )
    assert set(splits[:6]) == {"train"}
    assert {splits[6], splits[8]} == {"validation", "test"}
    assert splits[8] == splits[9]
    assert splits[6] == splits[7]


def test_a_huge_group_goes_where_it_fits_best():
    groups, labels = make_groups(1, largest=1_800)
    splits = assign_groups(groups, labels, fractions=FRACTIONS, seed=0)
    assert set(splits[groups == 400]) == {"train"}
    assert np.mean(splits == "test") == pytest.approx(0.2, abs=0.01)


def test_single_records_are_balanced_to_the_record():
    labels = np.array([0] * 60 + [1] * 40)
    splits = assign_groups(np.arange(100), labels, fractions=FRACTIONS, seed=4)
    counts = {name: np.bincount(labels[splits == name]).tolist() for name in FRACTIONS}
    assert counts == {"train": [42, 28], "validation": [6, 4], "test": [12, 8]}


def test_the_seed_decides_and_names_of_groups_do_not():
    groups, labels = make_groups(2)
    first = assign_groups(groups, labels, fractions=FRACTIONS, seed=0)
    assert (first == assign_groups(groups * 7 + 3, labels, fractions=FRACTIONS, seed=0)).all()
    assert (first != assign_groups(groups, labels, fractions=FRACTIONS, seed=1)).mean() > 0.1


def test_folds_are_even_and_every_record_is_once_in_each_division():
    groups, labels = make_groups(3, classes=3)
    folds = assign_folds(groups, labels, folds=5, repeats=3, seed=7)
    assert folds.shape == (3_000, 3)
    for column in folds.T:
        assert len({*zip(groups.tolist(), column.tolist(), strict=True)}) == len(np.unique(groups))
        for fold in range(5):
            assert np.mean(column == fold) == pytest.approx(0.2, abs=0.01)
            assert share_errors(labels, column == fold) < 0.02
    assert (folds[:, 0] != folds[:, 1]).mean() > 0.5
    assert (folds[:, :1] == assign_folds(groups, labels, folds=5, seed=7)).all()


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ({}, "no split; expected fractions above 0"),
        ({"train": 1.2, "test": -0.2}, "1.2 for train, -0.2 for test"),
        ({"train": 0.5, "test": 0.4}, "0.5 for train, 0.4 for test; expected fractions above 0 that add up"),
    ],
)
def test_fractions_that_are_none_are_refused(fractions, message):
    with pytest.raises(SettingsError, match=message):
        assign_groups(np.arange(4), np.zeros(4, dtype=int), fractions=fractions, seed=0)


@pytest.mark.parametrize(("folds", "repeats", "message"), [(1, 1, "folds = 1"), (2, 0, "repeats = 0")])
def test_too_few_folds_are_refused(folds, repeats, message):
    with pytest.raises(SettingsError, match=message):
        assign_folds(np.arange(4), np.zeros(4, dtype=int), folds=folds, repeats=repeats, seed=0)


def test_a_split_without_a_class_is_refused():
    labels = np.array([0, 0, 0, 0, 0, 1])
    with pytest.raises(
        DataError, match=r"no record of one class in .*: there are 6 groups, the largest of 1"
    ):
        assign_groups(np.arange(6), labels, fractions={"train": 0.5, "test": 0.5}, seed=0)
    with pytest.raises(
        DataError, match=r"in fold [123]: there are 2 groups, the largest of 3 records, for 3"
    ):
        assign_folds(np.array([0, 0, 0, 1, 1, 1]), np.zeros(6, dtype=int), folds=3, seed=0)
    with pytest.raises(DataError, match="in train: there are 0 groups"):
        assign_groups(np.arange(0), np.arange(0), fractions={"train": 1.0}, seed=0)
