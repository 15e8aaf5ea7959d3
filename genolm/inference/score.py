"""How probable a language model finds sequences, and what a change of a sequence does to that.

scores = score("runs/mine/genome-lm", sequences)
scores.bits_per_base
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from genolm.errors import DataError
from genolm.inference.causal_score import compute_causal_bits
from genolm.inference.classification import classify
from genolm.inference.classify import Classifier
from genolm.inference.loading import AnyModel, LanguageModel, require_language_model, resolve_model
from genolm.inference.masked_score import compute_masked_bits
from genolm.inference.scores import Scores
from genolm.inference.texts import clean_sequences
from genolm.progress import Reporter


def score(
    model: AnyModel,
    sequences: Sequence[str],
    *,
    batch_size: int = 32,
    reporter: Reporter | None = None,
) -> Scores:
    """Return how many bits a language model needs for each sequence; a uniform one needs 2 for each base.

    A causal model reads the sequence once, from a fresh state. What counts are new bases alone: of each k-mer
    the bases that the one before does not show. The first k-mer is context and is not scored, nor is one with
    an unknown base, or behind such a one.

    A masked model is asked for every base while it sees the others, which is a pseudo-likelihood (Salazar et
    al. 2020, arXiv 1910.14659) and no likelihood: each base is told with what stands behind it, too, so it
    is not to be compared with the bits of a causal model. For k-mers, every P-th base is hidden at once, with
    [MASK] on all k-mers that see it, in P passes that hide each base once; P is 2 k and at least 8. The
    chance of a base is the mean over the hidden k-mers that see it. For BPE, every eighth token is hidden at
    once, and only the true token counts. Sequences longer than the model are read in windows of its length,
    half a window apart, and a chance is the mean over the windows.

    Args:
        model: a folder, or what `load_model` returns.
        sequences: DNA texts.
        batch_size: sequences, or masked copies of them, at a time; fewer of long ones.
        reporter: shows the progress.

    Returns:
        Bits and scored bases of each sequence, which do not depend on the other sequences.

    Raises:
        RunFolderError: there is no such model.
        SettingsError: it is a classifier.
        DataError: a letter is no nucleotide code, or a sequence is too short to give a token.
    """
    loaded = require_language_model(model)
    texts = clean_sequences(sequences, loaded.scheme)
    compute = compute_causal_bits if loaded.kind == "causal" else compute_masked_bits
    with (reporter or Reporter()).task("score", total=len(texts)) as task:
        return compute(loaded.model, texts, scheme=loaded.scheme, batch_size=batch_size, on_done=task.update)


def delta_score(
    model: AnyModel,
    reference: Sequence[str],
    alternative: Sequence[str],
    *,
    batch_size: int = 32,
    reporter: Reporter | None = None,
) -> npt.NDArray[np.float64]:
    """Return what a change does: the score of each alternative less that of its reference.

    Of a language model it is log2 P(alternative) - log2 P(reference) over the whole sequence, in bits: below
    0 where the alternative is less likely. P is that of `score`; so of a causal model a change within the
    first k bases shows in what follows alone, and of two sequences of different length the longer one pays
    for its bases. Of a classifier it is p(alternative) - p(reference) of each class or label; of a regression
    the difference of the values.

    Args:
        model: a folder or the name of a shipped model, or what `load_model` returns.
        reference: DNA texts.
        alternative: as many, in the same order.
        batch_size: sequences, or masked copies of them, at a time.
        reporter: shows the progress.

    Returns:
        float64 [n] of a language model, [n, classes] of a classifier.

    Raises:
        RunFolderError: there is no such model.
        SettingsError: it tells the classes of bases.
        DataError: the numbers differ, a letter is no nucleotide code, or a sequence is too short.
    """
    if len(reference) != len(alternative):
        raise DataError(
            found=f"{len(reference)} reference and {len(alternative)} alternative sequences",
            expected="as many of both, in pairs",
            remedy="give each alternative its reference",
        )
    loaded = resolve_model(model)
    texts = [*reference, *alternative]
    # Each text once: pairs often share their reference.
    distinct = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    places = np.array([distinct[text] for text in texts], dtype=np.int64)
    values = _compute_values(loaded, list(distinct), batch_size=batch_size, reporter=reporter)[places]
    return values[len(reference) :] - values[: len(reference)]


def _compute_values(
    loaded: Classifier | LanguageModel,
    sequences: list[str],
    *,
    batch_size: int,
    reporter: Reporter | None,
) -> npt.NDArray[np.float64]:
    if isinstance(loaded, LanguageModel):
        return -score(loaded, sequences, batch_size=batch_size, reporter=reporter).bits
    found = classify(loaded, sequences, batch_size=batch_size, reporter=reporter)
    return found.probabilities.astype(np.float64)
