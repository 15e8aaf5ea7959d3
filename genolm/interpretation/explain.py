"""One table, one figure for each sequence: what `genolm explain` writes."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from genolm.alphabet import BASES
from genolm.corpus.labeled import NamedSequences
from genolm.errors import SettingsError
from genolm.files import make_file_name, write_json, write_text
from genolm.inference.classify import Classifier
from genolm.interpretation.attention_map import compute_attention_maps
from genolm.interpretation.coordinates import find_places, write_bedgraph
from genolm.interpretation.figures import ROWS, plot_sequence_map
from genolm.interpretation.gradients import compute_gradient_maps
from genolm.interpretation.mutation_map import (
    compute_contributions,
    compute_deletion_map,
    compute_mutation_map,
)
from genolm.interpretation.targets import ScoreKind, Target, choose_target
from genolm.interpretation.window_map import compute_window_maps
from genolm.progress import Reporter

Method = Literal["mutation", "windows", "saliency", "gradient_x_input", "integrated_gradients", "attention"]
TABLE_FILE = "effects.tsv"
BEDGRAPH_FILE = "contributions.bedgraph"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExplainSettings:
    """How sequences are explained."""

    method: Method = "mutation"
    class_name: str | None = None
    """None: the second of two classes, the value of a regression"""
    score: ScoreKind = "probability"
    deletions: bool = False
    """of the method mutation: the effect of leaving out each base, too"""
    window_bp: int = 10
    """of the method windows"""
    batch_size: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the choice."""
        if self.method not in get_args(Method):
            raise SettingsError(
                found=f"the method {self.method!r}",
                expected=f"one of {', '.join(get_args(Method))}",
                remedy="correct it",
            )


class Explanation(NamedTuple):
    """What was found of some sequences; the rows run in parallel, each as long as its sequence."""

    contributions: list[npt.NDArray[np.float32]]
    """[length_bp]; positive where a base speaks for the class, or is looked at"""
    effects: list[npt.NDArray[np.float32]] | None
    """[length_bp, 4], of a mutation map"""
    deletions: list[npt.NDArray[np.float32]] | None
    """[length_bp]"""
    target: Target


def compute_explanation(
    classifier: Classifier,
    sequences: Sequence[str],
    *,
    settings: ExplainSettings,
    reporter: Reporter | None = None,
) -> Explanation:
    """Explain sequences by the method of the settings.

    Raises:
        SettingsError: there is no such class, or the model lacks what the method needs.
        DataError: a sequence is too short for a token, or too long for the model.
    """
    target = choose_target(classifier, class_name=settings.class_name, score=settings.score)
    common: Any = {"target": target, "reporter": reporter}
    if settings.method == "mutation":
        sizes: dict[str, Any] = {"batch_size": settings.batch_size}
        found = compute_mutation_map(classifier, sequences, **common, **sizes).effects
        lengths_bp = [len(sequence) for sequence in sequences]
        effects = [row[:length_bp] for row, length_bp in zip(found, lengths_bp, strict=True)]
        deletions = None
        if settings.deletions:
            rows = compute_deletion_map(classifier, sequences, **common, **sizes)
            deletions = [row[:length_bp] for row, length_bp in zip(rows, lengths_bp, strict=True)]
        return Explanation([compute_contributions(each) for each in effects], effects, deletions, target)
    if settings.method == "windows":
        sizes = {"window_bp": settings.window_bp, "batch_size": settings.batch_size, "seed": settings.seed}
        maps: Sequence[Any] = compute_window_maps(classifier, sequences, **common, **sizes)
    elif settings.method == "attention":
        looked = compute_attention_maps(classifier, sequences, reporter=reporter)
        return Explanation([each.rollout for each in looked], None, None, target)
    else:
        maps = compute_gradient_maps(classifier, sequences, method=settings.method, **common)
    return Explanation([each.contributions for each in maps], None, None, target)


def explain_sequences(
    classifier: Classifier,
    named: NamedSequences,
    folder: Path,
    *,
    settings: ExplainSettings,
    bed: Path | None = None,
    reporter: Reporter | None = None,
) -> Explanation:
    """Write effects.tsv, explain.json, a figure of each sequence, and contributions.bedgraph of known places.

    Args:
        classifier: of whole sequences.
        named: ids and sequences.
        folder: to write; what stands there under the same names is replaced.
        settings: method, class and score.
        bed: places of the sequences by id; else their names are read, as `contig:start-end(strand)`.
        reporter: shows the progress.

    Raises:
        SettingsError, DataError: as `compute_explanation` and `genolm.interpretation.coordinates`.
    """
    places = find_places(named.ids, named.sequences, bed=bed)
    found = compute_explanation(classifier, named.sequences, settings=settings, reporter=reporter)
    write_text(folder / TABLE_FILE, "".join("\t".join(row) + "\n" for row in build_table(named, found)))
    if any(place is not None for place in places):
        write_bedgraph(folder / BEDGRAPH_FILE, places, found.contributions)
    write_json(folder / "explain.json", {**dataclasses.asdict(settings), "class_name": found.target.name})
    with (reporter or Reporter()).task("figures", total=len(named.ids)) as task:
        for number, (name, sequence) in enumerate(zip(named.ids, named.sequences, strict=True)):
            plot_sequence_map(
                sequence,
                found.contributions[number],
                folder / "figures" / f"{number + 1:04d}-{make_file_name(name)}",
                effects=None if found.effects is None else found.effects[number],
                title=f"{name}: {settings.method.replace('_', ' ')}",
                unit=found.target.unit,
            )
            task.update(number + 1)
    return found


def build_table(named: NamedSequences, found: Explanation) -> list[tuple[str, ...]]:
    """Return the header and one row for each base.

    Columns: id, position (from 1), base, contribution; of a mutation map the effects of A, C, G and T, and of
    deletions theirs. What was not computed, such as at an N, is empty.
    """
    header = ["id", "position_1based", "base", "contribution"]
    header += [f"effect_{base}" for base in ROWS] if found.effects is not None else []
    header += ["effect_deletion"] if found.deletions is not None else []
    order = [BASES.index(base) for base in ROWS]
    rows = [tuple(header)]
    for number, (name, sequence) in enumerate(zip(named.ids, named.sequences, strict=True)):
        columns = [found.contributions[number][:, None]]
        if found.effects is not None:
            columns.append(found.effects[number][:, order])
        if found.deletions is not None:
            columns.append(found.deletions[number][:, None])
        values = np.concatenate(columns, axis=1).tolist()
        rows += [
            (name, str(place), base, *("" if value != value else f"{value:.6g}" for value in row))
            for place, (base, row) in enumerate(zip(sequence, values, strict=True), start=1)
        ]
    return rows
