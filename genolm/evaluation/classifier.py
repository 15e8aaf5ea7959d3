"""A finished classifier on labeled data."""

from typing import Any

import numpy as np

from genolm.corpus.labeled import LabeledData
from genolm.errors import DataError
from genolm.inference.classify import Classifier, classify_sequences
from genolm.metrics import compute_bootstrap_intervals
from genolm.models.scoring import select_scores
from genolm.progress import Reporter


def evaluate_classifier(
    classifier: Classifier, data: LabeledData, *, reporter: Reporter | None = None
) -> dict[str, Any]:
    """Return the metrics of a split as in metrics.json, with their 95 % intervals under `ci95`.

    Raises:
        DataError: there is no sequence, or a label that the classifier does not know.
    """
    from genolm.evaluation.metric import MULTICLASS, SequenceClassificationMetric

    unknown = sorted(set(data.label_names) - set(classifier.label_names))
    if unknown or len(data) == 0:
        raise DataError(
            found=f"the unknown label {unknown[0]}" if unknown else "no sequence",
            expected=f"sequences with the labels {', '.join(classifier.label_names)}",
            remedy="correct the label column, or the split",
        )
    labels = np.array([classifier.label_names.index(name) for name in data.label_names])[data.labels]
    scores = select_scores(classify_sequences(classifier, data.sequences, reporter=reporter))
    metric = SequenceClassificationMetric(config_name=MULTICLASS if scores.ndim == 2 else None)
    figures = metric.compute(predictions=scores, references=labels)
    return {**figures, "ci95": compute_bootstrap_intervals(labels, scores)}
