"""The classification metrics as a Hugging Face `evaluate` metric that never asks the hub."""

from typing import Any

import evaluate
from datasets import Features, Sequence, Value

from genolm.metrics import compute_classification_metrics

MULTICLASS = "multiclass"
DESCRIPTION = "Metrics of a sequence classifier, from the probabilities that it predicts."
INPUTS = """
Args:
    predictions: float32 [n], the probability of class 1 (not the predicted class, not a logit). With
        config_name="multiclass": float32 [n, classes], one probability for each class.
    references: int [n], the true classes, numbered from 0.
    threshold: a binary probability at or above it predicts class 1; 0.5.
Returns:
    accuracy, precision, recall, specificity, f1, mcc, auroc, auprc, false_positive_rate,
    false_negative_rate, confusion, n: those of `genolm.metrics.compute_classification_metrics`.
"""


class SequenceClassificationMetric(evaluate.Metric):
    """Compute the metrics of `genolm.metrics` through `evaluate`, offline: make one, no `evaluate.load`.

    `SequenceClassificationMetric().compute(predictions=probabilities, references=labels)`; `add_batch` and
    `evaluate.combine` work as with any metric. Bad input raises `genolm.errors.DataError`.
    """

    def _info(self) -> evaluate.MetricInfo:
        probability = Value("float32")
        predictions = Sequence(probability) if self.config_name == MULTICLASS else probability
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="",
            inputs_description=INPUTS,
            features=Features({"predictions": predictions, "references": Value("int64")}),
        )

    def _compute(
        self, *, predictions: list[Any], references: list[int], threshold: float = 0.5
    ) -> dict[str, Any]:
        return compute_classification_metrics(references, predictions, threshold=threshold)
