"""ULMFiT in both directions: the three stages by networks that read backward, and the mean of both."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.corpus.labeled import LabeledData
from genolm.evaluation.report import ClassifierRow, LanguageModelRow
from genolm.files import compute_fingerprint, read_json, write_json
from genolm.inference.classify import classify_sequences, load_classifier
from genolm.metrics import compute_classification_report
from genolm.models.scoring import select_scores
from genolm.pipeline.recipe import RecipeRun
from genolm.pipeline.stages import START_TITLES, train_classifier, train_domain_lm, train_genome_lm
from genolm.training.persistence.run_folder import compute_model_sha256

ENSEMBLE_TITLE = "forward + backward"
ENSEMBLE_START = "domain-lm"  # the classifiers that are averaged, those of the whole of ULMFiT


class BackwardResult(NamedTuple):
    """What the backward flow adds to a report."""

    networks: dict[Path, ClassifierRow]
    """by the folder of the classifier"""
    ensemble: ClassifierRow
    """the mean of two networks, which is no model folder of its own"""
    language_model: LanguageModelRow


def run_backward(run: RecipeRun, data: LabeledData) -> BackwardResult:
    """Do the three stages backward, on the corpus of the forward run, and average both directions.

    The forward run's classifiers must be finished. All processes call it.
    """
    backward = open_backward(run)
    metrics = train_genome_lm(backward, corpus=run.corpus)
    train_domain_lm(backward, data)
    networks = {}
    for start, pretrained in (("genome-lm", backward.genome_lm), ("domain-lm", backward.domain_lm)):
        folder = backward.find_classifier(start)
        figures = train_classifier(backward, data, folder, pretrained=pretrained)
        networks[folder] = _build_row(f"{START_TITLES[start]}, backward", figures)
    folders = [each.find_classifier(ENSEMBLE_START) for each in (run, backward)]
    figures = run.ranks.on_main(lambda: evaluate_mean(folders, data, run.folder / "ensemble.json"))
    language_model = LanguageModelRow(
        name="genome LM, backward",
        validation_bits_per_base=metrics["validation"]["bits_per_base"],
        test_bits_per_base=metrics["test"]["bits_per_base"],
    )
    return BackwardResult(networks, _build_row(ENSEMBLE_TITLE, figures), language_model)


def open_backward(run: RecipeRun) -> RecipeRun:
    """Return the same recipe with networks that read backward, in the folder `backward` of the run."""
    recipe = run.recipe
    model = replace(recipe.pretrain.model, direction="backward")
    pretrain, scratch = replace(recipe.pretrain, model=model), replace(recipe.scratch, model=model)
    recipe = replace(recipe, pretrain=pretrain, scratch=scratch, backward=False)
    return replace(run, recipe=recipe, folder=run.folder / "backward")


def evaluate_mean(folders: list[Path], data: LabeledData, path: Path) -> dict[str, Any]:
    """Return the metrics of the mean of several classifiers' probabilities; they are kept in the file `path`.

    Args:
        folders: of finished classifiers of the same classes.
        data: with a validation and a test split.
        path: JSON; it is made anew when the classifiers are others.

    Returns:
        for each split what metrics.json of a classifier holds.
    """
    key = compute_fingerprint([compute_model_sha256(folder) for folder in folders])
    if path.is_file() and read_json(path)["key"] == key:
        kept: dict[str, Any] = read_json(path)
        return kept
    classifiers = [load_classifier(folder) for folder in folders]
    figures: dict[str, Any] = {"key": key}
    for split in ("validation", "test"):
        part = data.select(split)
        outputs = [classify_sequences(classifier, part.sequences) for classifier in classifiers]
        mean: npt.NDArray[np.float32] = np.mean(outputs, axis=0)
        figures[split] = compute_classification_report(part.labels, select_scores(mean))
    write_json(path, figures)
    return figures


def _build_row(name: str, figures: dict[str, Any]) -> ClassifierRow:
    return ClassifierRow(name=name, is_control=False, validation=figures["validation"], test=figures["test"])
