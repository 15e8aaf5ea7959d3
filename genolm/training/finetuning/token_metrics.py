"""The figures of labels for single bases, with bootstrap intervals over sequences."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.int64]
RESAMPLES_PER_CHUNK = 50


def compute_token_figures(values: Sequence[Ints], outputs: Sequence[Floats]) -> dict[str, float]:
    """Compute `loss` (mean over bases, in nats), `accuracy` and `mcc` over all bases with a label.

    Args:
        values: classes of the bases of each sequence, int64 [bases], below 0 where there is no label.
        outputs: probabilities of the classes for each sequence, float [bases, classes].
    """
    labels, rows = np.concatenate(list(values)), np.concatenate(list(outputs))
    known = labels >= 0
    right = rows[known, labels[known]]
    figures = _compute_rows(count_confusion(values, outputs).sum(axis=0)[None])
    return {
        "loss": float(-np.log(np.clip(right, 1e-12, 1.0)).mean()),
        "accuracy": float(figures["accuracy"][0]),
        "mcc": float(figures["mcc"][0]),
    }


def compute_token_report(
    values: Sequence[Ints],
    outputs: Sequence[Floats],
    *,
    names: tuple[str, ...],
    num_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compute the figures of one split of a metrics.json.

    Neighboring bases are not independent, so the 95 % percentile intervals come from sequences drawn with
    replacement.

    Args:
        values: as in `compute_token_figures`.
        outputs: as in `compute_token_figures`.
        names: of the classes.
        num_resamples: number of bootstrap sets.
        seed: of numpy's default generator.

    Returns:
        `accuracy`, `mcc`, `n` (sequences), `bases` (with a label), `confusion` (rows are right classes),
        `classes` with `precision`, `recall`, `f1`, `bases` and `ci95` of each, and `ci95` of the first two.
        A value that needs a class that no base has is None; of a class that is never predicted the precision
        is 0.
    """
    confusion = count_confusion(values, outputs)
    total = confusion.sum(axis=0)
    figures = {name: _none_if_nan(rows[0]) for name, rows in _compute_rows(total[None]).items()}
    intervals = _compute_intervals(confusion, num_resamples=num_resamples, seed=seed)
    return {
        "accuracy": figures["accuracy"],
        "mcc": figures["mcc"],
        "n": len(confusion),
        "bases": int(total.sum()),
        "confusion": total.tolist(),
        "classes": {
            name: {
                **{metric: figures[metric][index] for metric in ("precision", "recall", "f1")},
                "bases": int(total[index].sum()),
                "ci95": {metric: intervals[metric][index] for metric in ("precision", "recall", "f1")},
            }
            for index, name in enumerate(names)
        },
        "ci95": {name: intervals[name] for name in ("accuracy", "mcc")},
    }


def count_confusion(values: Sequence[Ints], outputs: Sequence[Floats]) -> Ints:
    """Count the bases of each sequence by right and most probable class, int64 [n, classes, classes].

    >>> count_confusion([np.array([0, 1, -100])], [np.array([[0.9, 0.1], [0.8, 0.2], [0.5, 0.5]])]).tolist()
    [[[1, 0], [1, 0]]]
    """
    labels, rows = np.concatenate(list(values)), np.concatenate(list(outputs))
    n, classes = len(values), rows.shape[1]
    owners = np.repeat(np.arange(n), [len(each) for each in values])
    cells = (owners * classes + labels) * classes + rows.argmax(axis=1)
    return np.bincount(cells[labels >= 0], minlength=n * classes**2).reshape(n, classes, classes)


def _compute_intervals(confusion: Ints, *, num_resamples: int, seed: int) -> dict[str, Any]:
    """Return [low, high] of each figure, or None where a figure is undefined in every resample."""
    generator = np.random.default_rng(seed)
    n, classes, _ = confusion.shape
    chunks = []
    for start in range(0, num_resamples, RESAMPLES_PER_CHUNK):
        rows = min(RESAMPLES_PER_CHUNK, num_resamples - start)
        counts = generator.multinomial(n, np.full(n, 1 / n), size=rows)
        chunks.append(_compute_rows((counts @ confusion.reshape(n, -1)).reshape(rows, classes, classes)))
    drawn = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
    return {
        name: _find_interval(rows) if rows.ndim == 1 else [_find_interval(column) for column in rows.T]
        for name, rows in drawn.items()
    }


def _find_interval(values: Floats) -> list[float] | None:
    defined = values[~np.isnan(values)]
    return np.quantile(defined, [0.025, 0.975]).tolist() if len(defined) else None


def _compute_rows(confusion: Ints) -> dict[str, Floats]:
    """Return the figures of r matrices [r, C, C]: accuracy and mcc [r], the others [r, C]; NaN: undefined.

    The MCC is R_K of Gorodkin 2004 (doi:10.1016/j.compbiolchem.2004.09.006).
    """
    table = confusion.astype(np.float64)
    total = table.sum(axis=(1, 2))
    hits = np.diagonal(table, axis1=1, axis2=2)
    actual, predicted = table.sum(axis=2), table.sum(axis=1)
    covariance = hits.sum(axis=1) * total - (actual * predicted).sum(axis=1)
    spread = (total**2 - (predicted**2).sum(axis=1)) * (total**2 - (actual**2).sum(axis=1))
    return {
        "accuracy": _divide(hits.sum(axis=1), total, undefined=np.nan),
        "mcc": _divide(covariance, np.sqrt(spread), undefined=0.0),
        "precision": _divide(hits, predicted, undefined=0.0),
        "recall": _divide(hits, actual, undefined=np.nan),
        "f1": _divide(2 * hits, actual + predicted, undefined=np.nan),
    }


def _divide(numerator: Floats, denominator: Floats, *, undefined: float) -> Floats:
    result = np.full(numerator.shape, undefined)
    return np.divide(numerator, denominator, out=result, where=denominator > 0)


def _none_if_nan(value: Any) -> Any:
    if np.ndim(value):
        return [_none_if_nan(each) for each in value]
    return None if np.isnan(value) else float(value)
