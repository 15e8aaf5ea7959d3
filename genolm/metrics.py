"""Numbers about predictions: classification metrics, their bootstrap intervals, bits per base.

A value that cannot be defined because a class is absent from the labels (recall, specificity and their
complements, AUROC, AUPRC) is None, never a number that looks like a result.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.errors import DataError, SettingsError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

METRIC_NAMES = (
    "accuracy",
    "precision",
    "recall",
    "specificity",
    "f1",
    "mcc",
    "auroc",
    "auprc",
    "false_positive_rate",
    "false_negative_rate",
)
CHUNK_CELLS = 1 << 22
PROBABILITY_SLACK = 1e-6


class Predictions(NamedTuple):
    """Checked input: labels [n] and predicted classes [n], int64; scores [n, classes], float64."""

    labels: Ints
    predicted: Ints
    scores: Floats

    @property
    def num_classes(self) -> int:
        return self.scores.shape[1]

    @property
    def cells(self) -> Ints:
        """The cell of the flat confusion matrix that each sequence falls into, [n]."""
        return self.labels * self.num_classes + self.predicted


def compute_classification_metrics(
    labels: npt.ArrayLike, scores: npt.ArrayLike, *, threshold: npt.ArrayLike = 0.5
) -> dict[str, Any]:
    """Compute the metrics of a classifier on one labeled set.

    Args:
        labels: int [n], the true classes 0..classes-1.
        scores: probabilities, float [n] (of class 1) or [n, classes]. Two columns are read as binary.
        threshold: a binary score at or above it predicts class 1; with more classes the highest wins. One
            for all, or one for each sequence [n].

    Returns:
        `METRIC_NAMES` (fractions; mcc in -1..1), `confusion` ([[tn, fp], [fn, tp]]: rows are true classes)
        and `n`. With more than two classes: precision to false_negative_rate are macro averages, auroc and
        auprc are one-vs-rest macro averages. Ratios over no prediction are 0.0, as scikit-learn's
        `zero_division=0`; a value that needs an absent class is None.

    Raises:
        DataError: shapes, labels or scores do not fit.

    >>> metrics = compute_classification_metrics([0, 0, 1, 1], [0.1, 0.6, 0.7, 0.9])
    >>> metrics["accuracy"], metrics["auroc"], metrics["confusion"]
    (0.75, 1.0, [[1, 1], [0, 2]])
    """
    found = check_predictions(labels, scores, threshold=threshold)
    n, classes = found.scores.shape
    confusion = np.bincount(found.cells, minlength=classes**2).reshape(1, classes, classes)
    values = _compute_metrics(found, confusion, np.ones((1, n)))
    metrics: dict[str, Any] = {name: _none_if_nan(values[name][0]) for name in METRIC_NAMES}
    return metrics | {"confusion": confusion[0].tolist(), "n": n}


def compute_bootstrap_intervals(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    num_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    threshold: npt.ArrayLike = 0.5,
    groups: npt.ArrayLike | None = None,
) -> dict[str, list[float] | None]:
    """Compute percentile bootstrap intervals of every metric over the sequences of a test set.

    Args:
        labels: int [n].
        scores: float [n] or [n, classes].
        num_resamples: number of bootstrap sets.
        confidence: coverage, between 0 and 1.
        seed: of numpy's default generator.
        threshold: as in `compute_classification_metrics`.
        groups: of sequences that are alike [n], to draw whole groups; each sequence by itself without them.

    Returns:
        `[low, high]` for each of `METRIC_NAMES`. Resamples that leave a value undefined are set aside; where
        it is undefined on the labels themselves, the interval is None.

    Raises:
        DataError: shapes, labels, scores or groups do not fit.
        SettingsError: num_resamples or confidence out of range.
    """
    _check_bootstrap_settings(num_resamples=num_resamples, confidence=confidence)
    drawn = compute_bootstrap_values(
        labels, scores, num_resamples=num_resamples, seed=seed, threshold=threshold, groups=groups
    )
    return {
        name: compute_percentile_interval(values, confidence=confidence) for name, values in drawn.items()
    }


def compute_bootstrap_values(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    num_resamples: int = 1000,
    seed: int = 0,
    threshold: npt.ArrayLike = 0.5,
    groups: npt.ArrayLike | None = None,
) -> dict[str, Floats]:
    """Compute every metric on resampled test sets; the same seed and groups draw the same sets for any model.

    Sequences are drawn with replacement (Efron and Tibshirani 1993, section 13.3), or whole groups of them
    (Davison and Hinkley 1997, section 3.8), as many as there are. Scores are sorted once; a resample is a row
    of multiplicities, so AUROC and AUPRC cost a cumulative sum each.

    Arguments and errors are those of `compute_bootstrap_intervals`.

    Returns:
        float64 [num_resamples] for each of `METRIC_NAMES`, NaN where a resample leaves it undefined.
    """
    _check_bootstrap_settings(num_resamples=num_resamples)
    predictions = check_predictions(labels, scores, threshold=threshold)
    group_of = _number_groups(groups, num_sequences=len(predictions.labels))
    chunks = [
        _compute_metrics(predictions, confusion, counts)
        for confusion, counts in _iter_resamples(
            predictions, group_of, num_resamples=num_resamples, seed=seed
        )
    ]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in METRIC_NAMES}


def compute_percentile_interval(values: Floats, *, confidence: float = 0.95) -> list[float] | None:
    """Return `[low, high]` around the middle share of bootstrap values [n]; None where all are NaN.

    >>> compute_percentile_interval(np.arange(101.0), confidence=0.9)
    [5.0, 95.0]
    """
    _check_bootstrap_settings(confidence=confidence)
    values = values[~np.isnan(values)]
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    return np.quantile(values, tails).tolist() if len(values) else None


def compute_classification_report(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    threshold: npt.ArrayLike = 0.5,
    num_resamples: int = 1000,
    seed: int = 0,
    groups: npt.ArrayLike | None = None,
) -> dict[str, Any]:
    """Compute the metrics and, under `ci95`, their 95 % bootstrap intervals: one split of a metrics.json.

    Arguments and errors are those of `compute_classification_metrics` and `compute_bootstrap_intervals`.
    """
    metrics = compute_classification_metrics(labels, scores, threshold=threshold)
    return metrics | {
        "ci95": compute_bootstrap_intervals(
            labels, scores, num_resamples=num_resamples, seed=seed, threshold=threshold, groups=groups
        )
    }


def bits_per_base(nats_total: float, bases: int) -> float:
    """Turn a summed negative log likelihood (nats) into bits per base; a uniform model scores 2.

    >>> bits_per_base(512 * math.log(4), 512)
    2.0
    """
    if bases < 1:
        raise DataError(
            found=f"{bases} scored bases",
            expected="at least 1",
            remedy="check that the held-out set is not empty and longer than the context",
        )
    return nats_total / (bases * math.log(2))


def check_predictions(
    labels: npt.ArrayLike, scores: npt.ArrayLike, *, threshold: npt.ArrayLike = 0.5
) -> Predictions:
    """Check labels and scores, and say what they predict; see `compute_classification_metrics`.

    Raises:
        DataError: shapes, labels or scores do not fit.
    """
    label_array, score_array = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if label_array.ndim != 1 or score_array.ndim not in (1, 2) or len(label_array) != len(score_array):
        raise DataError(
            found=f"labels of shape {label_array.shape} and scores of shape {score_array.shape}",
            expected="labels [n] and scores [n] or [n, classes]",
            remedy="give one score row for each label",
        )
    _check_scores(score_array)
    num_classes = score_array.shape[1] if score_array.ndim == 2 else 2
    _check_labels(label_array, num_classes=num_classes)
    if num_classes == 2:
        positive = score_array[:, 1] if score_array.ndim == 2 else score_array
        score_array = np.stack([1 - positive, positive], axis=1)
        predicted = (positive >= np.broadcast_to(threshold, positive.shape)).astype(np.int64)
    else:
        predicted = score_array.argmax(axis=1)
    return Predictions(label_array.astype(np.int64), predicted, score_array)


def _check_scores(scores: Floats) -> None:
    if len(scores) == 0 or (scores.ndim == 2 and scores.shape[1] < 2):
        raise DataError(
            found=f"scores of shape {scores.shape}",
            expected="at least one sequence and two classes",
            remedy="check that the split is not empty; give binary scores as one array [n]",
        )
    in_range = (scores >= -PROBABILITY_SLACK) & (scores <= 1 + PROBABILITY_SLACK)
    if not in_range.all():  # NaN is not in range either
        raise DataError(
            found=f"the score {scores[~in_range][0]}",
            expected="probabilities between 0 and 1",
            remedy="apply softmax or sigmoid to logits; NaN means that the model diverged",
        )


def _check_labels(labels: npt.NDArray[Any], *, num_classes: int) -> None:
    is_integer = np.issubdtype(labels.dtype, np.integer) or labels.dtype == np.bool_
    wrong = labels if not is_integer else labels[(labels < 0) | (labels >= num_classes)]
    if len(wrong):
        raise DataError(
            found=f"the label {wrong[0]!s} ({labels.dtype})",
            expected=f"integers from 0 to {num_classes - 1}",
            remedy="number the classes from 0; for more than two give scores [n, classes]",
        )


def _check_bootstrap_settings(*, num_resamples: int = 1000, confidence: float = 0.95) -> None:
    if num_resamples < 1 or not 0 < confidence < 1:
        raise SettingsError(
            found=f"num_resamples={num_resamples}, confidence={confidence}",
            expected="at least 1 resample and a confidence between 0 and 1",
            remedy="set for example num_resamples=1000, confidence=0.95",
        )


def _number_groups(groups: npt.ArrayLike | None, *, num_sequences: int) -> Ints:
    """Return the number of the group of each sequence, int64 [n], from 0 without a gap."""
    if groups is None:
        return np.arange(num_sequences)
    names = np.asarray(groups)
    if names.shape != (num_sequences,) or len(np.unique(names)) < 2:
        raise DataError(
            found=f"groups of shape {names.shape}, {len(np.unique(names))} of them, "
            f"for {num_sequences} sequences",
            expected="one group for each sequence, 2 groups or more",
            remedy="correct the group column",
        )
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def _iter_resamples(
    predictions: Predictions, group_of: Ints, *, num_resamples: int, seed: int
) -> Iterator[tuple[Ints, Floats]]:
    """Yield confusion matrices [r, classes, classes] and multiplicities [r, n], a few megabytes at a time."""
    generator = np.random.default_rng(seed)
    n, classes = predictions.scores.shape
    groups, cells = int(group_of.max()) + 1, classes**2
    rows_per_chunk = max(1, CHUNK_CELLS // max(n, cells))
    for start in range(0, num_resamples, rows_per_chunk):
        rows = min(rows_per_chunk, num_resamples - start)
        drawn = generator.integers(0, groups, size=(rows, groups))
        row = np.arange(rows)[:, None]
        group_counts = np.bincount((drawn + row * groups).ravel(), minlength=rows * groups)
        counts = group_counts.reshape(rows, groups)[:, group_of].astype(np.float64)
        flat_cells = (predictions.cells + row * cells).ravel()
        confusion = np.bincount(flat_cells, weights=counts.ravel(), minlength=rows * cells)
        yield confusion.reshape(rows, classes, classes).astype(np.int64), counts


def _compute_metrics(predictions: Predictions, confusion: Ints, counts: Floats) -> dict[str, Floats]:
    """Return every metric for r weightings of the same predictions: confusion [r, C, C], counts [r, n]."""
    values = _compute_confusion_metrics(confusion)
    # binary: the positive class; more classes: each against the rest
    scored = [1] if predictions.num_classes == 2 else range(predictions.num_classes)
    ranks = [
        _compute_rank_metrics(predictions.labels == label, predictions.scores[:, label], counts)
        for label in scored
    ]
    values["auroc"] = np.mean([auroc for auroc, _ in ranks], axis=0)
    values["auprc"] = np.mean([auprc for _, auprc in ranks], axis=0)
    return values


def _compute_confusion_metrics(confusion: Ints) -> dict[str, Floats]:
    """Return the metrics that a confusion matrix [r, C, C] decides, float64 [r], NaN where undefined.

    The multi-class MCC is R_K of Gorodkin 2004 (doi:10.1016/j.compbiolchem.2004.09.006).
    """
    table = confusion.astype(np.float64)
    total = table.sum(axis=(1, 2))
    hits = np.diagonal(table, axis1=1, axis2=2)
    actual, predicted = table.sum(axis=2), table.sum(axis=1)
    false_positives = predicted - hits
    recall = _divide(hits, actual, undefined=np.nan)
    specificity = 1 - _divide(false_positives, total[:, None] - actual, undefined=np.nan)
    per_class = {
        "precision": _divide(hits, predicted, undefined=0.0),
        "recall": recall,
        "specificity": specificity,
        "f1": _divide(2 * hits, actual + predicted, undefined=0.0),
        "false_positive_rate": 1 - specificity,
        "false_negative_rate": 1 - recall,
    }
    binary = table.shape[1] == 2
    values = {name: value[:, 1] if binary else value.mean(axis=1) for name, value in per_class.items()}
    values["accuracy"] = hits.sum(axis=1) / total
    covariance = hits.sum(axis=1) * total - (actual * predicted).sum(axis=1)
    spread = (total**2 - (predicted**2).sum(axis=1)) * (total**2 - (actual**2).sum(axis=1))
    values["mcc"] = _divide(covariance, np.sqrt(spread), undefined=0.0)
    return values


def _compute_rank_metrics(
    positive: npt.NDArray[np.bool_], scores: Floats, counts: Floats
) -> tuple[Floats, Floats]:
    """Return AUROC and average precision, float64 [r], of weightings counts [r, n]; NaN if a class is absent.

    AUROC is the Mann-Whitney statistic, a tie counting one half; average precision is scikit-learn's,
    the sum over distinct scores of (recall step) x precision.
    """
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.inf))
    weights = counts[:, order]
    positives = np.add.reduceat(weights * positive[order], starts, axis=1)
    everything = np.add.reduceat(weights, starts, axis=1)
    negatives = everything - positives
    positives_so_far = np.cumsum(positives, axis=1)
    negatives_so_far = np.cumsum(negatives, axis=1)
    num_positive, num_negative = positives_so_far[:, -1], negatives_so_far[:, -1]
    negatives_below = num_negative[:, None] - negatives_so_far + negatives / 2
    auroc = _divide((positives * negatives_below).sum(axis=1), num_positive * num_negative, undefined=np.nan)
    precision = _divide(positives_so_far, positives_so_far + negatives_so_far, undefined=0.0)
    auprc = _divide((positives * precision).sum(axis=1), num_positive, undefined=np.nan)
    auprc[num_negative == 0] = np.nan
    return auroc, auprc


def _divide(numerator: Floats, denominator: Floats, *, undefined: float) -> Floats:
    result = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), undefined)
    return np.divide(numerator, denominator, out=result, where=denominator != 0)


def _none_if_nan(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)
