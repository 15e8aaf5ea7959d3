"""Paired differences and bootstraps of whole groups: a slow loop, and laws that need no other program."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from genolm.errors import DataError, SettingsError
from genolm.evaluation.paired import COMPARED_METRICS, compute_paired_differences
from genolm.metrics import compute_bootstrap_intervals, compute_classification_report


def draw_models(n, *, seed, second_noise=0.2):
    """Labels, and two models that err on the same hard sequences; the second adds noise of its own."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(n) % 2)
    first = np.clip(0.35 * labels + 0.65 * generator.random(n), 0, 1)
    second = np.clip(first + second_noise * generator.normal(size=n), 0, 1)
    return labels, first, second


def test_differences_equal_a_loop_over_scikit_learn():
    labels, first, second = draw_models(40, seed=1)
    found = compute_paired_differences(labels, first, second, num_resamples=80, seed=2, second_threshold=0.6)
    drawn = np.random.default_rng(2).integers(0, 40, size=(80, 40))
    oracles = {
        "mcc": lambda y, s, t: sklearn_metrics.matthews_corrcoef(y, s >= t),
        "auroc": lambda y, s, t: sklearn_metrics.roc_auc_score(y, s),
        "auprc": lambda y, s, t: sklearn_metrics.average_precision_score(y, s),
        "accuracy": lambda y, s, t: sklearn_metrics.accuracy_score(y, s >= t),
    }
    assert set(found) == set(oracles) == set(COMPARED_METRICS)
    for name, oracle in oracles.items():
        differences = np.array(
            [oracle(labels[i], first[i], 0.5) - oracle(labels[i], second[i], 0.6) for i in drawn]
        )
        whole = oracle(labels, first, 0.5) - oracle(labels, second, 0.6)
        assert found[name].difference == pytest.approx(whole), name
        assert found[name].interval == pytest.approx(np.quantile(differences, [0.025, 0.975]), abs=1e-12)
        share = np.mean(differences * np.sign(whole) <= 1e-12)
        assert found[name].other_side_share == pytest.approx(share, abs=0.02), name
        assert found[name].first - found[name].second == pytest.approx(whole)


def test_a_model_does_not_differ_from_itself():
    labels, first, _ = draw_models(50, seed=3)
    for found in compute_paired_differences(labels, first, first, num_resamples=30).values():
        assert (found.difference, found.interval, found.other_side_share) == (0.0, [0.0, 0.0], 1.0)
        assert not found.is_clear


def test_the_other_way_around_only_the_sign_changes():
    labels, first, second = draw_models(80, seed=4)
    there = compute_paired_differences(labels, first, second, num_resamples=200)
    back = compute_paired_differences(labels, second, first, num_resamples=200)
    for name, found in there.items():
        assert found.difference == -back[name].difference
        assert found.interval == pytest.approx([-back[name].interval[1], -back[name].interval[0]])
        assert found.other_side_share == back[name].other_side_share


def test_what_is_hard_for_both_does_not_widen_the_interval():
    labels, first, second = draw_models(400, seed=5, second_noise=0.1)
    found = compute_paired_differences(labels, first, second, metrics=["auroc"])["auroc"]
    alone = [compute_bootstrap_intervals(labels, scores)["auroc"] for scores in (first, second)]
    unpaired = np.sqrt(sum((high - low) ** 2 for low, high in alone))
    assert found.interval[1] - found.interval[0] < unpaired / 2
    assert found.is_clear
    assert found.difference > 0
    assert found.other_side_share < 0.025


def test_groups_of_copies_count_as_one_sequence():
    labels, first, second = draw_models(60, seed=6)
    once = compute_paired_differences(labels, first, second, num_resamples=100, seed=7)
    copies = np.repeat(np.arange(60), 5)
    grouped = compute_paired_differences(
        labels[copies], first[copies], second[copies], num_resamples=100, seed=7, groups=copies
    )
    for name, found in grouped.items():
        assert found.interval == pytest.approx(once[name].interval, abs=1e-12)
        assert found.difference == pytest.approx(once[name].difference, abs=1e-12)
    blind = compute_paired_differences(labels[copies], first[copies], second[copies], num_resamples=100)
    assert np.diff(blind["mcc"].interval) < 0.7 * np.diff(once["mcc"].interval)


def test_groups_reach_the_intervals_of_a_single_model():
    labels, first, _ = draw_models(60, seed=8)
    copies = np.repeat(np.arange(60), 3)
    names = np.array([f"gene {number:03}" for number in copies])
    settings = {"num_resamples": 50, "seed": 9}
    report = compute_classification_report(labels[copies], first[copies], groups=names, **settings)
    once = compute_bootstrap_intervals(labels, first, **settings)
    assert once.keys() == report["ci95"].keys()
    for name, interval in report["ci95"].items():
        assert interval == pytest.approx(once[name], abs=1e-12), name


def test_groups_of_uneven_size_equal_a_slow_loop():
    generator = np.random.default_rng(10)
    labels, first, _ = draw_models(50, seed=11)
    groups = generator.integers(0, 12, 50)
    members = [np.flatnonzero(groups == group) for group in range(12)]
    drawn = np.random.default_rng(12).integers(0, 12, size=(60, 12))
    values = []
    for chosen in drawn:
        rows = np.concatenate([members[group] for group in chosen])
        values.append(sklearn_metrics.roc_auc_score(labels[rows], first[rows]))
    found = compute_bootstrap_intervals(labels, first, num_resamples=60, seed=12, groups=groups)
    assert found["auroc"] == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=1e-12)


def test_what_needs_an_absent_class_has_no_difference():
    found = compute_paired_differences([1, 1, 1], [0.1, 0.9, 0.9], [0.9, 0.9, 0.1], num_resamples=20)
    assert found["auroc"][1:] == (None, None, None, None, None)
    assert not found["auroc"].is_clear
    assert found["accuracy"].difference == 0.0


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"metrics": ["mmc"]}, SettingsError, "the metric mmc; expected one of accuracy, .*correct the name"),
        ({"num_resamples": 0}, SettingsError, "num_resamples=0"),
        ({"groups": [1, 2]}, DataError, r"groups of shape \(2,\), 2 of them, for 3 sequences"),
        ({"groups": [1, 1, 1]}, DataError, "1 of them.*2 groups or more; correct the group column"),
        ({"groups": []}, DataError, r"groups of shape \(0,\)"),
    ],
    ids=["metric", "resamples", "short groups", "one group", "no group"],
)
def test_bad_input_is_refused(settings, error, message):
    with pytest.raises(error, match=message):
        compute_paired_differences([0, 1, 1], [0.1, 0.9, 0.9], [0.9, 0.9, 0.1], **settings)
