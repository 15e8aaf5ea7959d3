import json

import numpy as np
import pytest
from kmer_sets import flip
from made_up_dna import make_dna

from genolm.corpus.audit.data_audit import check_data
from genolm.errors import DataError
from genolm.progress import Reporter, Task


def make_clean(n, length_bp=60, *, first_seed=0):
    return [make_dna(length_bp, seed=first_seed + number) for number in range(n)]


def list_names(audit, severity):
    return [finding.name for finding in audit.findings if finding.severity == severity]


def test_unrelated_records_have_no_leak(make_data):
    splits = ["train"] * 60 + ["validation"] * 10 + ["test"] * 20
    audit = check_data(make_data(make_clean(90), [0, 1] * 45, splits))
    assert audit.leaks == ()
    assert audit.records == 90
    assert audit.overlap_bp == 31
    assert audit.predictors.protocol == "train to test"
    assert [each.records for each in audit.classes] == [45, 45]


def test_each_planted_leak_is_found(make_data):
    sequences = make_clean(90)
    sequences[70] = sequences[0]  # test has a record of train ...
    sequences[72] = flip(sequences[2])  # ... and one on the other strand,
    sequences[74] = sequences[4][6:] + "ACGTTG"  # and one shifted by 6 bp;
    sequences[7] = sequences[6]  # and one sequence has both labels
    splits = ["train"] * 60 + ["validation"] * 10 + ["test"] * 20
    audit = check_data(make_data(sequences, [0, 1] * 45, splits))
    assert [finding.name for finding in audit.leaks] == [
        "duplicates_across_splits",
        "contradictory_labels",
        "near_duplicates_across_splits",
        "shared_kmer_rule",  # all three are of class 0
    ]
    by_name = {finding.name: finding.figures for finding in audit.leaks}
    assert by_name["duplicates_across_splits"]["splits"] == {"test with train": 2}
    assert by_name["duplicates_across_splits"]["examples"] == ["r0 and r70", "r2 and r72"]
    assert by_name["contradictory_labels"]["examples"] == ["r6 and r7"]
    assert by_name["near_duplicates_across_splits"]["splits"]["test with train"] == 3
    assert audit.overlaps.count("other_split") == 6
    assert audit.overlaps.count("any_other") == 8


def test_overlapping_negatives_without_splits(make_data):
    """The leak of the classical promoter sets: all negatives are windows of one short stretch."""
    stretch, generator = make_dna(1_500, seed=3), np.random.default_rng(0)
    negatives = [stretch[start : start + 81] for start in generator.integers(0, 1_419, 100)]
    audit = check_data(make_data(negatives + make_clean(50, 81, first_seed=10), [0] * 100 + [1] * 50))
    assert list_names(audit, "leak") == ["shared_kmer_rule"]
    assert {"near_duplicates", "class_overlaps_itself"} <= set(list_names(audit, "warning"))
    assert "no_split" in list_names(audit, "note")
    assert audit.predictors.find("shared_kmer_rule").mcc > 0.9


@pytest.mark.parametrize(("shortest_bp", "overlap_bp"), [(10, 16), (20, 20), (31, 31), (200, 31)])
def test_overlaps_fit_the_shortest_record(make_data, shortest_bp, overlap_bp):
    long = make_dna(200, seed=1)
    sequences = [make_dna(shortest_bp, seed=2), long, flip(long[:overlap_bp]), make_dna(200, seed=4)]
    audit = check_data(make_data(sequences, [0, 1, 0, 1]))
    assert audit.overlap_bp == overlap_bp
    assert audit.overlaps.count("other_class") == 2


def test_everything_goes_into_json(make_data):
    audit = check_data(make_data([*make_clean(9), "NNNN"], [0, 1] * 5, names=("no", "yes")))
    figures = json.loads(json.dumps(audit.as_dict()))
    assert figures["classes"][1]["other_letters"] == {"N": 4}
    assert figures["duplicates"]["sharing"]["groups"][0]["label"] == "no"
    assert len(figures["findings"]) == len(audit.findings)
    assert set(figures) == {
        "records", "classes", "duplicates", "near_duplicates", "overlap_bp", "overlaps", "predictors",
        "findings",
    }  # fmt: skip


def test_progress_is_shown(make_data):
    seen = []

    class Recorder(Reporter, Task):
        def update(self, completed, text=""):
            seen.append((completed, text))

        def task(self, title, *, total):
            from contextlib import nullcontext

            seen.append((title, total))
            return nullcontext(self)

    check_data(make_data(make_clean(4), [0, 1, 0, 1]), reporter=Recorder())
    assert seen[0] == ("data check", 5)
    assert seen[1:] == [
        (0, "classes"),
        (1, "duplicates"),
        (2, "near duplicates"),
        (3, "overlaps"),
        (4, "predictors"),
        (5, ""),
    ]


@pytest.mark.parametrize(
    ("labels", "found"),
    [([0, 0], r"1 class\(es\)"), ([-1, -1], "records without a label"), ([0, -1], "records without a label")],
    ids=["one class", "no label", "some without"],
)
def test_labels_are_needed(make_data, labels, found):
    with pytest.raises(DataError, match=f"found {found}; expected a label for every record"):
        check_data(make_data(make_clean(2), labels, names=("0", "1")))


def test_a_part_without_one_of_the_classes(make_data):
    data = make_data(make_clean(30), [0, 2] * 10 + [1] * 10, ["train"] * 20 + ["test"] * 10)
    audit = check_data(data.select("train"))
    assert [each.label for each in audit.classes] == ["0", "2"]
    assert audit.leaks == ()
