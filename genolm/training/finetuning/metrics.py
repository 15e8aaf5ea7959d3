"""The figures of a fine-tuning, for each task: those that choose the epoch, and those of metrics.json."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from genolm.metrics import (
    compute_bootstrap_values,
    compute_classification_metrics,
    compute_classification_report,
    compute_percentile_interval,
)
from genolm.models.scoring import Task, select_scores
from genolm.training.finetuning.token_metrics import compute_token_figures, compute_token_report

Floats = npt.NDArray[np.floating[Any]]
Outputs = Floats | Sequence[Floats]
MACRO_NAMES = ("auroc", "auprc")  # of several labels: means over them
REGRESSION_NAMES = ("mse", "pearson", "spearman")
RESAMPLES_PER_CHUNK = 50


def compute_training_figures(
    task: Task, values: npt.NDArray[Any], outputs: Outputs, *, scale: float = 1.0
) -> dict[str, float]:
    """Compute the figures of an evaluation during the training, `loss` among them.

    Args:
        task: what is learned.
        values: right answers, as in Targets.
        outputs: float32 [n, outputs], as `compute_probabilities` gives; for token_classification a list,
            [bases, classes] for each sequence.
        scale: units of a regression's numbers in one unit of `values` and `outputs`.
    """
    if task == "token_classification":
        return compute_token_figures(list(values), list(outputs))
    outputs = np.asarray(outputs)
    if task == "regression":
        figures = compute_regression_metrics(values, outputs)
        loss = figures["mse"]
        return {"loss": loss, **figures, "mse": loss * scale**2}
    if task == "multi_label":
        figures = compute_multi_label_metrics(values, outputs)
        right = np.where(values > 0, outputs, 1 - outputs)
        return {"loss": _compute_surprise(right), "auroc": figures["auroc"], "auprc": figures["auprc"]}
    figures = compute_classification_metrics(values, select_scores(outputs))
    right = outputs[np.arange(len(values)), values]
    return {
        "loss": _compute_surprise(right),
        **{name: figures[name] for name in ("accuracy", "mcc", "auroc")},
    }


def compute_report(
    task: Task, values: npt.NDArray[Any], outputs: Outputs, *, names: tuple[str, ...]
) -> dict[str, Any]:
    """Compute the figures of one split of a metrics.json, with 95 % bootstrap intervals under `ci95`.

    Arguments are those of `compute_training_figures`, and the names of the outputs.
    """
    if task == "token_classification":
        return compute_token_report(list(values), list(outputs), names=names)
    outputs = np.asarray(outputs)
    if task == "regression":
        return compute_regression_report(values, outputs)
    if task == "multi_label":
        return compute_multi_label_report(values, outputs, names=names)
    return compute_classification_report(values, select_scores(outputs))


def compute_regression_metrics(values: npt.ArrayLike, outputs: npt.ArrayLike) -> dict[str, float]:
    """Compute mean squared error, Pearson's and Spearman's correlation; that of a constant counts as 0.

    Args:
        values: right numbers [n].
        outputs: predicted numbers [n] or [n, 1].

    >>> compute_regression_metrics([1, 2, 3], [2, 3, 9])["mse"], compute_regression_metrics([1, 2], [3, 3])
    (12.67, {'mse': 2.5, 'pearson': 0.0, 'spearman': 0.0})
    """
    rows = np.asarray(values, dtype=np.float64)[None], np.asarray(outputs, dtype=np.float64).reshape(1, -1)
    return {name: float(value[0]) for name, value in _compute_regression_rows(*rows).items()}


def compute_regression_report(
    values: npt.ArrayLike, outputs: npt.ArrayLike, *, num_resamples: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Compute the metrics of a regression, `n`, and percentile bootstrap intervals over the sequences."""
    right, found = np.asarray(values, dtype=np.float64), np.asarray(outputs, dtype=np.float64).reshape(-1)
    generator = np.random.default_rng(seed)
    drawn: dict[str, list[Floats]] = {name: [] for name in REGRESSION_NAMES}
    for start in range(0, num_resamples, RESAMPLES_PER_CHUNK):
        rows = min(RESAMPLES_PER_CHUNK, num_resamples - start)
        chosen = generator.integers(0, len(right), size=(rows, len(right)))
        for name, numbers in _compute_regression_rows(right[chosen], found[chosen]).items():
            drawn[name].append(numbers)
    intervals = {
        name: np.quantile(np.concatenate(numbers), [0.025, 0.975]).tolist() for name, numbers in drawn.items()
    }
    return {**compute_regression_metrics(right, found), "n": len(right), "ci95": intervals}


