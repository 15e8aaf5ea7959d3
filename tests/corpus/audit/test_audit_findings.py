"""Each finding appears above its threshold, with its severity and figures, and not at it."""

import pytest

from genolm.corpus.audit.composition import ClassComposition
from genolm.corpus.audit.duplicates import Duplicates
from genolm.corpus.audit.findings import Evidence, build_findings
from genolm.corpus.audit.near_duplicates import NearDuplicates
from genolm.corpus.audit.predictors import TrivialPredictor, TrivialPredictors
from genolm.corpus.audit.sharing import GroupSharing, Sharing, SplitSharing


def make_sharing(*, own_class=0, other_class=0, any_other=0, test_with_train=None):
    """1,000 records of class 0 that share as said, and 1,000 of class 1 that do not."""
    counts = {"other_split": 0, "own_class": own_class, "other_class": other_class, "any_other": any_other}
    none = dict.fromkeys(counts, 0)
    splits = (
        ()
        if test_with_train is None
        else (SplitSharing(split="test", other="train", records=200, shared=test_with_train),)
    )
    return Sharing(
        groups=(
            GroupSharing(split="", label="0", records=1_000, **counts),
            GroupSharing(split="", label="1", records=1_000, **none),
        ),
        splits=splits,
    )


def make_class(label, *, records=1_000, with_other_letters=0):
    return ClassComposition(
        label=label,
        records=records,
        records_by_split={},
        min_bp=81,
        median_bp=81.0,
        max_bp=81,
        mean_gc=0.5,
        records_with_other_letters=with_other_letters,
        other_letters={},
    )


def make_duplicates(*, exact=0, reverse_complement=0, contradictory=0, sharing=None):
    return Duplicates(
        exact=exact,
        reverse_complement=reverse_complement,
        contradictory=contradictory,
        contradictory_records=2 * contradictory,
        sharing=sharing or make_sharing(),
        contradictory_examples=("a and b",) * contradictory,
        split_examples=("c and d",),
    )


def make_near(*, sharing=None, pairs_across_splits=0):
    return NearDuplicates(
        kmer_bp=12,
        min_shared=0.8,
        pairs=70,
        pairs_across_splits=pairs_across_splits,
        pairs_across_classes=0,
        is_capped=False,
        sharing=sharing or make_sharing(),
    )


def make_predictors(name="kmer_3", mcc=0.0, *, protocol="train to test"):
    predictor = TrivialPredictor(name=name, description="a rule", mcc=mcc)
    lower = TrivialPredictor(name=name, description="a worse rule", mcc=mcc - 0.2)
    return TrivialPredictors(protocol=protocol, predictors=(lower, predictor))


def find(**parts):
    evidence = {
        "classes": (make_class("0"), make_class("1")),
        "duplicates": make_duplicates(),
        "near_duplicates": make_near(),
        "overlap_bp": 31,
        "overlaps": make_sharing(),
        "predictors": make_predictors(),
    }
    return build_findings(Evidence(**{**evidence, **parts}))


def test_clean_data_have_none():
    assert find() == []


