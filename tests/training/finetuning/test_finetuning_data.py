from dataclasses import replace

import numpy as np
import pytest

from genolm.corpus.labeled import LabeledData, read_labeled
from genolm.errors import DataError
from genolm.training.finetuning.data import Examples, Unit, build_targets, check_targets, find_unit


def make_data(labels: list[str], splits: str = "tttvvv") -> LabeledData:
    names = tuple(sorted(set(labels)))
    kinds = {"t": "train", "v": "validation"}
    return LabeledData(
        sequences=["ACGT"] * len(labels),
        labels=np.array([names.index(label) for label in labels]),
        label_names=names,
        splits=tuple(kinds[letter] for letter in splits),
        ids=tuple(f"r{number}" for number in range(len(labels))),
    )


def test_classes_stay_as_they_are():
    data = make_data(["b", "a", "b"], "ttv")
    targets = build_targets(data, "classification")
    assert targets.names == ("a", "b")
    assert targets.values.tolist() == [1, 0, 1]


def test_numbers_are_read_from_labels():
    targets = build_targets(make_data(["2.5", "-1e3", "2.5"], "ttv"), "regression")
    assert targets.names == ("value",)
    assert targets.values.tolist() == [2.5, -1000.0, 2.5]
    assert targets.values.dtype == np.float32


def test_several_names_are_read_from_a_label():
    targets = build_targets(make_data(["b;a", " c ", ";", "a"], "tttv"), "multi_label")
    assert targets.names == ("a", "b", "c")
    assert targets.values.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0]]


@pytest.mark.parametrize("label", ["high", "nan", "inf", ""])
def test_a_label_that_is_no_number_is_refused(label):
    with pytest.raises(DataError, match=f"the label '{label}'; expected a number, since the task is a reg"):
        build_targets(make_data(["1", label], "tv"), "regression")


def test_a_sequence_without_a_label_is_refused():
    data = replace(make_data(["1", "2"], "tv"), labels=np.array([0, -1]))
    with pytest.raises(DataError, match="no label of r1; expected a label for every sequence"):
        build_targets(data, "regression")


def test_numbers_of_a_file_are_read_without_the_rules_of_classes(tmp_path):
    path = tmp_path / "values.csv"
    path.write_text("sequence,label,split\nACGT,0.5,train\nACGA,1.5,train\nACGC,9,validation\n")
    targets = build_targets(read_labeled(path, require_labels=False), "regression")
    assert targets.values.tolist() == [0.5, 1.5, 9.0]


@pytest.mark.parametrize(
    ("task", "labels", "message"),
    [
        ("classification", ["a", "b", "a", "a", "a", "a"], "label b in the validation split"),
        ("multi_label", ["a", "a", ";", "a;b", "a", "a"], "label b in the train split"),
        ("multi_label", [";"] * 6, "no sequence with label of any name in the train split"),
        (
            "regression",
            ["1", "2", "1", "1", "1", "1"],
            "3 sequences with 1 different numbers in the validati",
        ),
    ],
)
def test_a_split_that_says_nothing_is_refused(task, labels, message):
    data = make_data(labels)
    with pytest.raises(DataError, match=message):
        check_targets(data, build_targets(data, task), task)


def test_numbers_are_learned_in_units_of_their_spread():
    examples = Examples([], np.array([10.0, 30.0], dtype=np.float32), ("a", "b"))
    unit = find_unit(examples)
    assert unit == Unit(20.0, 10.0)
    assert unit.normalize(examples).values.tolist() == [-1.0, 1.0]