def _compute_regression_rows(values: Floats, outputs: Floats) -> dict[str, Floats]:
    """Return the metrics of r sets at once, values and outputs [r, n]."""
    from scipy.stats import rankdata

    return {
        "mse": ((values - outputs) ** 2).mean(axis=1),
        "pearson": _correlate(values, outputs),
        "spearman": _correlate(rankdata(values, axis=1), rankdata(outputs, axis=1)),
    }


def _correlate(first: Floats, second: Floats) -> Floats:
    first = first - first.mean(axis=1, keepdims=True)
    second = second - second.mean(axis=1, keepdims=True)
    product = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    result = np.zeros(len(first))
    return np.divide((first * second).sum(axis=1), product, out=result, where=product > 0)


def compute_multi_label_report(
    values: npt.NDArray[Any], outputs: Floats, *, names: Sequence[str]
) -> dict[str, Any]:
    """Compute means over the labels, `n`, intervals of the means, and the report of each label by itself.

    All labels are drawn in the same bootstrap sets, so an interval is that of the mean over them.

    Args:
        values: 0 or 1 [n, labels].
        outputs: probabilities [n, labels].
        names: of the labels.
    """
    labels, drawn = {}, []
    for column, name in enumerate(names):
        right, found = values[:, column].astype(np.int64), outputs[:, column]
        resampled = compute_bootstrap_values(right, found)
        own = {metric: compute_percentile_interval(each) for metric, each in resampled.items()}
        labels[name] = {**compute_classification_metrics(right, found), "ci95": own}
        if labels[name]["auroc"] is not None:
            drawn.append(resampled)
    intervals = {
        metric: compute_percentile_interval(_average_rows([each[metric] for each in drawn]))
        if drawn
        else None
        for metric in MACRO_NAMES
    }
    return {**_compute_macro(labels), "n": len(values), "ci95": intervals, "labels": labels}


def _average_rows(rows: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """Average over what is not NaN: [r] of each of several; NaN where all are."""
    values = np.stack(rows)
    counts = (~np.isnan(values)).sum(axis=0)
    return np.where(counts > 0, np.nansum(values, axis=0) / np.maximum(counts, 1), np.nan).astype(np.float64)


def compute_multi_label_metrics(values: npt.NDArray[Any], outputs: Floats) -> dict[str, float]:
    """Compute AUROC and AUPRC as means over the labels that some sequences have and others lack.

    Args:
        values: 0 or 1 [n, labels].
        outputs: probabilities [n, labels].
    """
    labels = {
        str(column): compute_classification_metrics(values[:, column].astype(np.int64), outputs[:, column])
        for column in range(values.shape[1])
    }
    return _compute_macro(labels)


def _compute_macro(labels: dict[str, dict[str, Any]]) -> dict[str, float]:
    result = {}
    for name in MACRO_NAMES:
        defined = [figures[name] for figures in labels.values() if figures[name] is not None]
        result[name] = float(np.mean(defined)) if defined else 0.0
    return result


def _compute_surprise(right: Floats) -> float:
    """Return the mean negative log-probability of the right answers, in nats."""
    return float(-np.log(np.clip(right, 1e-12, 1.0)).mean())
