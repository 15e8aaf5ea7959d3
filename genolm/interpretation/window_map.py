"""Windowed perturbation, as in Genomic-ULMFiT: how the score changes when a window of bases is replaced."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from genolm.alphabet import UNKNOWN_CODE, Codes, encode_bases, reverse_complement
from genolm.corpus.negatives.shuffle import shuffle_dinucleotides
from genolm.errors import SettingsError
from genolm.inference.classify import Classifier
from genolm.interpretation.mutation_map import check_inputs
from genolm.interpretation.targets import Target
from genolm.interpretation.token_rows import compute_scores, encode_rows
from genolm.models.strands import averages_strands
from genolm.progress import Reporter

Replacement = Literal["shuffle", "unknown"]


class WindowMap(NamedTuple):
    """What the windows of one sequence are worth."""

    starts: npt.NDArray[np.int64]
    """[windows], 0-based"""
    window_bp: int
    effects: npt.NDArray[np.float32]
    """[windows], score with the window replaced minus that of the sequence as it is"""
    contributions: npt.NDArray[np.float32]
    """[length_bp], minus the mean effect of the windows over each base"""


def compute_window_maps(
    classifier: Classifier,
    sequences: Sequence[str],
    *,
    target: Target,
    window_bp: int = 10,
    step_bp: int = 1,
    replacement: Replacement = "shuffle",
    num_shuffles: int = 10,
    seed: int = 0,
    batch_size: int = 256,
    reporter: Reporter | None = None,
) -> list[WindowMap]:
    """Replace each window of a sequence, and see what becomes of the score.

    Args:
        classifier: of any architecture and tokenizer.
        sequences: upper-case DNA without white space.
        target: what the score is.
        window_bp: bases of a window.
        step_bp: bases from one window to the next; the last window ends where the sequence does.
        replacement: `shuffle`, by dinucleotide shuffles of the window, over which the effect is averaged; or
            `unknown`, by N.
        num_shuffles: of each window.
        seed: of the shuffles.
        batch_size: changed sequences at a time.
        reporter: shows the progress.

    Raises:
        SettingsError: a number is below 1, a window is longer than a sequence, or the replacement is unknown.
        DataError: a sequence is too short for a token, or too long for the model.
    """
    shortest = min(map(len, sequences), default=window_bp)
    if replacement not in get_args(Replacement) or min(step_bp, num_shuffles) < 1:
        raise SettingsError(
            found=f"replacement {replacement!r}, step {step_bp} bp, {num_shuffles} shuffles",
            expected=f"one of {', '.join(get_args(Replacement))}, and numbers of at least 1",
            remedy="correct the settings of the windows",
        )
    if not 1 <= window_bp <= shortest:
        raise SettingsError(
            found=f"windows of {window_bp} bp",
            expected=f"1 to {shortest} bp, the length of the shortest sequence",
            remedy="choose a width such as 10",
        )
    check_inputs(classifier, sequences)
    maps = []
    with (reporter or Reporter()).task("window map", total=len(sequences)) as task:
        for number, sequence in enumerate(sequences, start=1):
            codes = encode_bases(sequence)
            last = len(codes) - window_bp
            starts = np.unique(np.append(np.arange(0, last + 1, step_bp), last))
            changed = _replace(codes, starts, window_bp, replacement, num_shuffles, seed)
            effects = _compute_effects(classifier, codes, changed, target, batch_size)
            maps.append(
                WindowMap(starts, window_bp, effects, _spread(effects, starts, window_bp, len(codes)))
            )
            task.update(number)
    return maps


def _replace(
    codes: Codes,
    starts: npt.NDArray[np.int64],
    window_bp: int,
    replacement: Replacement,
    num_shuffles: int,
    seed: int,
) -> Codes:
    """Return the changed sequences: uint8 [windows, variants, length_bp]."""
    places = starts[:, None] + np.arange(window_bp)
    num_variants = num_shuffles if replacement == "shuffle" else 1
    changed = np.tile(codes, (len(starts), num_variants, 1))
    if replacement == "unknown":
        filling = np.full((len(starts), 1, window_bp), UNKNOWN_CODE, dtype=np.uint8)
    else:
        windows = np.repeat(codes[places], num_shuffles, axis=0)
        shuffled = shuffle_dinucleotides(list(windows), seed=seed)
        filling = np.array(shuffled).reshape(len(starts), num_shuffles, window_bp)
    np.put_along_axis(changed, np.broadcast_to(places[:, None], filling.shape), filling, axis=2)
    return changed


def _compute_effects(
    classifier: Classifier, codes: Codes, changed: Codes, target: Target, batch_size: int
) -> npt.NDArray[np.float32]:
    rows = np.concatenate([codes[None], changed.reshape(-1, len(codes))])
    strands = [rows, reverse_complement(rows)] if averages_strands(classifier.model.config) else [rows]
    scores = np.mean([_score(classifier, each, target, batch_size) for each in strands], axis=0)
    effects = (scores[1:] - scores[0]).reshape(changed.shape[:2]).mean(axis=1)
    return effects.astype(np.float32)


def _score(classifier: Classifier, rows: Codes, target: Target, batch_size: int) -> npt.NDArray[np.float32]:
    """Return the score of each row; each batch has the first row in front, from which the others differ."""
    parts = []
    for start in range(0, len(rows), batch_size):
        batch = np.concatenate([rows[:1], rows[start : start + batch_size]])
        ids = encode_rows(batch, classifier.scheme)
        parts.append(compute_scores(classifier, ids, target, batch_size=batch_size)[1:])
    return np.concatenate(parts)


def _spread(
    effects: npt.NDArray[np.float32], starts: npt.NDArray[np.int64], window_bp: int, length_bp: int
) -> npt.NDArray[np.float32]:
    """Return minus the mean effect of the windows over each base; NaN where a step leaves a base out.

    >>> _spread(np.array([1.0, 3.0]), np.array([0, 1]), 2, 3).tolist()
    [-1.0, -2.0, -3.0]
    """
    places = (starts[:, None] + np.arange(window_bp)).ravel()
    sums = np.bincount(places, weights=np.repeat(effects, window_bp), minlength=length_bp)
    counts = np.bincount(places, minlength=length_bp)
    means = np.divide(sums, counts, out=np.full(length_bp, np.nan), where=counts > 0)
    return (-means).astype(np.float32)
