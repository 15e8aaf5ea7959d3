"""ROC, precision-recall and reliability: as points, and as figures of several models."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.errors import DataError
from genolm.evaluation.calibration import Calibration
from genolm.evaluation.svg import draw_svg, pick_line, shorten
from genolm.metrics import check_predictions

_MARKERS = "os^Dv"
_PANEL_IN, _LEGEND_LINE_IN = 4.6, 0.19

Floats = npt.NDArray[np.float64]


class Curve(NamedTuple):
    """The points of a curve, float64 [points], and the area that sums it up."""

    x: Floats
    y: Floats
    area: float


def compute_roc_curve(labels: npt.ArrayLike, scores: npt.ArrayLike) -> Curve:
    """Compute recall (y) by false-positive rate (x), both rising from 0 to 1; the area is the AUROC.

    Args:
        labels: int [n], 0 or 1; of more classes, one against the rest (`labels == 2`).
        scores: probability of class 1, float [n] (`scores[:, 2]`).

    Raises:
        DataError: labels and scores do not fit, or a class is absent.

    >>> compute_roc_curve([0, 1], [0.2, 0.9])
    Curve(x=array([0., 0., 1.]), y=array([0., 1., 1.]), area=1.0)
    """
    from sklearn.metrics import auc, roc_curve

    label_array, positive_scores = _check_two_classes(labels, scores)
    x, y, _ = roc_curve(label_array, positive_scores)
    return Curve(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64), float(auc(x, y)))


def compute_pr_curve(labels: npt.ArrayLike, scores: npt.ArrayLike) -> Curve:
    """Compute precision (y) by recall (x, rising from 0 to 1); the area is the average precision, AUPRC.

    A point is worth from the recall before it up to its own: the curve is drawn in steps, as it is summed.
    Arguments and errors are those of `compute_roc_curve`.

    >>> compute_pr_curve([0, 1, 1], [0.2, 0.1, 0.9]).area
    0.833
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve

    label_array, positive_scores = _check_two_classes(labels, scores)
    precision, recall, _ = precision_recall_curve(label_array, positive_scores)
    area = float(average_precision_score(label_array, positive_scores))
    return Curve(recall[::-1].astype(np.float64), precision[::-1].astype(np.float64), area)


def plot_roc_curves(
    labels: npt.ArrayLike, *, scores: Mapping[str, npt.ArrayLike], controls: Collection[str] = ()
) -> str:
    """Draw the ROC curves of several models on the same sequences, as SVG.

    Args:
        labels: int [n], 0 or 1.
        scores: probability of class 1, float [n], for each model by name.
        controls: names of models to draw in gray.

    Raises:
        DataError: as `compute_roc_curve`, or there is no model.
    """
    curves = {name: compute_roc_curve(labels, each) for name, each in _check_models(scores).items()}

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color="#888888", linewidth=0.6)
        for name, line in _pick_lines(curves, controls).items():
            axes.plot(
                curves[name].x, curves[name].y, label=f"{curves[name].area:.3f} {shorten(name)}", **line
            )
        _finish(axes, "false-positive rate", "recall (true-positive rate)", legend_title="AUROC")

    return draw_svg(draw, name="roc", title=f"ROC curves of {', '.join(curves)}", size_in=_find_size(curves))


def plot_pr_curves(
    labels: npt.ArrayLike, *, scores: Mapping[str, npt.ArrayLike], controls: Collection[str] = ()
) -> str:
    """Draw the precision-recall curves of several models, as SVG; see `plot_roc_curves`.

    The thin line is the share of class 1: the precision of a model that knows nothing.
    """
    curves = {name: compute_pr_curve(labels, each) for name, each in _check_models(scores).items()}

    def draw(axes: Any) -> None:
        axes.axhline(float(np.mean(np.asarray(labels))), color="#888888", linewidth=0.6)
        for name, line in _pick_lines(curves, controls).items():
            curve = curves[name]
            label = f"{curve.area:.3f} {shorten(name)}"
            axes.plot(curve.x, curve.y, drawstyle="steps-pre", label=label, **line)
        _finish(axes, "recall", "precision", legend_title="AUPRC")

    title = f"Precision-recall curves of {', '.join(curves)}"
    return draw_svg(draw, name="pr", title=title, size_in=_find_size(curves))


def plot_reliability(calibrations: Mapping[str, Calibration], *, name: str = "reliability") -> str:
    """Draw what was observed by what was said, with 95 % intervals, as SVG; on the diagonal they agree.

    Args:
        calibrations: of one model before and after, or of several models, by name.
        name: letters and dashes; another one for each figure of a page.

    Raises:
        DataError: there is none.
    """
    _check_models(calibrations)

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color="#888888", linewidth=0.6)
        for number, (model, line) in enumerate(_pick_lines(calibrations, ()).items()):
            found = calibrations[model]
            said = [each.mean_score for each in found.bins]
            seen = [each.observed for each in found.bins]
            # rounding can put a bound a last bit on the wrong side of the share
            below = [max(0.0, each.observed - each.low) for each in found.bins]
            above = [max(0.0, each.high - each.observed) for each in found.bins]
            label = f"{found.ece:.3f} {shorten(model)}"
            marker = _MARKERS[number % len(_MARKERS)]
            axes.errorbar(said, seen, yerr=(below, above), marker=marker, markersize=4, label=label, **line)
        _finish(axes, "score (probability that the model gives)", "observed share", legend_title="ECE")

    title = f"Reliability of {', '.join(calibrations)}"
    return draw_svg(draw, name=name, title=title, size_in=_find_size(calibrations))


def _check_two_classes(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], Floats]:
    found = check_predictions(labels, scores)
    if found.num_classes > 2 or len(np.unique(found.labels)) < 2:
        raise DataError(
            found=f"{len(np.unique(found.labels))} of {found.num_classes} classes",
            expected="both of two classes",
            remedy="of more classes give one against the rest: labels == 2 and scores[:, 2]",
        )
    return found.labels, found.scores[:, 1]


def _check_models(models: Mapping[str, Any]) -> Mapping[str, Any]:
    if not models:
        raise DataError(found="no model", expected="at least one", remedy="give its scores by its name")
    return models


def _pick_lines(models: Mapping[str, Any], controls: Collection[str]) -> dict[str, dict[str, Any]]:
    """Give each model a line; controls come first, so that the others lie above them."""
    behind = [name for name in models if name in controls]
    before = [name for name in models if name not in controls]
    return {
        **{name: pick_line(number, is_control=True) for number, name in enumerate(behind)},
        **{name: pick_line(number) for number, name in enumerate(before)},
    }


def _find_size(models: Mapping[str, Any]) -> tuple[float, float]:
    """Return width and height, inches: a panel, and below it a legend with a line for each model."""
    return _PANEL_IN, _PANEL_IN + _LEGEND_LINE_IN * len(models)


def _finish(axes: Any, x_label: str, y_label: str, *, legend_title: str) -> None:
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")
    axes.figure.legend(
        title=legend_title, loc="outside lower center", frameon=False, fontsize=9, alignment="left"
    )
