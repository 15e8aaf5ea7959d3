"""Class probabilities from a folder or a name, in one call."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.errors import SettingsError
from genolm.inference.classify import Classifier, classify_sequences
from genolm.inference.loading import AnyModel, resolve_model
from genolm.inference.texts import clean_sequences
from genolm.progress import Reporter


class Classification(NamedTuple):
    """What a classifier says of sequences."""

    probabilities: npt.NDArray[np.float32]
    """[n, classes] in the order of the names, or of each label by itself; of a regression, values [n, 1]"""
    label_names: tuple[str, ...]

    @property
    def labels(self) -> list[str]:
        """The likeliest class of each sequence."""
        return [self.label_names[place] for place in self.probabilities.argmax(axis=1)]


def classify(
    model: AnyModel, sequences: Sequence[str], *, batch_size: int = 64, reporter: Reporter | None = None
) -> Classification:
    """Return the probability of each class for each sequence; it does not depend on the other sequences.

    Args:
        model: a folder or the name of a shipped model, or what `load_model` returns.
        sequences: DNA texts.
        batch_size: sequences at a time.
        reporter: shows the progress.

    Raises:
        RunFolderError: there is no such model.
        SettingsError: it is a language model, or it tells the classes of bases.
        DataError: a letter is no nucleotide code, a sequence is too short to give a token, or it is longer
            than the model, which does not take windows.
    """
    loaded = resolve_model(model)
    if not isinstance(loaded, Classifier):
        raise SettingsError(
            found=f"a language model ({type(loaded.model).__name__}) where sequences are to be classified",
            expected="a classifier, of genolm finetune",
            remedy="fine-tune it first, or use genolm.score or genolm.embed",
        )
    if loaded.task == "token_classification":
        raise SettingsError(
            found="a model that tells the class of every base",
            expected="a classifier of whole sequences",
            remedy="use genolm predict, or genolm.inference.classify.classify_bases",
        )
    texts = clean_sequences(sequences, loaded.scheme)
    probabilities = classify_sequences(loaded, texts, batch_size=batch_size, reporter=reporter)
    return Classification(probabilities, loaded.label_names)
