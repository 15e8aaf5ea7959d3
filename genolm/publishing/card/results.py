"""The evaluation section: every number in it is one of metrics.json, report.json or the files beside them."""

from typing import Any, NamedTuple

from genolm.evaluation.report import LanguageModelRow, build_rows
from genolm.publishing.card.evidence import Evidence
from genolm.publishing.card.missing import MissingFacts
from genolm.publishing.card.runs import RunFamily, RunRecord
from genolm.publishing.card.seeds import SeedSpread, find_seed_spread
from genolm.publishing.card.tables import Table, format_figure, format_interval

SPLITS = ("test", "validation")
_TITLES = {
    "mcc": "MCC",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "f1": "F1",
    "mse": "mean squared error",
    "pearson": "Pearson's correlation",
    "spearman": "Spearman's correlation",
    "bits_per_base": "bits per base",
}
_COUNTS = ("n", "bases")
LABELS_BEFORE = "true class"


class EvaluationText(NamedTuple):
    """The evaluation in tables."""

    split: str
    """whose figures the card is about: test, or validation where there is no test split"""
    figures: Table
    confusion: Table
    """empty where the task has none"""
    comparison: Table
    """controls and networks; empty where there are none"""
    language_models: Table
    """bits per base; empty where no language model is behind the model"""
    sees_both_sides: bool
    """whether that language model is a masked one"""
    caption: str
    over_seeds: SeedSpread | None
    """None where this is the only seed"""
    seed_caption: str
    seed_figures: Table
    """means and spreads; empty where this is the only seed"""


def describe_evaluation(family: RunFamily, evidence: Evidence, missing: MissingFacts) -> EvaluationText:
    """Return the tables of a run's figures; what ought to be beside them and is not counts as missing."""
    run = family.run
    split = find_split(run) or missing.require(None, "figures on a held-out split")
    figures = run.metrics.get(split, {})
    if run.settings.get("task") not in (None, "token_classification") and not evidence.classifiers:
        missing.add("the controls on the same test sequences (controls.json)")
    rows = evidence.language_models
    if run.command.startswith("pretrain") and not any(row.name.startswith("Markov") for row in rows):
        missing.add("the Markov control on the same corpus (markov.json, which genolm run writes)")
    labels = run.config.get("id2label", {})
    over_seeds = find_seed_spread(family, split) if figures else None
    return EvaluationText(
        split=split,
        figures=_build_figures(run),
        confusion=_build_confusion(figures.get("confusion"), list(labels.values())),
        comparison=build_rows(evidence.classifiers, chosen=evidence.own_name) if evidence.classifiers else [],
        language_models=_build_language_models(rows),
        sees_both_sides=any(each.command == "pretrain masked" for each in (run, *family.ancestors)),
        caption=_caption_figures(run, split, over_seeds),
        over_seeds=over_seeds,
        seed_caption=_caption_seeds(over_seeds) if over_seeds else "",
        seed_figures=_build_seed_figures(over_seeds) if over_seeds else [],
    )


def find_split(run: RunRecord) -> str | None:
    """Return the split that a run is judged by: test if it has one, else validation."""
    return next((split for split in SPLITS if isinstance(run.metrics.get(split), dict)), None)


def list_figures(figures: dict[str, Any]) -> dict[str, float]:
    """Return the scalar metrics of a split, without counts and what is undefined."""
    return {
        name: value
        for name, value in figures.items()
        if name not in _COUNTS and isinstance(value, int | float) and not isinstance(value, bool)
    }


def name_figure(name: str) -> str:
    """Return how a metric is written."""
    return _TITLES.get(name, name.replace("_", " "))


def _build_figures(run: RunRecord) -> Table:
    present = [split for split in SPLITS if isinstance(run.metrics.get(split), dict)]
    if not present:
        return []
    first = run.metrics[present[0]]
    intervals = first.get("ci95", {})
    rows: Table = [("metric", present[0], *(["95 % interval"] if intervals else []), *present[1:])]
    for name in list_figures(first):
        others = [format_figure(run.metrics[split].get(name)) for split in present[1:]]
        between = [format_interval(intervals.get(name))] if intervals else []
        rows.append((name_figure(name), format_figure(first[name]), *between, *others))
    unit = "bases" if run.settings.get("task") == "token_classification" else "sequences"
    for name, title in zip(_COUNTS, (unit, "bases judged"), strict=True):
        if name in first:
            others = [format_figure(run.metrics[split].get(name)) for split in present[1:]]
            rows.append((title, format_figure(first[name]), *(["-"] if intervals else []), *others))
    return rows


def _caption_figures(run: RunRecord, split: str, over_seeds: SeedSpread | None) -> str:
    """Say what the figures are of; the caption of a table that is not there is never shown."""
    seed = run.settings["seed"]
    text = (
        f"Figures of the {split} split, of this model (seed {seed})."
        if over_seeds
        else f"Figures of the {split} split, of one seed ({seed}): the spread between seeds was not measured."
    )
    if "ci95" in run.metrics.get(split, {}):
        text += " The interval is a percentile bootstrap over the sequences."
    return text


def _caption_seeds(over_seeds: SeedSpread) -> str:
    *first, last = map(str, over_seeds.seeds)
    seeds = f"{', '.join(first)} and {last}"
    starts = f", {over_seeds.starts}" if over_seeds.starts else ""
    return f"The same training with the seeds {seeds}{starts}, on the {over_seeds.split} split:"


def _build_seed_figures(over_seeds: SeedSpread) -> Table:
    rows: Table = [("metric", "mean", "standard deviation", "lowest", "highest")]
    for name, spread in over_seeds.figures.items():
        if spread is not None:
            values = (spread.mean, spread.sd, spread.lowest, spread.highest)
            rows.append((name_figure(name), *map(format_figure, values)))
    return rows


def _build_confusion(confusion: list[list[int]] | None, labels: list[str]) -> Table:
    if not confusion:
        return []
    rows: Table = [(LABELS_BEFORE, *(f"predicted {label}" for label in labels))]
    return rows + [
        (label, *map(format_figure, counts)) for label, counts in zip(labels, confusion, strict=True)
    ]


def _build_language_models(rows: tuple[LanguageModelRow, ...]) -> Table:
    if not rows:
        return []
    table: Table = [("model", "bits per base, test", "validation")]
    for row in rows:
        table.append(
            (
                row.name,
                format_figure(row.test_bits_per_base),
                format_figure(row.validation_bits_per_base),
            )
        )
    return table
