"""The figures of a published model: how its training went, its ROC curve, what it sees in one sequence."""

import math
import shutil
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from genolm.corpus.builtin import resolve_source
from genolm.corpus.labeled import LabeledData, read_labeled
from genolm.errors import PublishError
from genolm.evaluation.curves import Curve, compute_roc_curve
from genolm.inference.classify import Classifier, classify_sequences, load_classifier
from genolm.interpretation.figures import plot_sequence_map
from genolm.interpretation.mutation_map import compute_contributions, compute_mutation_map
from genolm.interpretation.targets import choose_target
from genolm.models.scoring import select_scores
from genolm.publishing.finished_run import LOG_FILE, LOSS_FIGURE_FILE, FinishedRun
from genolm.training.loss_figure import plot_loss_curve

LOSS_FIGURE, ROC_FIGURE = "figures/loss_curve.png", "figures/roc.png"
MAP_FIGURE = "figures/mutation_map.png"
CAPTIONS = {
    LOSS_FIGURE: "Loss during training",
    ROC_FIGURE: "ROC curve on the test split",
    MAP_FIGURE: "Mutation map of the first test sequence of its class",
}
_TOLERANCE = 1e-3  # of an AUROC that another machine, or another precision, computes again


def save_figures(run: FinishedRun, folder: Path, *, data: str | None = None) -> list[str]:
    """Write the figures that can be made; return their names in the folder.

    Args:
        run: the finished run.
        folder: of the publication.
        data: the labeled sequences that the classifier was trained on, for the ROC curve and the mutation
            map: a file with a split column, or `builtin:` and a name.

    Raises:
        PublishError: a ROC curve of no classifier of two classes, or of other data than the run's.
        DataError: the data is not usable.
    """
    names = []
    figure = run.training_folder / LOSS_FIGURE_FILE
    if figure.is_file() or (run.training_folder / LOG_FILE).is_file():
        (folder / LOSS_FIGURE).parent.mkdir(exist_ok=True)
        if figure.is_file():
            shutil.copyfile(figure, folder / LOSS_FIGURE)
        else:
            best_step = run.metrics.get("best_step")
            plot_loss_curve(figure.with_name(LOG_FILE), folder / LOSS_FIGURE, best_step=best_step)
        names.append(LOSS_FIGURE)
    if data is not None:
        names += _save_test_figures(run, folder, data)
    return names


def _save_test_figures(run: FinishedRun, folder: Path, source: str) -> list[str]:
    """Score the test split again and draw it; its AUROC has to be the one that the training found."""
    known = run.metrics.get("test", {}).get("auroc")
    is_binary = run.auto_class == "AutoModelForSequenceClassification" and len(run.config["id2label"]) == 2
    if not is_binary or known is None:
        raise PublishError(
            found=f"--data for {run.name}, which has no AUROC of two classes on a test split",
            expected="a classifier of two classes that was tested",
            remedy="leave --data out",
        )
    classifier = load_classifier(run.folder)
    data = read_labeled(resolve_source(source), min_length_bp=run.scheme.min_length_bp)
    test = data.select("test") if data.has_splits else data
    labels = _number_labels(test, classifier.label_names, source)
    curve = compute_roc_curve(labels, select_scores(classify_sequences(classifier, test.sequences)))
    if not math.isclose(curve.area, known, abs_tol=_TOLERANCE):
        raise PublishError(
            found=f"an AUROC of {curve.area:.4f} on the test split of {Path(source).name}",
            expected=f"{known:.4f}, which the run found on its own test split",
            remedy="name the data that the classifier was trained with, or leave --data out",
        )
    (folder / ROC_FIGURE).parent.mkdir(exist_ok=True)
    _plot_roc(curve, folder / ROC_FIGURE)
    first = int(np.flatnonzero(labels == 1)[0])
    _plot_mutation_map(classifier, test.sequences[first], folder / MAP_FIGURE, title=test.ids[first])
    return [ROC_FIGURE, MAP_FIGURE]


def _plot_mutation_map(classifier: Classifier, sequence: str, path: Path, *, title: str) -> None:
    target = choose_target(classifier, score="log_odds")
    effects = compute_mutation_map(classifier, [sequence], target=target).effects
    plot_sequence_map(
        sequence,
        compute_contributions(effects)[0],
        path.with_suffix(""),
        effects=effects[0],
        title=title,
        unit=target.unit,
    )
    path.with_suffix(".svg").unlink()


def _number_labels(data: LabeledData, names: tuple[str, ...], source: str) -> np.ndarray:
    if unknown := sorted(set(data.label_names) - set(names)):
        raise PublishError(
            found=f"the label {unknown[0]} in {Path(source).name}",
            expected=f"the labels {', '.join(names)}",
            remedy="name the data that the classifier was trained with, or leave --data out",
        )
    return np.array([names.index(name) for name in data.label_names])[data.labels]


def _plot_roc(curve: Curve, path: Path) -> None:
    figure = Figure(figsize=(4.6, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="#888888", linewidth=0.6)
    axes.plot(curve.x, curve.y, color="#4477aa", label=f"AUROC {curve.area:.3f}")
    axes.set_xlabel("false-positive rate")
    axes.set_ylabel("recall (true-positive rate)")
    axes.set_aspect("equal")
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(path, format="png", dpi=150)
