"""The same training with other seeds: found near a run, and summed up beside it."""

from dataclasses import asdict, dataclass
from typing import Any

from genolm.errors import PublishError
from genolm.evaluation.cross_validation import Spread, summarize_runs
from genolm.publishing.card.runs import RunFamily, RunRecord, iter_near, read_family, read_run


@dataclass(frozen=True, kw_only=True)
class SeedSpread:
    """What several seeds found on the same split."""

    seeds: tuple[int, ...]
    """two or more, in order; that of the published run is among them"""
    split: str
    starts: str
    """what they started from, as half a sentence; empty where that was not the same for all"""
    figures: dict[str, Spread | None]
    """by metric; None where no seed has it"""

    def as_record(self) -> dict[str, Any]:
        """Return it for metrics.json."""
        spreads = {name: spread._asdict() for name, spread in self.figures.items() if spread}
        return {**asdict(self), "seeds": list(self.seeds), "figures": spreads}


def find_seed_spread(family: RunFamily, split: str) -> SeedSpread | None:
    """Look near a run for trainings that differ from it in the seed alone; None if there are none.

    They have the same command, settings and data, and started from the same weights or from those of
    trainings that differ in the seed alone, too. So the folders of `genolm run RECIPE --seed 1 --output ...`
    beside one another belong together, and those of the seeds of a benchmark.

    Args:
        family: the run and its origin.
        split: test or validation, which has the figures.
    """
    own_seed, identity = family.run.settings.get("seed"), _identify(family)
    found: dict[Any, RunRecord] = {own_seed: family.run}
    for folder in iter_near(family.run.folder):
        if not (folder / "run_config.json").is_file():
            continue
        try:
            run = read_run(folder)
            seed = run.settings.get("seed")
            if seed in found or _describe(run) != identity[0] or split not in run.metrics:
                continue
            if _identify(read_family(folder)) == identity:
                found[seed] = run
        except (PublishError, KeyError):  # not finished, or no training of genolm
            continue
    if len(found) == 1:
        return None
    return SeedSpread(
        seeds=tuple(sorted(found)),
        split=split,
        starts=_describe_starts(list(found.values())),
        figures=summarize_runs([found[seed].metrics[split] for seed in sorted(found)]),
    )


def _identify(family: RunFamily) -> list[Any]:
    """Return what two trainings that differ in the seed alone have in common."""
    return [*map(_describe, (family.run, *family.ancestors)), family.lost_sha256]


def _describe(run: RunRecord) -> tuple[Any, ...]:
    settings = {name: value for name, value in run.settings.items() if name != "seed"}
    inputs = {name: value for name, value in run.run_config["inputs"].items() if name != "pretrained"}
    return run.command, settings, inputs


def _describe_starts(runs: list[RunRecord]) -> str:
    weights = {run.run_config["inputs"].get("pretrained", "none") for run in runs}
    if weights == {"none"}:
        return "each from random weights of its own"
    if len(weights) == 1:
        return "all from the same pretrained weights"
    return "each from a pretraining of its own" if len(weights) == len(runs) else ""
