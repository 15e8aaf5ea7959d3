"""A published or freshly trained classifier, applied to sequences."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
)

import genolm.models  # noqa: F401  registers the architectures with the Auto classes
from genolm.errors import RunFolderError
from genolm.models.scoring import Task, check_lengths, compute_probabilities, find_task
from genolm.models.strands import averages_strands, turn_sequences
from genolm.models.token_scoring import compute_token_probabilities, spread_over_bases
from genolm.progress import Reporter
from genolm.tokenization.encoder import encode_sequences
from genolm.tokenization.tokens import Tokens, load_tokens, require_kmers

LABEL_THRESHOLD = 0.5  # a sequence has a label of a multi-label model from this probability on


class Classifier(NamedTuple):
    """A model in eval mode, how it cuts sequences, and its class names in the order of the probabilities.

    A regression has one name, of its value.
    """

    model: PreTrainedModel
    scheme: Tokens
    label_names: tuple[str, ...]

    @property
    def task(self) -> Task:
        """What the model was trained for."""
        return find_task(self.model.config)


def load_classifier(folder: Path) -> Classifier:
    """Load a classifier from a model folder.

    Raises:
        RunFolderError: the folder holds no finished classifier.
    """
    scheme = load_tokens(folder)
    if not (folder / "model.safetensors").is_file():
        raise RunFolderError(
            found=f"no model.safetensors in {folder}",
            expected="the folder of a finished classifier",
            remedy="finish the training first, or correct the path",
        )
    config = AutoConfig.from_pretrained(folder)
    is_token_task = find_task(config) == "token_classification"
    model_class: Any = (
        AutoModelForTokenClassification if is_token_task else AutoModelForSequenceClassification
    )
    try:
        model, info = model_class.from_pretrained(folder, output_loading_info=True)
    except SafetensorError as error:
        raise RunFolderError(
            found=f"a damaged model.safetensors in {folder} ({error})",
            expected="the weights of a finished classifier",
            remedy="copy the folder again, or train again",
        ) from error
    if info["missing_keys"]:
        raise RunFolderError(
            found=f"a model without a classifier's head in {folder} (a language model?)",
            expected="the folder of a finished classifier",
            remedy="run genolm finetune on it first",
        )
    names = tuple(model.config.id2label[index] for index in range(model.config.num_labels))
    return Classifier(model.eval(), scheme, names)


def classify_sequences(
    classifier: Classifier,
    sequences: Sequence[str],
    *,
    batch_size: int = 64,
    reporter: Reporter | None = None,
) -> np.ndarray:
    """Return the probability of each class or label, float32 [sequences, classes]; of a regression, values.

    A model that was fine-tuned with average_strands gives the mean over both strands.

    Raises:
        DataError: a sequence is longer than the model, and the model does not take windows.
    """
    both = averages_strands(classifier.model.config)
    strands = [sequences, turn_sequences(sequences)] if both else [sequences]
    token_ids = encode_sequences([sequence for strand in strands for sequence in strand], classifier.scheme)
    check_lengths(classifier.model.config, token_ids, scheme=classifier.scheme)
    with (reporter or Reporter()).task("predict", total=len(token_ids)) as task:
        outputs = compute_probabilities(
            classifier.model, token_ids, batch_size=batch_size, on_batch=task.update
        )
    return outputs.reshape(len(strands), len(sequences), -1).mean(axis=0) if both else outputs


def classify_bases(
    classifier: Classifier,
    sequences: Sequence[str],
    *,
    batch_size: int = 64,
    reporter: Reporter | None = None,
) -> list[np.ndarray]:
    """Return the probability of each class at each base, float32 [bases, classes] for each sequence.

    Args:
        classifier: of the task token_classification.
        sequences: upper-case DNA without white space, of at least k bases.
        batch_size: sequences, or windows of long ones, at a time.
        reporter: shows the progress.

    Raises:
        DataError: a sequence is longer than the model, and the model does not take windows.
        SettingsError: the tokens are BPE.
    """
    scheme = require_kmers(classifier.scheme, what="labels of bases")
    token_ids = encode_sequences(sequences, scheme)
    check_lengths(classifier.model.config, token_ids, scheme=scheme)
    with (reporter or Reporter()).task("predict", total=len(sequences)) as task:
        token_rows = compute_token_probabilities(
            classifier.model, token_ids, batch_size=batch_size, on_batch=task.update
        )
    return spread_over_bases(token_rows, lengths_bp=[len(sequence) for sequence in sequences], scheme=scheme)


def predict_table(
    classifier: Classifier,
    sequences: Sequence[str],
    *,
    ids: Sequence[str],
    batch_size: int = 64,
    reporter: Reporter | None = None,
) -> list[tuple[str, ...]]:
    """Return what a classifier says of sequences as rows of text, the header first.

    Classification: `id`, `label`, and `p_NAME` for each class. Regression: `id`, `value`. Multi-label: `id`,
    `labels` (the names from p = 0.5 on, joined by `;`, which alone means none), and `p_NAME` for each label.
    Labels of bases: `id` and `label`, one letter for each base.

    Arguments and errors are those of `classify_sequences`; `ids` are in the order of the sequences.
    """
    names = classifier.label_names
    if classifier.task == "token_classification":
        rows = classify_bases(classifier, sequences, batch_size=batch_size, reporter=reporter)
        letters = np.array(names)
        strings = ["".join(letters[each.argmax(axis=1)]) for each in rows]
        return [("id", "label"), *zip(ids, strings, strict=True)]
    outputs = classify_sequences(classifier, sequences, batch_size=batch_size, reporter=reporter)
    if classifier.task == "regression":
        return [("id", "value"), *((name, f"{row[0]:.6g}") for name, row in zip(ids, outputs, strict=True))]
    is_multi_label = classifier.task == "multi_label"
    table: list[tuple[str, ...]] = [
        ("id", "labels" if is_multi_label else "label", *(f"p_{name}" for name in names))
    ]
    for sequence_id, row in zip(ids, outputs, strict=True):
        label = _join_labels(names, row) if is_multi_label else names[int(row.argmax())]
        table.append((sequence_id, label, *(f"{probability:.6f}" for probability in row)))
    return table


def _join_labels(names: Sequence[str], probabilities: np.ndarray) -> str:
    """Join the names of the labels that a sequence has.

    >>> _join_labels("abc", np.array([0.9, 0.1, 0.5])), _join_labels("ab", np.zeros(2))
    ('a;c', ';')
    """
    chosen = [name for name, p in zip(names, probabilities, strict=True) if p >= LABEL_THRESHOLD]
    return ";".join(chosen) or ";"
