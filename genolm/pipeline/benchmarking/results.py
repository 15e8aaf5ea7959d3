"""What the trainings of a model say together: means, pooled figures and intervals, calibration, threshold."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.evaluation.calibration import (
    TemperatureScaling,
    apply_temperature,
    compute_calibration,
    fit_temperature,
)
from genolm.evaluation.cross_validation import (
    FoldResult,
    FoldSummary,
    Spread,
    summarize_folds,
    summarize_runs,
)
from genolm.evaluation.html_report.content import Comparison
from genolm.evaluation.paired import compute_paired_differences
from genolm.evaluation.report import ClassifierRow
from genolm.metrics import compute_classification_metrics, compute_classification_report
from genolm.pipeline.benchmarking.trainings import Floats, Prediction
from genolm.threshold import ChosenThreshold, choose_threshold


class Pooled(NamedTuple):
    """The test records of all trainings, one behind the other: a record is there once for each of them."""

    labels: npt.NDArray[np.int64]
    scores: Floats
    groups: npt.NDArray[np.int64]


class Tuned(NamedTuple):
    """A model of two classes at the threshold that the validation records of each training chose."""

    row: ClassifierRow
    mean: ChosenThreshold
    """over the trainings, with what they do on validation"""


class ModelResult(NamedTuple):
    """A model or a control over all its trainings."""

    row: ClassifierRow
    """validation: means over the trainings; test: pooled, with intervals"""
    spreads: dict[str, Spread | None]
    """of each training's own test figures"""
    folds: FoldSummary
    temperature: TemperatureScaling
    """before and after, pooled; each training at its own temperature, of which this has the geometric mean"""
    tuned: Tuned | None
    pooled: Pooled

    @property
    def name(self) -> str:
        """Name in the report."""
        return self.row.name


def summarize_model(
    name: str, predictions: Sequence[Prediction], *, is_control: bool, copies: int, num_resamples: int
) -> ModelResult:
    """Sum up a model.

    Args:
        name: in the report.
        predictions: of each training, in the same order for every model.
        is_control: whether it is one.
        copies: how often each prediction counts in the pool, so that a control, which has no seed, stands
            beside the trainings of every seed.
        num_resamples: of the bootstrap, which draws whole groups with all their predictions.

    Raises:
        DataError: there is no prediction.
    """
    repeated = [each for each in predictions for _ in range(copies)]
    pooled = pool_predictions(repeated)
    runs = [compute_classification_metrics(each.test_labels, each.test_scores) for each in predictions]
    validation = [
        compute_classification_metrics(each.validation_labels, each.validation_scores) for each in predictions
    ]
    means = {metric: spread and spread.mean for metric, spread in summarize_runs(validation).items()}
    return ModelResult(
        row=ClassifierRow(
            name=name,
            is_control=is_control,
            validation=means,
            test=_report(pooled, threshold=0.5, num_resamples=num_resamples),
        ),
        spreads=summarize_runs(runs),
        folds=summarize_folds(_list_folds(predictions)),
        temperature=_scale(repeated, pooled),
        tuned=_tune(name, repeated, pooled, means, num_resamples=num_resamples)
        if pooled.scores.ndim == 1 and not is_control
        else None,
        pooled=pooled,
    )


def pool_predictions(predictions: Sequence[Prediction]) -> Pooled:
    """Put the test records of several trainings one behind the other."""
    return Pooled(
        np.concatenate([each.test_labels for each in predictions]),
        np.concatenate([each.test_scores for each in predictions]),
        np.concatenate([each.test_groups for each in predictions]),
    )


def find_best_control(results: Sequence[ModelResult]) -> ModelResult:
    """Return the control with the best mean MCC on validation; test has no say."""
    controls = [result for result in results if result.row.is_control]
    return max(controls, key=lambda result: result.row.validation["mcc"])


def compare_models(first: ModelResult, second: ModelResult, *, num_resamples: int) -> Comparison:
    """Compare two models on the same test records, drawn by whole groups."""
    differences = compute_paired_differences(
        first.pooled.labels,
        first.pooled.scores,
        second.pooled.scores,
        num_resamples=num_resamples,
        groups=first.pooled.groups,
    )
    return Comparison(first.name, second.name, differences)


def _report(pooled: Pooled, *, threshold: npt.ArrayLike, num_resamples: int) -> dict[str, Any]:
    return compute_classification_report(
        pooled.labels, pooled.scores, threshold=threshold, num_resamples=num_resamples, groups=pooled.groups
    )


def _list_folds(predictions: Sequence[Prediction]) -> list[FoldResult]:
    """Number repeats and seeds together: the folds of each pair are pooled."""
    pairs = sorted({(each.repeat, each.seed) for each in predictions})
    return [
        FoldResult(pairs.index((each.repeat, each.seed)), each.test_labels, each.test_scores)
        for each in predictions
    ]


def _scale(predictions: Sequence[Prediction], pooled: Pooled) -> TemperatureScaling:
    temperatures = [fit_temperature(each.validation_labels, each.validation_scores) for each in predictions]
    scaled = [
        apply_temperature(each.test_scores, temperature=temperature)
        for each, temperature in zip(predictions, temperatures, strict=True)
    ]
    return TemperatureScaling(
        float(np.exp(np.mean(np.log(temperatures)))),
        before=compute_calibration(pooled.labels, pooled.scores),
        after=compute_calibration(pooled.labels, np.concatenate(scaled)),
    )


def _tune(
    name: str,
    predictions: Sequence[Prediction],
    pooled: Pooled,
    validation: dict[str, Any],
    *,
    num_resamples: int,
) -> Tuned:
    chosen = [choose_threshold(each.validation_labels, each.validation_scores) for each in predictions]
    mean = ChosenThreshold(*(float(value) for value in np.mean(chosen, axis=0)))
    threshold = np.repeat(
        [each.threshold for each in chosen], [len(each.test_labels) for each in predictions]
    )
    row = ClassifierRow(
        name=f"{name}, threshold of validation",
        is_control=False,
        validation=validation | {key: value for key, value in mean._asdict().items() if key != "threshold"},
        test=_report(pooled, threshold=threshold, num_resamples=num_resamples),
    )
    return Tuned(row, mean)
