"""Whether one model is better than another on the same test sequences, or only luckier."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.errors import SettingsError
from genolm.metrics import (
    METRIC_NAMES,
    compute_bootstrap_values,
    compute_classification_metrics,
    compute_percentile_interval,
)

COMPARED_METRICS = ("mcc", "auroc", "auprc", "accuracy")


class PairedDifference(NamedTuple):
    """One metric of a first model minus that of a second, on the same sequences."""

    metric: str
    first: float | None
    second: float | None
    difference: float | None
    """None where a class is absent"""
    interval: list[float] | None
    """95 %, percentile bootstrap"""
    other_side_share: float | None
    """of the resamples, in which the difference is 0 or has the other sign; 1 where there is none"""

    @property
    def is_clear(self) -> bool:
        """Say whether the interval excludes 0."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)


def compute_paired_differences(
    labels: npt.ArrayLike,
    first_scores: npt.ArrayLike,
    second_scores: npt.ArrayLike,
    *,
    metrics: Sequence[str] = COMPARED_METRICS,
    num_resamples: int = 1000,
    seed: int = 0,
    groups: npt.ArrayLike | None = None,
    first_threshold: npt.ArrayLike = 0.5,
    second_threshold: npt.ArrayLike = 0.5,
) -> dict[str, PairedDifference]:
    """Compute the differences of two models with their intervals, over the sequences of a test set.

    Both are scored on the same resampled sequences. What makes a sequence hard is hard for both, so the
    interval of the difference is narrower than those of the two models suggest (Efron and Tibshirani 1993,
    chapter 8; Koehn 2004 for test sets).

    Args:
        labels: int [n].
        first_scores: of the first model, float [n] or [n, classes].
        second_scores: of the second, for the same sequences in the same order.
        metrics: names out of `METRIC_NAMES`.
        num_resamples: number of bootstrap sets.
        seed: of numpy's default generator.
        groups: of sequences that are alike [n], to draw whole groups.
        first_threshold: of the first model, as its validation split chose it.
        second_threshold: of the second.

    Raises:
        DataError: labels, scores or groups do not fit.
        SettingsError: an unknown metric, or num_resamples below 1.
    """
    if unknown := sorted(set(metrics) - set(METRIC_NAMES)):
        raise SettingsError(
            found=f"the metric {unknown[0]}",
            expected=f"one of {', '.join(METRIC_NAMES)}",
            remedy="correct the name",
        )
    models = ((first_scores, first_threshold), (second_scores, second_threshold))
    first, second = (
        compute_classification_metrics(labels, scores, threshold=threshold) for scores, threshold in models
    )
    first_drawn, second_drawn = (
        compute_bootstrap_values(
            labels, scores, threshold=threshold, num_resamples=num_resamples, seed=seed, groups=groups
        )
        for scores, threshold in models
    )
    return {
        name: _compare(name, first[name], second[name], drawn=first_drawn[name] - second_drawn[name])
        for name in metrics
    }


def _compare(
    metric: str, first: float | None, second: float | None, *, drawn: npt.NDArray[np.float64]
) -> PairedDifference:
    drawn = drawn[~np.isnan(drawn)]
    if first is None or second is None or len(drawn) == 0:
        return PairedDifference(metric, first, second, None, None, None)
    difference = first - second
    other_side = drawn * np.sign(difference) <= 0
    interval = compute_percentile_interval(drawn)
    return PairedDifference(metric, first, second, difference, interval, float(other_side.mean()))
