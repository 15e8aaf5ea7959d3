"""Repeated grouped cross-validation, and what several folds or seeds say together."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.corpus.splitting.assignment import assign_folds
from genolm.errors import DataError, SettingsError
from genolm.metrics import compute_classification_metrics

Integers = npt.NDArray[np.int64]


class Fold(NamedTuple):
    """One division of the records: row numbers, int64, rising; no group is in two of them."""

    repeat: int
    number: int
    """0 .. folds - 1; the fold that is the test set"""
    train: Integers
    validation: Integers
    test: Integers


class FoldResult(NamedTuple):
    """What a model that was trained on one fold says of its test records."""

    repeat: int
    labels: npt.ArrayLike
    """int [n], of the test records"""
    scores: npt.ArrayLike
    """probabilities, float [n] or [n, classes]"""
    threshold: float = 0.5
    """chosen on the validation records of the same fold"""


class Spread(NamedTuple):
    """The same figure, found several times; runs in which it is undefined are not counted."""

    mean: float
    sd: float | None
    """with n - 1; None for one run"""
    lowest: float
    highest: float
    n: int


class FoldSummary(NamedTuple):
    """The figures of a cross-validation, two ways; None where no run defines one."""

    folds: dict[str, Spread | None]
    """each fold's own figure, over all folds and repeats"""
    pooled: dict[str, Spread | None]
    """the figure of all records together, each predicted by the model that never saw it; over the repeats"""


def build_folds(
    labels: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    num_folds: int = 5,
    repeats: int = 1,
    seed: int = 0,
) -> tuple[Fold, ...]:
    """Divide labeled records for a cross-validation in which selection never sees the test records.

    Every fold is the test set once in each repeat; the next one is the validation set, and the model is
    trained on the others.

    Args:
        labels: int [n], classes from 0; every fold gets its share of each.
        groups: of records that are alike [n], kept in one fold; each record by itself without them.
        num_folds: 3 or more.
        repeats: independent divisions.
        seed: the same one gives the same folds.

    Returns:
        num_folds x repeats folds.

    Raises:
        SettingsError: fewer than 3 folds or 1 repeat.
        DataError: labels and groups do not fit, or a fold got no record of a class.

    >>> folds = build_folds([0, 1] * 3, groups=[7, 7, 8, 8, 9, 9], num_folds=3)
    >>> sorted(fold.test.tolist() for fold in folds)
    [[0, 1], [2, 3], [4, 5]]
    """
    label_array = np.asarray(labels)
    group_array = np.arange(len(label_array)) if groups is None else np.asarray(groups)
    if label_array.ndim != 1 or label_array.shape != group_array.shape:
        raise DataError(
            found=f"labels of shape {label_array.shape} and groups of shape {group_array.shape}",
            expected="one label and one group for each record",
            remedy="correct the label or the group column",
        )
    if num_folds < 3:
        raise SettingsError(
            found=f"num_folds = {num_folds}",
            expected="3 or more: one each for test and validation, the others for training",
            remedy="raise num_folds",
        )
    class_of, group_of = (
        np.unique(each, return_inverse=True)[1].astype(np.int64) for each in (label_array, group_array)
    )
    fold_of = assign_folds(group_of, class_of, folds=num_folds, repeats=repeats, seed=seed)
    return tuple(
        _build_fold(fold_of[:, repeat], repeat=repeat, number=number, num_folds=num_folds)
        for repeat in range(repeats)
        for number in range(num_folds)
    )


def _build_fold(fold_of: Integers, *, repeat: int, number: int, num_folds: int) -> Fold:
    is_test, is_validation = fold_of == number, fold_of == (number + 1) % num_folds
    rows = (np.flatnonzero(chosen) for chosen in (~(is_test | is_validation), is_validation, is_test))
    return Fold(repeat, number, *rows)


def summarize_folds(results: Sequence[FoldResult]) -> FoldSummary:
    """Summarize the test figures of a cross-validation.

    The folds of a repeat share training records, so the spread over folds is not that of independent runs,
    and sd / sqrt(n) is no standard error (Bengio and Grandvalet 2004). The pooled AUROC and AUPRC compare
    scores of different models; where these are calibrated differently it is below the mean over folds.

    Raises:
        DataError: there is no result, or labels and scores do not fit.
    """
    repeats = sorted({result.repeat for result in results})
    pooled = [_pool([result for result in results if result.repeat == repeat]) for repeat in repeats]
    own = [
        compute_classification_metrics(each.labels, each.scores, threshold=each.threshold) for each in results
    ]
    return FoldSummary(folds=summarize_runs(own), pooled=summarize_runs(pooled))


def summarize_runs(runs: Sequence[Mapping[str, Any]]) -> dict[str, Spread | None]:
    """Summarize every figure that all runs have, such as one split of the metrics.json of several seeds.

    Args:
        runs: figures by name; what is not a fraction or another real number, such as counts, is left out.

    Raises:
        DataError: there is no run.

    >>> summarize_runs([{"mcc": 0.5, "n": 9}, {"mcc": 0.75, "n": 9}])
    {'mcc': Spread(mean=0.625, sd=0.177, lowest=0.5, highest=0.75, n=2)}
    """
    if not runs:
        raise DataError(
            found="no result", expected="one for each fold or seed", remedy="run the training first"
        )
    names = [name for name in runs[0] if all(_is_figure(run.get(name, "absent")) for run in runs)]
    return {name: _summarize([run[name] for run in runs if run[name] is not None]) for name in names}


def _is_figure(value: Any) -> bool:
    return value is None or isinstance(value, float)


def _summarize(values: list[float]) -> Spread | None:
    if not values:
        return None
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Spread(float(np.mean(values)), sd, float(min(values)), float(max(values)), len(values))


def _pool(results: Sequence[FoldResult]) -> dict[str, Any]:
    """Return the metrics of the test records of one repeat together, each at its own fold's threshold."""
    labels = [np.asarray(result.labels) for result in results]
    thresholds = [np.full(len(each), result.threshold) for each, result in zip(labels, results, strict=True)]
    return compute_classification_metrics(
        np.concatenate(labels),
        np.concatenate([np.asarray(result.scores) for result in results]),
        threshold=np.concatenate(thresholds),
    )
