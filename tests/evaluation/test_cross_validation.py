"""Folds: nothing in two places, no group torn, selection apart from test; and what all say together."""

import numpy as np
import pytest

from genolm.errors import DataError, SettingsError
from genolm.evaluation.cross_validation import (
    FoldResult,
    Spread,
    build_folds,
    summarize_folds,
    summarize_runs,
)
from genolm.metrics import compute_classification_metrics


def draw_groups(seed=0, n=600):
    generator = np.random.default_rng(seed)
    groups = generator.integers(0, 150, n)
    labels = (generator.random(n) < np.where(groups % 3 == 0, 0.9, 0.3)).astype(int)
    return labels, np.array([f"cluster {group}" for group in groups])


@pytest.mark.parametrize("num_folds", [3, 5])
@pytest.mark.parametrize("grouped", [True, False])
def test_every_record_is_tested_once_in_each_repeat_and_no_group_is_torn(num_folds, grouped):
    labels, groups = draw_groups()
    folds = build_folds(labels, groups=groups if grouped else None, num_folds=num_folds, repeats=2, seed=3)
    assert [(fold.repeat, fold.number) for fold in folds] == [
        (r, f) for r in (0, 1) for f in range(num_folds)
    ]
    for repeat in (0, 1):
        own = [fold for fold in folds if fold.repeat == repeat]
        tested = np.concatenate([fold.test for fold in own])
        assert sorted(tested.tolist()) == list(range(600))
        for fold in own:
            parts = (fold.train, fold.validation, fold.test)
            assert sorted(np.concatenate(parts).tolist()) == list(range(600))
            assert np.array_equal(fold.validation, own[(fold.number + 1) % num_folds].test)
            assert len(fold.test) == pytest.approx(600 / num_folds, rel=0.05)
            for part in parts:
                assert labels[part].mean() == pytest.approx(labels.mean(), abs=0.02)
            if grouped:
                in_parts = [set(groups[part]) for part in parts]
                assert sum(map(len, in_parts)) == len(set(groups))
    assert any(not np.array_equal(a.test, b.test) for a, b in zip(folds, folds[num_folds:], strict=False))


def test_the_seed_decides_and_more_repeats_change_no_earlier_one():
    labels, groups = draw_groups()
    settings = {"groups": groups, "num_folds": 4}

    def list_tests(**more):
        return [fold.test.tolist() for fold in build_folds(labels, **settings, **more)]

    assert list_tests(seed=1) == list_tests(seed=1)
    assert list_tests(seed=1) != list_tests(seed=2)
    assert list_tests(seed=1, repeats=3)[:4] == list_tests(seed=1)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"num_folds": 2}, SettingsError, "num_folds = 2; expected 3 or more: one each for test"),
        ({"repeats": 0}, SettingsError, "repeats = 0"),
        ({"groups": [1, 2, 3]}, DataError, r"labels of shape \(8,\) and groups of shape \(3,\)"),
        ({"groups": [0, 0, 0, 0, 0, 0, 1, 1]}, DataError, "there are 2 groups"),
        ({"num_folds": 5}, DataError, "expected every class in every split"),
    ],
    ids=["two folds", "no repeat", "short groups", "few groups", "rare class"],
)
def test_bad_input_is_refused(settings, error, message):
    with pytest.raises(error, match=message):
        build_folds([0, 1] * 4, **{"num_folds": 3, "seed": 0, **settings})


def test_hand_computed_summary_of_runs():
    runs = [
        {"mcc": 0.5, "auroc": 0.75, "recall": None, "auprc": None, "n": 4, "ci95": {"mcc": [0.1, 0.9]}},
        {"mcc": 0.75, "auroc": 0.75, "recall": 0.5, "auprc": None, "n": 4},
        {"mcc": 1.0, "auroc": 0.75, "recall": None, "auprc": None, "n": 4, "only here": 1.0},
    ]
    assert summarize_runs(runs) == {
        "mcc": Spread(mean=0.75, sd=0.25, lowest=0.5, highest=1.0, n=3),
        "auroc": Spread(mean=0.75, sd=0.0, lowest=0.75, highest=0.75, n=3),
        "recall": Spread(mean=0.5, sd=None, lowest=0.5, highest=0.5, n=1),
        "auprc": None,
    }


def test_folds_are_summarized_each_by_itself_and_pooled_at_their_own_thresholds():
    results = [
        FoldResult(0, [0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], threshold=0.25),
        FoldResult(0, [0, 1], [0.6, 0.7], threshold=0.65),
        FoldResult(1, [0, 1, 1], [0.1, 0.9, 0.8]),
        FoldResult(1, [0, 0, 1], [0.9, 0.1, 0.8]),
    ]
    summary = summarize_folds(results)
    assert summary.folds["accuracy"] == Spread(
        mean=pytest.approx((1 + 1 + 1 + 2 / 3) / 4),
        sd=pytest.approx(1 / 6),
        lowest=pytest.approx(2 / 3),
        highest=1.0,
        n=4,
    )
    # repeat 0: 0.3 and 0.4 lie below the negative at 0.6; repeat 1: 0.8 twice below 0.9, 0.9 level with it
    assert summary.pooled["auroc"].highest == pytest.approx(7 / 9)
    assert summary.pooled["auroc"].lowest == pytest.approx(6.5 / 9)
    assert summary.pooled["accuracy"].mean == pytest.approx((1 + 5 / 6) / 2)
    assert summary.pooled["auroc"].n == 2
    assert summary.folds["auroc"].n == 4


def test_pooling_one_model_is_testing_on_everything():
    labels, groups = draw_groups(seed=4)
    scores = np.clip(0.3 * labels + 0.7 * np.random.default_rng(5).random(600), 0, 1)
    folds = build_folds(labels, groups=groups, num_folds=3, repeats=2, seed=6)
    summary = summarize_folds([FoldResult(f.repeat, labels[f.test], scores[f.test]) for f in folds])
    whole = compute_classification_metrics(labels, scores)
    for name, spread in summary.pooled.items():
        assert spread.mean == pytest.approx(whole[name]), name
        assert spread.sd == pytest.approx(0.0, abs=1e-12)


def test_nothing_cannot_be_summarized():
    with pytest.raises(DataError, match="found no result; expected one for each fold or seed"):
        summarize_folds([])
