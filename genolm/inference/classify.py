"""A published or freshly trained classifier, applied to sequences."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError
from transformers import AutoModelForSequenceClassification, PreTrainedModel

import genolm.models  # noqa: F401  registers the architectures with the Auto classes
from genolm.errors import RunFolderError
from genolm.models.scoring import Task, check_lengths, compute_probabilities, find_task
from genolm.progress import Reporter
from genolm.tokenization.encoder import encode_sequences
from genolm.tokenization.scheme import KmerScheme
from genolm.tokenization.tokenizer_json import load_scheme


class Classifier(NamedTuple):
    """A model in eval mode, how it cuts sequences, and its class names in the order of the probabilities.

    A regression has one name, of its value.
    """

    model: PreTrainedModel
    scheme: KmerScheme
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
    scheme = load_scheme(folder)
    if not (folder / "model.safetensors").is_file():
        raise RunFolderError(
            found=f"no model.safetensors in {folder}",
            expected="the folder of a finished classifier",
            remedy="finish the training first, or correct the path",
        )
    try:
        model, info = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
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

    Raises:
        DataError: a sequence is longer than the model, and the model does not take windows.
    """
    token_ids = encode_sequences(sequences, classifier.scheme)
    check_lengths(classifier.model.config, token_ids, scheme=classifier.scheme)
    with (reporter or Reporter()).task("predict", total=len(sequences)) as task:
        return compute_probabilities(classifier.model, token_ids, batch_size=batch_size, on_batch=task.update)
