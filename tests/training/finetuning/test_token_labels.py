from dataclasses import replace

import numpy as np
import pytest
import torch
from test_finetuning_data import make_data

from genolm.errors import DataError
from genolm.tokenization.encoder import encode_sequences
from genolm.tokenization.scheme import KmerScheme
from genolm.training.finetuning.data import build_targets, check_targets
from genolm.training.finetuning.token_labels import (
    build_base_targets,
    build_token_batches,
    label_tokens,
    split_rows,
)

SCHEME = KmerScheme(k=3, stride=1)
SEQUENCES = ["ACGTAC", "ACGT", "GGTTAACC"]
LABELS = [np.array(each) for each in ([0, 1, 1, 0, 2, 0], [-100, -100, -100, 2], [2, 1, 0, 1, -100, 0, 1, 2])]


def build_batches(**changes):
    token_ids = encode_sequences(SEQUENCES, SCHEME)
    settings = {"max_tokens": None, "scheme": SCHEME, "batch_size": 3, "seed": 0, **changes}
    return build_token_batches(token_ids, LABELS, ids=["a", "b", "c"], **settings)


def test_letters_become_classes_and_the_dash_none():
    targets = build_base_targets(make_data(["..E-", "I..-", "..E-"], "tvt"))
    assert targets.names == (".", "E", "I")
    assert [values.tolist() for values in targets.values] == [
        [0, 0, 1, -100],
        [2, 0, 0, -100],
        [0, 0, 1, -100],
    ]
    assert build_targets(make_data(["0101", "1100"], "tv"), "token_classification").names == ("0", "1")


def test_a_label_of_another_length_is_refused():
    data = make_data(["..E.", "..EE."], "tv")
    with pytest.raises(
        DataError,
        match=r"label of 5 letters of r1, a sequence of 4 bp; expected a label with one letter for each base",
    ):
        build_base_targets(data)
    with pytest.raises(DataError, match="no label of r0, a sequence of 4 bp"):
        build_base_targets(replace(data, labels=np.array([-1, -1]), label_names=()))


def test_one_kind_of_letter_is_refused():
    with pytest.raises(
        DataError, match="1 kind of letter in the labels, - not counted; expected two classes"
    ):
        build_base_targets(make_data(["EE-E", "EEEE"], "tv"))


def test_a_letter_that_a_split_lacks_is_refused():
    data = make_data(["..E.", "..E.", "...."], "ttv")
    with pytest.raises(DataError, match="no sequence with label E in the validation split"):
        check_targets(data, build_targets(data, "token_classification"), "token_classification")
    with pytest.raises(DataError, match=r"no sequence with label \., E in the validation split"):
        check_targets(
            replace(data, splits=("train",) * 3),
            build_targets(data, "token_classification"),
            "token_classification",
        )


def test_a_token_learns_the_label_of_its_center():
    labels = np.arange(9)
    for scheme, expected in ((KmerScheme(4, 1), [1, 2, 3, 4, 5, 6]), (KmerScheme(3, 3), [1, 4, 7])):
        found = label_tokens(labels, num_tokens=len(expected), scheme=scheme)
        assert found.tolist() == [-100, *expected, -100]


def test_a_batch_holds_the_labels_in_the_places_of_the_tokens():
    batches = build_batches(batch_size=2)
    assert batches.steps_per_epoch == 1, "b has no label at the center of a token, so it teaches nothing"
    names = batches.name_rows(0, slice(0, 2))
    step_input = batches.build_input(0, slice(0, 2))
    rows = dict(zip(names, step_input.inputs["labels"].tolist(), strict=True))
    assert rows == {
        "a": [-100, 1, 1, 0, 2, -100, -100, -100],
        "c": [-100, 1, 0, 1, -100, 0, 1, -100],
    }
    assert step_input.inputs["labels"].dtype == torch.int64
    assert (step_input.tokens, step_input.weight) == (6 + 8, 4 + 5)


def test_windows_take_their_labels_along():
    batches = build_batches(max_tokens=6)  # 4 k-mers; c has 6, in windows from 0 and 2 on
    found = {name: [] for name in "ac"}
    for row in range(3):
        name = batches.name_rows(0, slice(row, row + 1))[0]
        step_input = batches.build_input(0, slice(row, row + 1))
        found[name].append(step_input.inputs["labels"][0].tolist())
    assert found["a"] == [[-100, 1, 1, 0, 2, -100]]
    assert sorted(found["c"]) == [[-100, 1, -100, 0, 1, -100], [-100, 1, 0, 1, -100, -100]]


def test_labels_that_no_token_speaks_for_are_refused():
    with pytest.raises(
        DataError, match=r"no token with a label in the train split; .* center of a token of km"
    ):
        build_token_batches(
            encode_sequences(SEQUENCES[1:2], SCHEME),
            LABELS[1:2],
            ids=["b"],
            max_tokens=None,
            scheme=SCHEME,
            batch_size=1,
            seed=0,
        )


def test_rows_of_all_tokens_are_cut_by_sequence():
    rows = np.arange(6, dtype=np.float32)[:, None]
    parts = split_rows(rows, [np.zeros(4), np.zeros(3), np.zeros(5)])
    assert [part[:, 0].tolist() for part in parts] == [[0, 1], [2], [3, 4, 5]]
