"""The score from which a sequence counts as class 1: chosen on validation, applied to test."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.errors import DataError, SettingsError
from genolm.metrics import check_predictions

Floats = npt.NDArray[np.float64]


class ChosenThreshold(NamedTuple):
    """A threshold, and what it does on the split that it was chosen on."""

    threshold: float
    """a score at or above it predicts class 1"""
    mcc: float
    recall: float
    false_positive_rate: float


def choose_threshold(
    labels: npt.ArrayLike, scores: npt.ArrayLike, *, max_false_positive_rate: float | None = None
) -> ChosenThreshold:
    """Choose the threshold with the best MCC, or the best recall at a wanted false-positive rate.

    A threshold lies half-way between two scores that occur; of equals the one nearest 0.5 is taken.

    Args:
        labels: int [n], 0 or 1, of the validation split; never those of the test split.
        scores: probability of class 1, float [n].
        max_false_positive_rate: 0 .. 1; the highest share of class 0 that may be called 1. Where no recall
            can be had for it, the threshold is above every score.

    Raises:
        DataError: labels and scores do not fit, there are more than two classes, or one is absent.
        SettingsError: the wanted rate is not between 0 and 1.

    >>> choose_threshold([0, 0, 1, 1], [0.1, 0.3, 0.4, 0.9])
    ChosenThreshold(threshold=0.35, mcc=1.0, recall=1.0, false_positive_rate=0.0)
    """
    from sklearn.metrics import roc_curve

    found = check_predictions(labels, scores)
    if found.num_classes > 2 or len(np.unique(found.labels)) < 2:
        raise DataError(
            found=f"{len(np.unique(found.labels))} of {found.num_classes} classes in the validation split",
            expected="both of two classes",
            remedy="check the split; with more than two classes the highest score decides, not a threshold",
        )
    if max_false_positive_rate is not None and not 0 <= max_false_positive_rate <= 1:
        raise SettingsError(
            found=f"max_false_positive_rate = {max_false_positive_rate}",
            expected="a share between 0 and 1",
            remedy="set for example 0.01",
        )
    rates = roc_curve(found.labels, found.scores[:, 1], drop_intermediate=False)
    false_positive_rates, recalls, lowest_called = (np.asarray(rate, dtype=np.float64) for rate in rates)
    thresholds = _move_between(lowest_called)
    mccs = _compute_mcc(recalls, false_positive_rates, labels=found.labels)
    distance = np.abs(thresholds - 0.5)
    if max_false_positive_rate is None:
        best = np.lexsort((distance, -mccs))[0]
    else:
        allowed = np.flatnonzero(false_positive_rates <= max_false_positive_rate)
        best = allowed[np.lexsort((distance[allowed], false_positive_rates[allowed], -recalls[allowed]))[0]]
    values = (thresholds[best], mccs[best], recalls[best], false_positive_rates[best])
    return ChosenThreshold(*(float(value) for value in values))


def _move_between(lowest_called: Floats) -> Floats:
    """Move each threshold half-way down to the next score that occurs, float64 [thresholds].

    `lowest_called` falls, and begins with infinity: nothing is called.
    """
    first = np.nextafter(lowest_called[1], np.inf)
    next_lower = np.append(lowest_called[2:], lowest_called[-1])
    halfway = (lowest_called[1:] + next_lower) / 2
    # between neighboring floats there is no number: half-way would be the lower one
    kept = np.where(halfway > next_lower, halfway, lowest_called[1:])
    return np.append(first, kept)


def _compute_mcc(recalls: Floats, false_positive_rates: Floats, *, labels: npt.NDArray[np.int64]) -> Floats:
    """Return the MCC for each pair of rates, 0 where everything or nothing is called."""
    num_positive = int(labels.sum())
    num_negative = len(labels) - num_positive
    hits = np.round(recalls * num_positive)
    called = hits + np.round(false_positive_rates * num_negative)
    spread = num_positive * num_negative * called * (len(labels) - called)
    result = np.zeros(len(recalls))
    covariance = len(labels) * hits - num_positive * called
    mccs: Floats = np.divide(covariance, np.sqrt(spread), out=result, where=spread > 0)
    return np.round(mccs, 12)  # equals are equal, whatever the last bit says
