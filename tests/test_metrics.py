import json
import math
import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from genolm import metrics as metrics_module
from genolm.errors import DataError, SettingsError
from genolm.metrics import (
    METRIC_NAMES,
    bits_per_base,
    compute_bootstrap_intervals,
    compute_classification_metrics,
    compute_classification_report,
)


def compute_by_scikit_learn(labels, scores, *, num_classes=2):
    """The oracle: one metric at a time, NaN where a class is absent."""
    binary = num_classes == 2
    predicted = (scores >= 0.5).astype(int) if binary else scores.argmax(axis=1)
    classes = list(range(num_classes))
    how = {"labels": classes, "average": "binary" if binary else "macro", "zero_division": 0}
    values = {
        "accuracy": sklearn_metrics.accuracy_score(labels, predicted),
        "precision": sklearn_metrics.precision_score(labels, predicted, **how),
        "f1": sklearn_metrics.f1_score(labels, predicted, **how),
        "mcc": sklearn_metrics.matthews_corrcoef(labels, predicted),
        **dict.fromkeys(("recall", "specificity", "auroc", "auprc"), np.nan),
    }
    counts = np.bincount(labels, minlength=num_classes)
    positive = [1] if binary else classes
    if counts[positive].all():
        values["recall"] = np.mean([(predicted[labels == c] == c).mean() for c in positive])
    if (len(labels) - counts[positive]).all():
        values["specificity"] = np.mean([(predicted[labels != c] != c).mean() for c in positive])
    if counts.all():
        columns = {1: scores} if binary else {c: scores[:, c] for c in classes}
        values["auroc"] = np.mean([sklearn_metrics.roc_auc_score(labels == c, columns[c]) for c in positive])
        values["auprc"] = np.mean(
            [sklearn_metrics.average_precision_score(labels == c, columns[c]) for c in positive]
        )
    values["false_positive_rate"] = 1 - values["specificity"]
    values["false_negative_rate"] = 1 - values["recall"]
    return values


