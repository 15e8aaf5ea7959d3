"""How much a classifier gains from more labels: stage 3 again on parts of the train split."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from genolm.corpus.labeled import LabeledData
from genolm.evaluation.report import LearningCurveRow
from genolm.files import atomic_path
from genolm.pipeline.recipe import RecipeRun
from genolm.pipeline.stages import START_TITLES, train_classifier

_COLORS = {"scratch": "#bbbbbb", "genome-lm": "#4477aa", "domain-lm": "#ee6677"}


def draw_train_share(data: LabeledData, share: float, *, seed: int) -> LabeledData:
    """Return the data with a part of the train split, drawn in the same proportion from every class.

    Validation and test stay whole. With the same seed a larger share holds all of a smaller one.

    Args:
        data: with splits.
        share: of each class, above 0 and up to 1; rounded up to whole sequences.
        seed: of the choice.
    """
    is_train = np.array(data.splits) == "train"
    kept = ~is_train
    for label in np.unique(data.labels[is_train]):
        members = np.flatnonzero(is_train & (data.labels == label))
        order = np.random.default_rng([seed, int(label)]).permutation(members)
        kept[order[: math.ceil(round(share * len(members), 6))]] = True
    rows = np.flatnonzero(kept).tolist()
    return replace(
        data,
        sequences=[data.sequences[row] for row in rows],
        labels=data.labels[rows],
        splits=tuple(data.splits[row] for row in rows),
        ids=tuple(data.ids[row] for row in rows),
    )


def train_learning_curve(run: RecipeRun, data: LabeledData) -> tuple[LearningCurveRow, ...]:
    """Train the classifiers of ULMFiT on each share that the recipe names; all processes call it.

    The language models are those of the whole run: the genome LM sees no labeled sequence's label, and the
    domain LM all train sequences without labels. On the share 1 the run's own classifiers are taken.
    """
    pretrained = {"scratch": None, "genome-lm": run.genome_lm, "domain-lm": run.domain_lm}
    rows = []
    for share in sorted(set(run.recipe.learning_curve)):
        part = draw_train_share(data, share, seed=run.recipe.seed)
        for start, folder in pretrained.items():
            output = run.find_classifier(start)
            if share < 1:
                output = run.folder / "learning-curve" / f"{output.name}-{share:g}"
            metrics = train_classifier(run, part, output, pretrained=folder)
            rows.append(
                LearningCurveRow(
                    name=START_TITLES[start],
                    num_train=len(part.select("train")),
                    validation=metrics["validation"],
                    test=metrics["test"],
                )
            )
    return tuple(rows)


def plot_learning_curve(rows: Sequence[LearningCurveRow], figure_path: Path) -> None:
    """Draw the test MCC by the number of train sequences, one line a network, as a PNG."""
    figure = build_learning_curve_figure(rows)
    with atomic_path(figure_path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def build_learning_curve_figure(rows: Sequence[LearningCurveRow]) -> Any:
    """Return the matplotlib Figure that `plot_learning_curve` writes; the bars are the 95 % intervals."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    colors = {START_TITLES[start]: color for start, color in _COLORS.items()}
    for name in dict.fromkeys(row.name for row in rows):
        points = sorted((row for row in rows if row.name == name), key=lambda row: row.num_train)
        mcc = np.array([row.test["mcc"] for row in points])
        interval = np.array([row.test["ci95"]["mcc"] for row in points]).T
        spread = np.clip([mcc - interval[0], interval[1] - mcc], 0, None)
        sizes = [row.num_train for row in points]
        axes.errorbar(sizes, mcc, yerr=spread, color=colors[name], marker="o", capsize=3, label=name)
    axes.set_xscale("log")
    axes.set_xlabel("train sequences with labels")
    axes.set_ylabel("MCC on the test split (95 % interval)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")
    return figure
