"""Whether probabilities can be taken at their word: calibration error, reliability, temperature."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.errors import DataError, SettingsError
from genolm.metrics import check_predictions

NUM_BINS = 15
SMALLEST_PROBABILITY = 1e-7
"""what 0 counts as in a logarithm; a float32 model says 0 and 1 where it means nearly"""
TEMPERATURE_RANGE = (0.05, 20.0)

Floats = npt.NDArray[np.float64]


class ReliabilityBin(NamedTuple):
    """Sequences of about the same score, and how often the model was right about them."""

    mean_score: float
    observed: float
    """share of class 1; with more than two classes share of right answers"""
    low: float
    """of the 95 % interval of `observed` (Wilson 1927)"""
    high: float
    n: int


class Calibration(NamedTuple):
    """How far probabilities are from what happened; all three are 0 for a model that is certain and right."""

    ece: float
    """expected calibration error, 0 .. 1"""
    brier: float
    """mean squared error of the probabilities: 0 .. 1 for two classes, 0 .. 2 summed over more"""
    log_loss: float
    """mean, nats"""
    bins: tuple[ReliabilityBin, ...]
    """the reliability table, in the order of the scores"""


class TemperatureScaling(NamedTuple):
    """A temperature, and the calibration of one set before and after it."""

    temperature: float
    before: Calibration
    after: Calibration


def compute_calibration(
    labels: npt.ArrayLike, scores: npt.ArrayLike, *, num_bins: int = NUM_BINS
) -> Calibration:
    """Compute calibration error, Brier score, log loss and the reliability table of a labeled set.

    The expected calibration error is the mean distance of score and observed share over bins of equally many
    sequences (Naeini, Cooper and Hauskrecht 2015; equal mass: Nguyen and O'Connor 2015). Sequences of one
    score stay in one bin. With two classes the score is the probability of class 1; with more it is that of
    the predicted class (Guo et al. 2017, section 2).

    Args:
        labels: int [n], classes from 0.
        scores: probabilities, float [n] (of class 1) or [n, classes].
        num_bins: at most so many.

    Raises:
        DataError: labels and scores do not fit.
        SettingsError: num_bins below 1.

    >>> found = compute_calibration([0, 1, 1, 1], [0.5, 0.5, 0.75, 0.75], num_bins=2)
    >>> found.ece, found.brier, [(each.mean_score, each.observed, each.n) for each in found.bins]
    (0.125, 0.156, [(0.5, 0.5, 2), (0.75, 1.0, 2)])
    """
    if num_bins < 1:
        raise SettingsError(found=f"num_bins = {num_bins}", expected="1 or more", remedy="leave it at 15")
    found = check_predictions(labels, scores)
    right = np.eye(found.num_classes)[found.labels]
    if found.num_classes == 2:
        confidence, correct = found.scores[:, 1], found.labels == 1
    else:
        confidence, correct = found.scores.max(axis=1), found.predicted == found.labels
    bins = _build_bins(confidence, correct, num_bins=num_bins)
    squares = ((found.scores - right) ** 2).sum(axis=1)
    return Calibration(
        ece=sum(each.n * abs(each.mean_score - each.observed) for each in bins) / len(right),
        brier=float(squares.mean() / (2 if found.num_classes == 2 else 1)),
        log_loss=_compute_log_loss(_compute_log(found.scores), found.labels),
        bins=bins,
    )


def fit_temperature(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Find the temperature that makes the log loss of a validation split smallest (Guo et al. 2017, 4.2).

    Above 1 it makes a model less certain, below 1 more. It changes no ranking, and no prediction at the
    threshold 0.5. It stays within `TEMPERATURE_RANGE`; a split without an error drives it to the lower end.

    Args:
        labels: int [n], of the validation split.
        scores: probabilities, float [n] or [n, classes].

    Raises:
        DataError: labels and scores do not fit, or there is one class only.
    """
    from scipy.optimize import minimize_scalar

    found = check_predictions(labels, scores)
    if len(np.unique(found.labels)) < 2:
        raise DataError(
            found="a validation split of one class",
            expected="two classes or more",
            remedy="check how the data are split",
        )
    logits = _compute_log(found.scores)
    best = minimize_scalar(
        lambda log_temperature: _compute_log_loss(logits / np.exp(log_temperature), found.labels),
        bounds=np.log(TEMPERATURE_RANGE),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(best.x))


def apply_temperature(scores: npt.ArrayLike, *, temperature: float) -> Floats:
    """Return the probabilities at another temperature, float64 in the shape of `scores`.

    >>> apply_temperature([0.9, 0.5], temperature=2.0)
    array([0.75, 0.5 ])
    """
    if not temperature > 0:
        raise SettingsError(
            found=f"temperature = {temperature}", expected="above 0", remedy="fit it on the validation split"
        )
    given = np.asarray(scores, dtype=np.float64)
    columns = given if given.ndim == 2 else np.stack([1 - given, given], axis=1)
    scaled = np.exp(_normalize(_compute_log(columns) / temperature))
    return scaled if given.ndim == 2 else scaled[:, 1]


def compare_temperature(
    labels: npt.ArrayLike, scores: npt.ArrayLike, *, temperature: float, num_bins: int = NUM_BINS
) -> TemperatureScaling:
    """Compute the calibration of a test split as it is, and at the temperature that validation chose.

    Arguments and errors are those of `compute_calibration` and `apply_temperature`.
    """
    return TemperatureScaling(
        temperature,
        before=compute_calibration(labels, scores, num_bins=num_bins),
        after=compute_calibration(
            labels, apply_temperature(scores, temperature=temperature), num_bins=num_bins
        ),
    )


def _build_bins(
    confidence: Floats, correct: npt.NDArray[np.bool_], *, num_bins: int
) -> tuple[ReliabilityBin, ...]:
    from scipy.stats import binomtest

    # How many sequences have a lower score decides, in whole numbers: ties stay together, order is nothing.
    num_lower = np.searchsorted(np.sort(confidence), confidence, side="left")
    bin_of = num_lower * num_bins // len(confidence)
    bins = []
    for number in np.unique(bin_of):
        chosen = bin_of == number
        n, hits = int(chosen.sum()), int(correct[chosen].sum())
        interval = binomtest(hits, n).proportion_ci(method="wilson")
        mean_score = float(confidence[chosen].mean())
        bins.append(ReliabilityBin(mean_score, hits / n, float(interval.low), float(interval.high), n))
    return tuple(bins)


def _compute_log(probabilities: Floats) -> Floats:
    return np.log(np.clip(probabilities, SMALLEST_PROBABILITY, 1.0))


def _normalize(logits: Floats) -> Floats:
    """Return log-softmax over the classes."""
    from scipy.special import log_softmax

    result: Floats = log_softmax(logits, axis=1)
    return result


def _compute_log_loss(logits: Floats, labels: npt.NDArray[np.int64]) -> float:
    return float(-_normalize(logits)[np.arange(len(labels)), labels].mean())