def draw_binary(n, *, seed, levels=None):
    """Labels and informative scores; `levels` distinct score values make ties."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, n)
    scores = np.clip(0.25 * labels + generator.random(n) * 0.75, 0, 1)
    return labels, scores if levels is None else np.round(scores * levels) / levels


def draw_multiclass(n, classes, *, seed):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, n)
    scores = generator.random((n, classes)).round(2) + 0.4 * np.eye(classes)[labels]
    return labels, scores / scores.sum(axis=1, keepdims=True)


def assert_equal_to_oracle(metrics, oracle):
    for name in METRIC_NAMES:
        found = np.nan if metrics[name] is None else metrics[name]
        assert found == pytest.approx(oracle[name], abs=1e-12, nan_ok=True), name


def test_hand_computed_binary_metrics():
    # tp 3, fn 1, fp 2, tn 4
    labels = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    scores = [0.9, 0.8, 0.5, 0.1, 0.7, 0.6, 0.4, 0.3, 0.2, 0.0]
    metrics = compute_classification_metrics(labels, scores)
    assert metrics["confusion"] == [[4, 2], [1, 3]]
    assert metrics["n"] == 10
    assert metrics["accuracy"] == 0.7
    assert metrics["precision"] == 0.6
    assert metrics["recall"] == 0.75
    assert metrics["specificity"] == pytest.approx(4 / 6)
    assert metrics["f1"] == pytest.approx(6 / 9)
    assert metrics["mcc"] == pytest.approx((3 * 4 - 2 * 1) / math.sqrt(5 * 4 * 6 * 5))
    assert metrics["false_positive_rate"] == pytest.approx(2 / 6)
    assert metrics["false_negative_rate"] == 0.25
    # positives above negatives: 6 + 6 + 4 + 1 of 24 pairs; precision at each positive: 1, 1, 3/5, 4/9
    assert metrics["auroc"] == pytest.approx(17 / 24)
    assert metrics["auprc"] == pytest.approx((1 + 1 + 3 / 5 + 4 / 9) / 4)


def test_the_keys_are_those_of_metrics_json():
    expected = (
        "accuracy precision recall specificity f1 mcc auroc auprc false_positive_rate false_negative_rate "
        "confusion n"
    )
    binary = compute_classification_metrics([0, 1], [0.1, 0.9])
    multiclass = compute_classification_metrics([0, 1, 2], np.eye(3))
    assert " ".join(binary) == " ".join(multiclass) == expected


@pytest.mark.parametrize("levels", [None, 1, 3, 20])
@pytest.mark.parametrize("n", [4, 17, 300])
def test_binary_metrics_equal_scikit_learn(n, levels):
    for seed in range(5):
        labels, scores = draw_binary(n, seed=seed, levels=levels)
        labels[:2] = 0, 1
        metrics = compute_classification_metrics(labels, scores)
        assert_equal_to_oracle(metrics, compute_by_scikit_learn(labels, scores))
        assert metrics["confusion"] == sklearn_metrics.confusion_matrix(labels, scores >= 0.5).tolist()


@pytest.mark.parametrize("classes", [3, 7])
def test_multiclass_metrics_equal_scikit_learn(classes):
    labels, scores = draw_multiclass(200, classes, seed=classes)
    metrics = compute_classification_metrics(labels, scores)
    assert_equal_to_oracle(metrics, compute_by_scikit_learn(labels, scores, num_classes=classes))
    assert metrics["confusion"] == sklearn_metrics.confusion_matrix(labels, scores.argmax(axis=1)).tolist()
    assert metrics["auroc"] == pytest.approx(
        sklearn_metrics.roc_auc_score(labels, scores, multi_class="ovr", average="macro")
    )


def test_two_columns_are_binary():
    labels, scores = draw_binary(50, seed=1)
    assert compute_classification_metrics(
        labels, np.stack([1 - scores, scores], axis=1)
    ) == compute_classification_metrics(labels, scores)


def test_the_threshold_moves_the_confusion_and_not_the_ranking():
    labels, scores = draw_binary(100, seed=2)
    low = compute_classification_metrics(labels, scores, threshold=0.2)
    high = compute_classification_metrics(labels, scores, threshold=0.8)
    assert low["recall"] > high["recall"]
    assert low["specificity"] < high["specificity"]
    assert low["auroc"] == high["auroc"]
    assert compute_classification_metrics([1, 0], [0.8, 0.7], threshold=0.8)["confusion"] == [[1, 0], [0, 1]]


def test_no_predicted_positive_is_zero_as_in_scikit_learn():
    metrics = compute_classification_metrics([0, 1, 1], [0.1, 0.2, 0.3])
    assert (metrics["precision"], metrics["f1"], metrics["mcc"], metrics["recall"]) == (0.0, 0.0, 0.0, 0.0)
    assert metrics["auroc"] == 1.0


@pytest.mark.parametrize(
    ("label", "absent"),
    [
        (0, {"recall", "false_negative_rate", "auroc", "auprc"}),
        (1, {"specificity", "false_positive_rate", "auroc", "auprc"}),
    ],
)
def test_what_needs_an_absent_class_is_null(label, absent):
    report = compute_classification_report([label] * 4, [0.1, 0.4, 0.6, 0.9], num_resamples=20)
    assert {name for name in METRIC_NAMES if report[name] is None} == absent
    assert {name for name in METRIC_NAMES if report["ci95"][name] is None} == absent
    assert report["mcc"] == 0.0


def test_an_absent_class_of_three_is_null_in_the_macro_averages():
    metrics = compute_classification_metrics([0, 1, 1], np.eye(3)[[0, 1, 1]])
    assert metrics["recall"] is None
    assert metrics["auroc"] is None
    assert metrics["specificity"] == 1.0
    assert metrics["f1"] == pytest.approx(2 / 3)  # the absent class counts as 0, as in scikit-learn
    assert metrics["accuracy"] == metrics["mcc"] == 1.0


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1], [0.5], r"shape \(2,\) and scores of shape \(1,\)"),
        ([[0], [1]], [0.5, 0.5], r"expected labels \[n\]"),
        ([], [], "at least one sequence"),
        ([0, 1], [[0.5], [0.5]], "two classes"),
        ([0, 1], [0.5, math.nan], "NaN means that the model diverged"),
        ([0, 1], [-2.0, 3.5], r"found the score -2.0.*apply softmax or sigmoid"),
        ([0, 2], [0.5, 0.5], r"the label 2 \(int64\); expected integers from 0 to 1"),
        ([-1, 1], [0.5, 0.5], "the label -1"),
        ([0, 3], np.eye(3)[:2], "integers from 0 to 2"),
        ([0.0, 1.0], [0.5, 0.5], r"the label 0.0 \(float64\)"),
        (["a", "b"], [0.5, 0.5], "the label a"),
    ],
)
def test_bad_predictions_are_refused(labels, scores, message):
    with pytest.raises(DataError, match=message):
        compute_classification_metrics(labels, scores)


def test_float32_probabilities_a_rounding_above_one_are_accepted():
    scores = np.array([0.0, np.nextafter(np.float32(1), np.float32(2))], dtype=np.float32)
    assert compute_classification_metrics([False, True], scores)["accuracy"] == 1.0


def compute_slow_intervals(labels, scores, *, num_resamples, confidence, seed, num_classes=2):
    drawn = np.random.default_rng(seed).integers(0, len(labels), size=(num_resamples, len(labels)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns where a resample holds one class
        values = [compute_by_scikit_learn(labels[i], scores[i], num_classes=num_classes) for i in drawn]
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    return {name: np.nanquantile([value[name] for value in values], tails) for name in METRIC_NAMES}


@pytest.mark.parametrize(("n", "levels", "confidence"), [(60, None, 0.95), (60, 5, 0.8), (8, 3, 0.95)])
def test_binary_intervals_equal_a_loop_over_scikit_learn(n, levels, confidence):
    labels, scores = draw_binary(n, seed=3, levels=levels)
    settings = {"num_resamples": 60, "confidence": confidence, "seed": 4}
    intervals = compute_bootstrap_intervals(labels, scores, **settings)
    oracle = compute_slow_intervals(labels, scores, **settings)
    for name in METRIC_NAMES:
        np.testing.assert_allclose(intervals[name], oracle[name], atol=1e-12, err_msg=name)


def test_multiclass_intervals_equal_a_loop_over_scikit_learn():
    labels, scores = draw_multiclass(40, 3, seed=5)
    settings = {"num_resamples": 30, "confidence": 0.9, "seed": 6}
    intervals = compute_bootstrap_intervals(labels, scores, **settings)
    oracle = compute_slow_intervals(labels, scores, **settings, num_classes=3)
    for name in METRIC_NAMES:
        np.testing.assert_allclose(intervals[name], oracle[name], atol=1e-12, err_msg=name)


def test_intervals_do_not_depend_on_the_chunk_size(monkeypatch):
    labels, scores = draw_binary(33, seed=7)
    whole = compute_bootstrap_intervals(labels, scores, num_resamples=50, seed=1)
    monkeypatch.setattr(metrics_module, "CHUNK_CELLS", 33 * 7)
    assert compute_bootstrap_intervals(labels, scores, num_resamples=50, seed=1) == whole
    assert compute_bootstrap_intervals(labels, scores, num_resamples=50, seed=2) != whole


def test_intervals_hold_the_value_and_shrink_with_n_as_theory_says():
    widths = {}
    for n in (200, 3200):
        labels = np.arange(n) % 2
        scores = np.where(np.arange(n) % 10 < 8, labels, 1 - labels)  # accuracy 0.8 exactly
        low, high = compute_bootstrap_intervals(labels, scores, num_resamples=2000)["accuracy"]
        assert low < 0.8 < high
        widths[n] = high - low
        assert widths[n] == pytest.approx(2 * 1.96 * math.sqrt(0.8 * 0.2 / n), rel=0.1)
    assert widths[200] / widths[3200] == pytest.approx(4, rel=0.1)


def test_the_threshold_reaches_the_intervals():
    intervals = compute_bootstrap_intervals([0, 1] * 20, [0.6, 0.7] * 20, num_resamples=50, threshold=0.65)
    assert intervals["accuracy"] == [1.0, 1.0]


@pytest.mark.parametrize("settings", [{"num_resamples": 0}, {"confidence": 95}, {"confidence": 0}])
def test_bad_bootstrap_settings_are_refused(settings):
    with pytest.raises(SettingsError, match="a confidence between 0 and 1"):
        compute_bootstrap_intervals([0, 1], [0.1, 0.9], **settings)


def test_the_report_is_metrics_and_intervals_and_is_json():
    labels, scores = draw_binary(40, seed=8)
    report = compute_classification_report(labels, scores, num_resamples=30, seed=9)
    intervals = report.pop("ci95")
    assert report == compute_classification_metrics(labels, scores)
    assert intervals == compute_bootstrap_intervals(labels, scores, num_resamples=30, seed=9)
    assert json.loads(json.dumps(intervals, allow_nan=False)) == intervals


def test_a_uniform_model_scores_exactly_two_bits_per_base():
    assert bits_per_base(math.log(4), 1) == 2.0
    for bases in (3, 1000, 4_641_652):  # to the last bit of the product
        assert bits_per_base(bases * math.log(4), bases) == pytest.approx(2, rel=1e-15)
    assert bits_per_base(math.log(2) * 3, 3) == pytest.approx(1.0)


def test_no_scored_base_is_an_error():
    with pytest.raises(DataError, match="found 0 scored bases"):
        bits_per_base(0.0, 0)


def test_importing_metrics_loads_neither_scikit_learn_nor_scipy():
    code = "import sys, genolm.metrics; print(sorted({'sklearn', 'scipy', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
