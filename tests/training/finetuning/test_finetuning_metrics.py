import math

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from genolm.metrics import compute_classification_report
from genolm.training.finetuning.metrics import (
    compute_multi_label_metrics,
    compute_regression_metrics,
    compute_regression_report,
    compute_report,
    compute_training_figures,
)

GENERATOR = np.random.default_rng(0)
VALUES = GENERATOR.normal(size=200).round(1)  # with ties
OUTPUTS = VALUES + GENERATOR.normal(size=200)


def test_regression_metrics_are_those_of_scipy():
    found = compute_regression_metrics(VALUES, OUTPUTS)
    assert found["mse"] == pytest.approx(np.mean((VALUES - OUTPUTS) ** 2))
    assert found["pearson"] == pytest.approx(pearsonr(VALUES, OUTPUTS).statistic)
    assert found["spearman"] == pytest.approx(spearmanr(VALUES, OUTPUTS).statistic)


def test_regression_intervals_hold_the_metrics_and_shrink_with_n():
    few, many = (compute_regression_report(VALUES[:n], OUTPUTS[:n, None]) for n in (20, 200))
    assert (few["n"], many["n"]) == (20, 200)
    for name in ("mse", "pearson", "spearman"):
        low, high = many["ci95"][name]
        assert low < many[name] < high
        assert high - low < few["ci95"][name][1] - few["ci95"][name][0]
    assert compute_regression_report(VALUES, OUTPUTS) == many, "the seed decides"


def test_the_squared_error_is_told_in_the_units_of_the_labels():
    found = compute_training_figures("regression", np.array([0.0, 2.0]), np.array([[1.0], [2.0]]), scale=10.0)
    assert found == {"loss": 0.5, "mse": 50.0, "pearson": pytest.approx(1.0), "spearman": pytest.approx(1.0)}


def test_multi_label_figures_are_means_over_labels():
    values = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 1], [0, 0, 1]], dtype=np.float32)
    outputs = np.array([[0.9, 0.2, 0.5], [0.1, 0.4, 0.5], [0.8, 0.1, 0.5], [0.3, 0.3, 0.5]])
    # the first label is ranked right; of the second one pair in two is; the third is in every sequence
    assert compute_multi_label_metrics(values, outputs)["auroc"] == pytest.approx((1.0 + 0.5) / 2)
    found = compute_training_figures("multi_label", values, outputs)
    right = [0.9, 0.8, 0.5, 0.9, 0.4, 0.5, 0.8, 0.1, 0.5, 0.7, 0.7, 0.5]
    assert found["loss"] == pytest.approx(-sum(map(math.log, right)) / 12)
    report = compute_report("multi_label", values, outputs, names=("a", "b", "c"))
    assert report["labels"]["b"]["auroc"] == 0.5
    assert report["labels"]["c"]["auroc"] is None
    assert report["auroc"] == found["auroc"]


def test_the_interval_of_several_labels_is_that_of_their_mean():
    values = (GENERATOR.random((300, 2)) < 0.4).astype(np.float32)
    outputs = np.clip(0.3 + 0.2 * values + GENERATOR.normal(scale=0.2, size=values.shape), 0, 1)
    report = compute_report("multi_label", values, outputs, names=("a", "b"))
    low, high = report["ci95"]["auroc"]
    assert low < report["auroc"] < high
    a, b = (report["labels"][name]["ci95"]["auroc"] for name in "ab")
    assert high - low < min(a[1] - a[0], b[1] - b[0]), "the mean of two varies less than either"
    assert report["labels"]["a"] == compute_classification_report(values[:, 0].astype(int), outputs[:, 0])
    # A label that is there twice has the interval of one.
    twice = compute_report("multi_label", values[:, [0, 0]], outputs[:, [0, 0]], names=("a", "again"))
    assert twice["ci95"]["auprc"] == pytest.approx(twice["labels"]["a"]["ci95"]["auprc"])
    nothing = compute_report("multi_label", np.ones((3, 1)), np.ones((3, 1)), names=("a",))
    assert nothing["ci95"] == {"auroc": None, "auprc": None}


def test_a_classification_is_reported_as_ever():
    labels, probabilities = np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    found = compute_report("classification", labels, probabilities, names=("a", "b"))
    assert found == compute_classification_report(labels, probabilities[:, 1])
    figures = compute_training_figures("classification", labels, probabilities)
    assert figures["loss"] == pytest.approx(-(math.log(0.9) + math.log(0.8) + math.log(0.4)) / 3)
    assert figures["auroc"] == 1.0
