"""A finished classifier, or regression, on labeled data: its metrics, and a report of them."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.corpus.labeled import LabeledData
from genolm.errors import DataError, SettingsError
from genolm.evaluation.calibration import compare_temperature, compute_calibration, fit_temperature
from genolm.evaluation.curves import plot_pr_curves, plot_reliability, plot_roc_curves
from genolm.evaluation.html_report.content import EvaluationReport, ReportFigure
from genolm.evaluation.report import ClassifierRow
from genolm.inference.classify import Classifier, classify_bases, classify_sequences
from genolm.metrics import compute_bootstrap_intervals, compute_classification_report
from genolm.models.scoring import Task, select_scores
from genolm.progress import Reporter
from genolm.threshold import ChosenThreshold, choose_threshold
from genolm.training.finetuning.data import Targets, build_targets
from genolm.training.finetuning.metrics import compute_report


class ReportedClassifier(NamedTuple):
    """A classifier on one split, as a page, and what is said of it in short."""

    report: EvaluationReport
    metrics: dict[str, Any]
    """at the threshold 0.5, as `evaluate_classifier` gives them"""
    tuned: dict[str, Any] | None
    """at the threshold that the other split chose, with `threshold`; None without one, or of more classes"""


class _Scored(NamedTuple):
    labels: npt.NDArray[np.int64]
    scores: npt.NDArray[Any]


def evaluate_classifier(
    classifier: Classifier, data: LabeledData, *, reporter: Reporter | None = None
) -> dict[str, Any]:
    """Return the metrics of a split as in metrics.json, with their 95 % intervals under `ci95`.

    The task is that of the model: classes, numbers, several labels for a sequence, or labels of bases.

    Raises:
        DataError: there is no sequence, or a label that the classifier does not know or that does not suit
            its task.
    """
    task = classifier.task
    if len(data) == 0:
        raise _make_label_error("no sequence", classifier)
    if task == "classification":
        return _compute_class_figures(_score_classes(classifier, data, reporter=reporter))
    targets = build_targets(data, task)
    values = targets.values if task == "regression" else _match_values(targets, classifier, task)
    outputs: Any = (classify_bases if task == "token_classification" else classify_sequences)(
        classifier, data.sequences, reporter=reporter
    )
    return compute_report(task, values, outputs, names=classifier.label_names)


def report_classifier(
    classifier: Classifier,
    data: LabeledData,
    *,
    name: str,
    tuning: LabeledData | None = None,
    reporter: Reporter | None = None,
) -> ReportedClassifier:
    """Evaluate a classifier with its calibration and curves, for a page.

    Args:
        classifier: of classes.
        data: labeled sequences, such as a test split.
        name: of the classifier on the page.
        tuning: other labeled sequences, such as the validation split, which choose threshold and temperature.
        reporter: shows the progress.

    Raises:
        SettingsError: the classifier has another task.
        DataError: there is no sequence, or a label that the classifier does not know.
    """
    if classifier.task != "classification":
        raise SettingsError(
            found=f"a report of a model with the task {classifier.task}",
            expected="a classifier",
            remedy="leave --report and --threshold-from out",
        )
    found = _score_classes(classifier, data, reporter=reporter)
    other = _score_classes(classifier, tuning, reporter=reporter) if tuning is not None else None
    metrics = _compute_class_figures(found)
    threshold = choose_threshold(*other) if other and other.scores.ndim == 1 else None
    tuned = None
    if threshold is not None:
        figures = compute_classification_report(*found, threshold=threshold.threshold)
        tuned = {**figures, "threshold": threshold.threshold}
    report = _build_report(name, found, other, metrics=metrics, tuned=tuned, threshold=threshold)
    return ReportedClassifier(report, metrics, tuned)


def _build_report(
    name: str,
    found: _Scored,
    other: _Scored | None,
    *,
    metrics: dict[str, Any],
    tuned: dict[str, Any] | None,
    threshold: ChosenThreshold | None,
) -> EvaluationReport:
    rows = [ClassifierRow(name=name, is_control=False, validation={}, test=metrics)]
    if tuned is not None:
        title = f"{name}, threshold of validation"
        rows.append(ClassifierRow(name=title, is_control=False, validation={}, test=tuned))
    calibration = compute_calibration(*found)
    scaling = compare_temperature(*found, temperature=fit_temperature(*other)) if other else None
    shown = {"as it is": calibration} | ({"temperature of validation": scaling.after} if scaling else {})
    figures = [ReportFigure("Reliability", plot_reliability(shown))]
    if found.scores.ndim == 1 and len(np.unique(found.labels)) == 2:
        scores = {name: found.scores}
        figures = [
            ReportFigure("ROC curve", plot_roc_curves(found.labels, scores=scores)),
            ReportFigure("Precision and recall", plot_pr_curves(found.labels, scores=scores)),
            *figures,
        ]
    return EvaluationReport(
        title=name,
        data={
            "sequences": len(found.labels),
            "calibration": {
                "expected_calibration_error": calibration.ece,
                "brier": calibration.brier,
                "log_loss_nats": calibration.log_loss,
            },
        },
        classifiers=tuple(rows),
        calibrations={name: scaling} if scaling else {},
        thresholds={name: threshold} if threshold else {},
        figures=tuple(figures),
        protocol=(
            "The model was trained before, and is only applied. Intervals are of a bootstrap over sequences.",
        ),
    )


def _match_values(targets: Targets, classifier: Classifier, task: Task) -> npt.NDArray[Any]:
    """Number the classes or labels as the classifier does."""
    known = classifier.label_names
    if unknown := sorted(set(targets.names) - set(known)):
        raise _make_label_error(f"the unknown label {unknown[0]}", classifier)
    numbers = np.array([known.index(name) for name in targets.names], dtype=np.int64)
    if task == "classification":
        return numbers[targets.values]
    if task == "multi_label":
        values = np.zeros((len(targets.values), len(known)), dtype=np.float32)
        values[:, numbers] = targets.values
        return values
    matched = np.empty(len(targets.values), dtype=object)
    for index, labels in enumerate(targets.values):
        matched[index] = np.where(labels < 0, labels, numbers[labels.clip(0)])
    return matched


def _score_classes(classifier: Classifier, data: LabeledData, *, reporter: Reporter | None) -> _Scored:
    if len(data) == 0:
        raise _make_label_error("no sequence", classifier)
    labels = _match_values(build_targets(data, "classification"), classifier, "classification")
    return _Scored(labels, select_scores(classify_sequences(classifier, data.sequences, reporter=reporter)))


def _compute_class_figures(found: _Scored) -> dict[str, Any]:
    from genolm.evaluation.metric import MULTICLASS, SequenceClassificationMetric

    labels, scores = found
    metric = SequenceClassificationMetric(config_name=MULTICLASS if scores.ndim == 2 else None)
    figures = metric.compute(predictions=scores, references=labels)
    return {**figures, "ci95": compute_bootstrap_intervals(labels, scores)}


def _make_label_error(found: str, classifier: Classifier) -> DataError:
    is_regression = classifier.task == "regression"
    return DataError(
        found=found,
        expected="sequences with numbers"
        if is_regression
        else f"sequences with the labels {', '.join(classifier.label_names)}",
        remedy="correct the label column, or the split",
    )
