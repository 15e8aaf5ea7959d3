"""A finished classifier, or regression, on labeled data."""

from typing import Any

import numpy as np
import numpy.typing as npt

from genolm.corpus.labeled import LabeledData
from genolm.errors import DataError
from genolm.inference.classify import Classifier, classify_bases, classify_sequences
from genolm.metrics import compute_bootstrap_intervals
from genolm.models.scoring import Task, select_scores
from genolm.progress import Reporter
from genolm.training.finetuning.data import Targets, build_targets
from genolm.training.finetuning.metrics import compute_report


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
    targets = build_targets(data, task)
    values = targets.values if task == "regression" else _match_values(targets, classifier, task)
    if task == "classification":
        return _evaluate_classes(classifier, data, values, reporter=reporter)
    outputs: Any = (classify_bases if task == "token_classification" else classify_sequences)(
        classifier, data.sequences, reporter=reporter
    )
    return compute_report(task, values, outputs, names=classifier.label_names)


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


def _evaluate_classes(
    classifier: Classifier, data: LabeledData, labels: npt.NDArray[Any], *, reporter: Reporter | None
) -> dict[str, Any]:
    from genolm.evaluation.metric import MULTICLASS, SequenceClassificationMetric

    scores = select_scores(classify_sequences(classifier, data.sequences, reporter=reporter))
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
