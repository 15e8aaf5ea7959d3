"""The trainings of a benchmark, each in a run folder, and what they say of validation and test records."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.corpus.labeled import LabeledData
from genolm.errors import SettingsError
from genolm.evaluation.controls import LabeledSplit, fit_controls
from genolm.files import compute_fingerprint, read_json
from genolm.inference.classify import classify_sequences, load_classifier
from genolm.models.scoring import check_lengths, select_scores
from genolm.pipeline.benchmarking.divisions import Division
from genolm.pipeline.benchmarking.settings import BenchmarkModel
from genolm.pipeline.controls import CONTROL_NAMES
from genolm.pipeline.kept_values import keep_json
from genolm.progress import Reporter
from genolm.tokenization.encoder import encode_sequences
from genolm.tokenization.tokens import Tokens, find_tokens
from genolm.training.adaptation import adapt
from genolm.training.classifier import finetune
from genolm.training.finetuning.models import AWD_LSTM, build_config, find_model_type, load_pretrained_scheme
from genolm.training.hardware.ranks import get_ranks
from genolm.training.persistence.run_folder import compute_model_sha256

Floats = npt.NDArray[np.float64]


class Prediction(NamedTuple):
    """What one training of a model says of the records that it did not learn from.

    Scores are probabilities: of class 1, float64 [n], or [n, classes] with more than two classes.
    """

    repeat: int
    seed: int
    validation_labels: npt.NDArray[np.int64]
    validation_scores: Floats
    test_labels: npt.NDArray[np.int64]
    test_scores: Floats
    test_groups: npt.NDArray[np.int64]
    """of the test records, as in `Division`"""


def load_model_tokens(model: BenchmarkModel) -> Tokens:
    """Return how a model cuts sequences.

    Raises:
        GenolmError: there is no such scheme or folder, or no finished model in it.
    """
    if not model.pretrained:
        return find_tokens(model.tokenizer)
    folder = Path(model.pretrained)
    tokens = load_pretrained_scheme(folder)
    compute_model_sha256(folder)
    return tokens


def check_model(model: BenchmarkModel, data: LabeledData) -> None:
    """Check before any training that a model can learn from the data; no weights are read.

    Raises:
        GenolmError: its settings do not suit its kind, or a sequence is too long for it.
    """
    tokens, start = load_model_tokens(model), Path(model.pretrained) if model.pretrained else None
    config = build_config(tokens, model.finetune, data.label_names, pretrained=start)
    check_lengths(config, encode_sequences(data.sequences, tokens), scheme=tokens, names=data.ids)
    if model.adapt is not None and start is not None and find_model_type(start) != AWD_LSTM:
        raise SettingsError(
            found=f"adapt for the model {model.name} on a {find_model_type(start)}",
            expected="a causal language model, as genolm pretrain causal makes",
            remedy="leave adapt out, or name another folder",
        )


def train_and_score(
    model: BenchmarkModel, division: Division, folder: Path, *, seed: int, reporter: Reporter
) -> Prediction:
    """Train a model on one division, in a run folder, and predict its validation and test records.

    A finished training is reused, and so are the scores, kept in the JSON file of the folder's name.

    Raises:
        GenolmError: as `finetune` and `adapt`.
    """
    start = Path(model.pretrained) if model.pretrained else None
    data = division.data
    if start and model.adapt is not None:
        domain_lm = folder.with_name(f"{folder.name}-domain-lm")
        adapt(
            start,
            domain_lm,
            train_sequences=data.select("train").sequences,
            validation_sequences=data.select("validation").sequences,
            settings=model.adapt,
            seed=seed,
            reporter=reporter,
        )
        start = domain_lm
    finetune(
        data,
        folder,
        settings=model.finetune,
        pretrained=start,
        scheme=None if start else find_tokens(model.tokenizer),
        seed=seed,
        reporter=reporter,
    )

    def predict() -> dict[str, Any]:
        classifier = load_classifier(folder)
        return {
            split: _describe(
                part, select_scores(classify_sequences(classifier, part.sequences, reporter=reporter))
            )
            for split, part in ((split, data.select(split)) for split in ("validation", "test"))
        }

    key = read_json(folder / "run_config.json")["fingerprint"]  # it stands for data, settings and seed
    kept = get_ranks().on_main(lambda: keep_json(folder.with_name(f"{folder.name}.json"), key, predict))
    return _build_prediction(division, kept, seed=seed)


def fit_division_controls(division: Division, path: Path, *, reporter: Reporter) -> dict[str, Prediction]:
    """Fit the controls on one division, by their names in a report; their scores are kept in a JSON file."""
    parts = [division.data.select(split) for split in ("train", "validation", "test")]
    key = compute_fingerprint([[part.sequences, part.labels.tolist()] for part in parts])

    def fit() -> dict[str, Any]:
        with reporter.task("controls", total=1) as task:
            controls = fit_controls(*(LabeledSplit(part.sequences, part.labels) for part in parts), seed=0)
            task.update(1)
        return {
            CONTROL_NAMES[control.name]: {
                "settings": control.settings,
                "validation": _describe(parts[1], control.validation_scores),
                "test": _describe(parts[2], control.test_scores),
            }
            for control in controls
        }

    kept = get_ranks().on_main(lambda: keep_json(path, key, fit))
    return {name: _build_prediction(division, scores, seed=0) for name, scores in kept.items()}


def average_predictions(predictions: Sequence[Prediction]) -> Prediction:
    """Return the mean of what several models say of the same records, with the seed of the first."""
    return predictions[0]._replace(
        validation_scores=np.mean([each.validation_scores for each in predictions], axis=0),
        test_scores=np.mean([each.test_scores for each in predictions], axis=0),
    )


def _describe(part: LabeledData, scores: npt.NDArray[Any]) -> dict[str, Any]:
    """Return scores and the ids they belong to, for JSON, which gives back the same floats."""
    return {"ids": list(part.ids), "scores": scores.tolist()}


def _build_prediction(division: Division, kept: dict[str, Any], *, seed: int) -> Prediction:
    validation, test = (division.data.select(split) for split in ("validation", "test"))
    return Prediction(
        repeat=division.repeat,
        seed=seed,
        validation_labels=validation.labels,
        validation_scores=np.array(kept["validation"]["scores"], dtype=np.float64),
        test_labels=test.labels,
        test_scores=np.array(kept["test"]["scores"], dtype=np.float64),
        test_groups=division.test_groups,
    )
