"""A figure of how a training went: loss, evaluations and learning rate by step, from its log."""

import json
import math
from pathlib import Path
from typing import Any

from genolm.errors import DataError
from genolm.files import atomic_path

_TRAIN_COLOR, _EVALUATION_COLOR, _RATE_COLOR = "#4477aa", "#ee6677", "#999999"
Points = tuple[list[int], list[float]]
"""Steps, and a value for each"""


def plot_loss_curve(
    log_path: Path, figure_path: Path, *, best_step: int | None = None, loss_unit: str = "nats"
) -> None:
    """Draw training loss by step as a line, evaluations as points, learning rate as a thin second line.

    Bits per base are drawn instead of the loss where the log has them throughout.

    Args:
        log_path: training_log.jsonl; it may be empty.
        figure_path: PNG to write.
        best_step: the evaluation to mark; that of the lowest value by default.
        loss_unit: of the loss, for the axis.

    Raises:
        DataError: there is no log, or a line of it is no JSON object with a step.
    """
    figure = build_loss_figure(log_path, best_step=best_step, loss_unit=loss_unit)
    with atomic_path(figure_path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def build_loss_figure(log_path: Path, *, best_step: int | None = None, loss_unit: str = "nats") -> Any:
    """Return the matplotlib Figure that `plot_loss_curve` writes; pyplot and its backend are left alone."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    steps, evaluations = _read_log(log_path)
    name, label = _choose_value([*steps, *evaluations], loss_unit=loss_unit)
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _draw_values(axes, _collect(steps, name), _collect(evaluations, name), best_step=best_step)
    axes.set_xlabel("training step")
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines["top"].set_visible(False)
    if (rate := _collect(steps, "learning_rate"))[0]:
        _draw_rate(axes, rate)
    return figure


def _read_log(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the logged steps and the evaluations, each with its step."""
    if not path.is_file():
        raise DataError(
            found=f"no {path.name} in {path.parent.name}",
            expected="the log of a training",
            remedy="name the folder that a training command wrote",
        )
    steps, evaluations = [], []
    *lines, _ = path.read_text(encoding="utf-8", errors="replace").split("\n")  # the last is being written
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            step = int(record["step"])
        except (ValueError, KeyError, TypeError):
            raise DataError(
                found=f"line {number} of {path.name}: {line[:60]!r}",
                expected="a JSON object with a step",
                remedy="run the training command again, which repairs its log, or remove the line",
            ) from None
        if "evaluation" in record:
            evaluations.append({"step": step, **record["evaluation"]})
        else:
            steps.append(record)
    return steps, evaluations


def _choose_value(records: list[dict[str, Any]], *, loss_unit: str) -> tuple[str, str]:
    """Return which value all records have, and what the axis is called."""
    if records and all("bits_per_base" in record for record in records):
        return "bits_per_base", "bits per new base"
    return "loss", f"loss ({loss_unit})"


def _collect(records: list[dict[str, Any]], name: str) -> Points:
    """Return the points of the records that have a finite value of this name.

    >>> _collect([{"step": 2, "loss": 1.5}, {"step": 4, "loss": None}, {"step": 6}], "loss")
    ([2], [1.5])
    """
    found = [record for record in records if record.get(name) is not None and math.isfinite(record[name])]
    return [record["step"] for record in found], [record[name] for record in found]


def _draw_values(axes: Any, train: Points, evaluation: Points, *, best_step: int | None) -> None:
    """Draw the training's line and the evaluations' points, one of them marked."""
    if train[0]:
        marker = "o" if len(train[0]) == 1 else ""
        axes.plot(*train, color=_TRAIN_COLOR, linewidth=1.2, marker=marker, label="training")
    if evaluation[0]:
        axes.plot(
            *evaluation, color=_EVALUATION_COLOR, linestyle="", marker="o", markersize=5, label="evaluation"
        )
        points = list(zip(*evaluation, strict=True))
        best = [point for point in points if point[0] == best_step]
        step, value = best[0] if best else min(points, key=lambda point: point[1])
        label = f"{'best' if best else 'lowest'} at step {step:,}: {value:.3f}"
        axes.plot([step], [value], color="black", linestyle="", marker="*", markersize=11, label=label)
    if train[0] or evaluation[0]:
        axes.legend(frameon=False, fontsize="small")
    else:
        axes.text(0.5, 0.5, "nothing logged yet", ha="center", transform=axes.transAxes)


def _draw_rate(axes: Any, rate: Points) -> None:
    """Draw the learning rate behind the loss."""
    second = axes.twinx()
    second.plot(*rate, color=_RATE_COLOR, linewidth=0.6, marker="." if len(rate[0]) == 1 else "")
    second.set_ylabel("learning rate (per step)", color=_RATE_COLOR)
    second.tick_params(axis="y", colors=_RATE_COLOR)
    second.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    second.set_ylim(bottom=0)
    second.spines["top"].set_visible(False)
    axes.set_zorder(second.get_zorder() + 1)
    axes.patch.set_visible(False)