@pytest.mark.parametrize(
    ("parts", "name", "severity"),
    [
        pytest.param(
            {"duplicates": make_duplicates(sharing=make_sharing(test_with_train=1))},
            "duplicates_across_splits",
            "leak",
            id="duplicate across splits",
        ),
        pytest.param(
            {"duplicates": make_duplicates(contradictory=1)}, "contradictory_labels", "leak", id="two labels"
        ),
        pytest.param({"duplicates": make_duplicates(exact=1)}, "duplicates", "warning", id="duplicate"),
        pytest.param(
            {"duplicates": make_duplicates(reverse_complement=1)}, "duplicates", "warning", id="other strand"
        ),
        pytest.param(
            {"near_duplicates": make_near(sharing=make_sharing(test_with_train=3))},
            "near_duplicates_across_splits",
            "leak",
            id="near duplicates in more than 1 % of test",
        ),
        pytest.param(
            {"near_duplicates": make_near(sharing=make_sharing(test_with_train=2))},
            "near_duplicates_across_splits",
            "note",
            id="near duplicates in 1 % of test",
        ),
        pytest.param(
            {"near_duplicates": make_near(sharing=make_sharing(any_other=101))},
            "near_duplicates",
            "warning",
            id="near duplicates in more than 5 %",
        ),
        pytest.param(
            {"overlaps": make_sharing(test_with_train=11)},
            "overlaps_across_splits",
            "warning",
            id="overlap of more than 5 % of test",
        ),
        pytest.param(
            {"overlaps": make_sharing(other_class=101)},
            "overlaps_across_classes",
            "warning",
            id="overlap of classes",
        ),
        pytest.param(
            {"overlaps": make_sharing(own_class=201)},
            "class_overlaps_itself",
            "warning",
            id="overlap of a class",
        ),
        pytest.param(
            {"predictors": make_predictors("shared_kmer_rule", 0.31)}, "shared_kmer_rule", "leak", id="rule"
        ),
        pytest.param(
            {"predictors": make_predictors("length", 0.11)}, "length_predicts", "warning", id="length"
        ),
        pytest.param({"predictors": make_predictors("gc", 0.31)}, "gc_predicts", "warning", id="GC"),
        pytest.param({"predictors": make_predictors("kmer_3", 0.1)}, "kmer_3_predicts", "note", id="3-mers"),
        pytest.param(
            {"predictors": make_predictors(protocol="random 5-fold cross-validation")},
            "no_split",
            "note",
            id="no split",
        ),
        pytest.param(
            {"classes": (make_class("0", with_other_letters=101), make_class("1"))},
            "other_letters_by_class",
            "warning",
            id="N in one class",
        ),
        pytest.param(
            {"classes": (make_class("0", records=21), make_class("1", records=1))},
            "class_imbalance",
            "warning",
            id="imbalance",
        ),
    ],
)
def test_one_finding(parts, name, severity):
    (found,) = find(**parts)
    assert (found.name, found.severity) == (name, severity)
    assert found.text
    assert found.remedy


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param(
            {"duplicates": make_duplicates(sharing=make_sharing(test_with_train=0))}, id="duplicate"
        ),
        pytest.param(
            {"near_duplicates": make_near(sharing=make_sharing(any_other=100))}, id="near duplicates"
        ),
        pytest.param({"overlaps": make_sharing(test_with_train=10)}, id="overlap of splits"),
        pytest.param({"overlaps": make_sharing(other_class=100)}, id="overlap of classes"),
        pytest.param({"overlaps": make_sharing(own_class=200)}, id="overlap of a class"),
        pytest.param({"predictors": make_predictors("shared_kmer_rule", 0.3)}, id="rule"),
        pytest.param({"predictors": make_predictors("length", 0.1)}, id="length"),
        pytest.param({"predictors": make_predictors("gc", 0.3)}, id="GC"),
        pytest.param({"predictors": TrivialPredictors(protocol="", predictors=())}, id="no predictors"),
        pytest.param(
            {"classes": (make_class("0", with_other_letters=100), make_class("1"))}, id="N in one class"
        ),
        pytest.param({"classes": (make_class("0", records=20), make_class("1", records=1))}, id="imbalance"),
    ],
)
def test_none_at_the_threshold(parts):
    assert find(**parts) == []


def test_texts_and_figures_tell_the_numbers():
    duplicates, contradiction = find(
        duplicates=make_duplicates(contradictory=2, sharing=make_sharing(test_with_train=43))
    )
    assert "43 (21.5 %) of test with train" in duplicates.text
    assert duplicates.figures == {"splits": {"test with train": 43}, "examples": ["c and d"]}
    assert contradiction.text == "2 sequences with more than one label, in 4 records"
    assert contradiction.figures["examples"] == ["a and b", "a and b"]
    (rule,) = find(predictors=make_predictors("shared_kmer_rule", 0.76))
    assert rule.text == "a rule: MCC 0.760, train to test"
    assert rule.figures["mcc"] == 0.76


def test_leaks_come_first():
    found = find(
        predictors=make_predictors("kmer_3", 0.5, protocol="random 5-fold cross-validation"),
        overlaps=make_sharing(own_class=500),
        duplicates=make_duplicates(exact=1, contradictory=1),
    )
    assert [each.severity for each in found] == ["leak", "warning", "warning", "note", "note"]
