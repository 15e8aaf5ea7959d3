import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss, matthews_corrcoef, precision_recall_fscore_support

from genolm.training.finetuning.metrics import compute_report, compute_training_figures
from genolm.training.finetuning.token_metrics import compute_token_figures, compute_token_report

NAMES = (".", "E", "I")


def make_predictions(num_sequences: int = 30) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Labels of sequences of different lengths, some of them none, and probabilities that often fit."""
    generator = np.random.default_rng(0)
    values, outputs = [], []
    for length_bp in generator.integers(5, 40, size=num_sequences):
        labels = generator.integers(0, 3, size=length_bp)
        logits = generator.normal(size=(length_bp, 3)) + 1.5 * np.eye(3)[labels]
        values.append(np.where(generator.random(length_bp) < 0.1, -100, labels))
        outputs.append(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    return values, outputs


def test_the_figures_are_those_of_scikit_learn_over_the_labeled_bases():
    values, outputs = make_predictions()
    labels, rows = np.concatenate(values), np.concatenate(outputs)
    known = labels >= 0
    labels, rows, predicted = labels[known], rows[known], rows[known].argmax(axis=1)
    report = compute_token_report(values, outputs, names=NAMES)
    assert (report["n"], report["bases"]) == (30, known.sum())
    assert report["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    assert report["mcc"] == pytest.approx(matthews_corrcoef(labels, predicted))
    expected = precision_recall_fscore_support(labels, predicted)
    for index, name in enumerate(NAMES):
        figures = report["classes"][name]
        found = [figures[metric] for metric in ("precision", "recall", "f1", "bases")]
        assert found == pytest.approx([column[index] for column in expected])
    figures = compute_token_figures(values, outputs)
    assert figures == {
        "loss": pytest.approx(log_loss(labels, rows)),
        "accuracy": pytest.approx(report["accuracy"]),
        "mcc": pytest.approx(report["mcc"]),
    }


def test_intervals_hold_the_figures_and_come_from_the_sequences():
    values, outputs = make_predictions()
    report = compute_token_report(values, outputs, names=NAMES)
    for figures in (report, *report["classes"].values()):
        for metric, (low, high) in figures["ci95"].items():
            assert low < figures[metric] < high
    # one sequence told 50 times over knows no more: every resample of equal sequences is the same
    same = compute_token_report(values[:1] * 50, outputs[:1] * 50, names=NAMES)
    assert same["ci95"]["accuracy"] == [same["accuracy"]] * 2
    assert compute_token_report(values, outputs, names=NAMES) == report, "the seed decides"


def test_a_class_that_is_absent_has_no_recall():
    values, outputs = [np.array([0, 1, 0])], [np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.4, 0.6, 0]])]
    report = compute_token_report(values, outputs, names=NAMES)
    assert report["classes"]["I"] == {
        "precision": 0.0,
        "recall": None,
        "f1": None,
        "bases": 0,
        "ci95": {"precision": [0.0, 0.0], "recall": None, "f1": None},
    }
    assert report["classes"]["E"]["precision"] == 0.5
    assert report["confusion"] == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_no_labeled_base_gives_no_figures():
    report = compute_token_report([np.array([-100])], [np.array([[0.5, 0.5]])], names=("a", "b"))
    assert (report["accuracy"], report["bases"], report["ci95"]["accuracy"]) == (None, 0, None)


def test_the_task_chooses_these_figures():
    values = np.empty(2, dtype=object)
    values[0], values[1] = np.array([0, 1]), np.array([1])
    outputs = [np.array([[0.5, 0.5], [0.2, 0.8]]), np.array([[0.75, 0.25]])]
    figures = compute_training_figures("token_classification", values, outputs)
    assert figures["loss"] == pytest.approx(-(math.log(0.5) + math.log(0.8) + math.log(0.25)) / 3)
    report = compute_report("token_classification", values, outputs, names=("a", "b"))
    assert (report["accuracy"], report["n"]) == (pytest.approx(2 / 3), 2)
