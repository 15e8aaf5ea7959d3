"""In-silico mutagenesis: how a classifier's score changes with every base of a sequence."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.alphabet import BASES, Codes, encode_bases, reverse_complement
from genolm.inference.classify import Classifier
from genolm.interpretation.bases import check_long_enough, turn_effects
from genolm.interpretation.targets import Target
from genolm.interpretation.token_rows import (
    Substitutions,
    build_substituted_rows,
    compute_scores,
    encode_rows,
    list_substitutions,
)
from genolm.models.scoring import check_lengths
from genolm.models.strands import averages_strands
from genolm.progress import Reporter
from genolm.tokenization.encoder import encode_sequences

Effects = npt.NDArray[np.float32]


class MutationMap(NamedTuple):
    """What the substitutions of several sequences do."""

    effects: Effects
    """[n, longest_bp, 4], score of the mutated sequence minus that of the sequence as it is, in the order of
    `genolm.alphabet.BASES`, A T C G; 0 at the base itself; NaN at unknown bases and behind the end"""
    scores: Effects
    """[n], of the sequences as they are"""


def compute_mutation_map(
    classifier: Classifier,
    sequences: Sequence[str],
    *,
    target: Target,
    batch_size: int = 256,
    reporter: Reporter | None = None,
) -> MutationMap:
    """Compute the effect of every substitution of a single base.

    Of a classifier that averages strands, effects and scores are means over both.

    Args:
        classifier: of any architecture and tokenizer.
        sequences: upper-case DNA without white space; a sequence that comes twice is computed once.
        target: what the score is; see `genolm.interpretation.targets.choose_target`.
        batch_size: mutated sequences at a time.
        reporter: shows the progress.

    Raises:
        DataError: a sequence is too short for a token, or too long for the model.
    """
    check_inputs(classifier, sequences)
    found = _compute_each(
        sequences,
        lambda codes: _map_substitutions(classifier, codes, target, batch_size),
        both_strands=averages_strands(classifier.model.config),
        turn=lambda part: (turn_effects(part[0]), part[1]),
        reporter=reporter,
        title="mutation map",
    )
    return MutationMap(
        _stack([effects for effects, _ in found]), np.array([each[1] for each in found], np.float32)
    )


def compute_deletion_map(
    classifier: Classifier,
    sequences: Sequence[str],
    *,
    target: Target,
    batch_size: int = 256,
    reporter: Reporter | None = None,
) -> Effects:
    """Compute the effect of leaving out each single base: float32 [n, longest_bp], NaN behind the end.

    What follows moves up, and the sequence is one base shorter. Arguments and errors are those of
    `compute_mutation_map`; a sequence must have a base more than a token.
    """
    check_inputs(classifier, sequences, num_missing=1)
    found = _compute_each(
        sequences,
        lambda codes: _map_deletions(classifier, codes, target, batch_size),
        both_strands=averages_strands(classifier.model.config),
        turn=lambda part: (part[0][::-1], part[1]),
        reporter=reporter,
        title="deletion map",
    )
    return _stack([effects for effects, _ in found])


def compute_contributions(effects: Effects) -> Effects:
    """Compute what each base contributes: how much the score falls, on average over its 3 substitutions.

    Args:
        effects: [..., 4], of a mutation map.

    Returns:
        float32 [...]; positive where the base speaks for the class.

    >>> compute_contributions(np.array([[0.0, -0.5, -0.25, 0.0]])).tolist()
    [0.25]
    """
    return -effects.sum(axis=-1) / (len(BASES) - 1)


def check_inputs(classifier: Classifier, sequences: Sequence[str], *, num_missing: int = 0) -> None:
    """Refuse sequences that are too short for a token, or too long for the model.

    Raises:
        DataError: one is.
    """
    for number, sequence in enumerate(sequences, start=1):
        name = f"sequence {number}"
        check_long_enough(sequence, classifier.scheme, name=name, num_missing=num_missing)
    check_lengths(
        classifier.model.config, encode_sequences(sequences, classifier.scheme), scheme=classifier.scheme
    )


Part = tuple[Any, float]


def _compute_each(
    sequences: Sequence[str],
    compute: Callable[[Codes], Part],
    *,
    both_strands: bool,
    turn: Callable[[Part], Part],
    reporter: Reporter | None,
    title: str,
) -> list[Part]:
    """Compute every different sequence once; the mean over both strands if asked for."""
    known: dict[str, Part] = {}
    with (reporter or Reporter()).task(title, total=len(sequences)) as task:
        for number, sequence in enumerate(sequences, start=1):
            if sequence not in known:
                codes = encode_bases(sequence)
                known[sequence] = compute(codes)
                if both_strands:
                    ahead, back = known[sequence], turn(compute(reverse_complement(codes)))
                    known[sequence] = ((ahead[0] + back[0]) / 2, (ahead[1] + back[1]) / 2)
            task.update(number)
    return [known[sequence] for sequence in sequences]


def _map_substitutions(classifier: Classifier, codes: Codes, target: Target, batch_size: int) -> Part:
    changes = list_substitutions(codes)
    effects = np.full((len(codes), len(BASES)), np.nan, dtype=np.float32)
    score = np.nan
    for start in range(0, max(len(changes.positions), 1), batch_size):
        rows_of = slice(start, start + batch_size)
        part = Substitutions(changes.positions[rows_of], changes.bases[rows_of])
        rows = build_substituted_rows(codes, part, classifier.scheme)
        scores = compute_scores(classifier, rows, target, batch_size=batch_size)
        effects[part.positions, part.bases] = scores[1:] - scores[0]
        score = float(scores[0])
    effects[changes.positions, codes[changes.positions]] = 0
    return effects, score


def _map_deletions(classifier: Classifier, codes: Codes, target: Target, batch_size: int) -> Part:
    score = compute_scores(classifier, encode_rows(codes[None], classifier.scheme), target, batch_size=1)[0]
    effects = np.empty(len(codes), dtype=np.float32)
    kept = np.arange(len(codes) - 1)
    for start in range(0, len(codes), batch_size):
        # From the last one on, so that each shares the longest prefix with the first row.
        deleted = np.arange(len(codes))[::-1][start : start + batch_size]
        rows = encode_rows(codes[kept + (kept >= deleted[:, None])], classifier.scheme)
        effects[deleted] = compute_scores(classifier, rows, target, batch_size=batch_size) - score
    return effects, float(score)


def _stack(parts: Sequence[Effects]) -> Effects:
    """Put parts [length_bp, ...] on top of each other; NaN behind the end of a shorter one."""
    longest = max((len(part) for part in parts), default=0)
    stacked = np.full((len(parts), longest, *(parts[0].shape[1:] if parts else ())), np.nan, dtype=np.float32)
    for row, part in zip(stacked, parts, strict=True):
        row[: len(part)] = part
    return stacked
