"""What a benchmark file says: data, protocol, models, and the figures of others."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Literal, get_args

from genolm.config import build_settings, read_recipe
from genolm.corpus.labeled import ColumnNames
from genolm.corpus.splitting.groups import ClusterSettings
from genolm.errors import SettingsError
from genolm.metrics import METRIC_NAMES
from genolm.pipeline.controls import CONTROL_NAMES
from genolm.training.adaptation import AdaptSettings
from genolm.training.classifier import FinetuneSettings

logger = logging.getLogger(__name__)

GIVEN = "given"
ProtocolName = Literal["split", "folds", "holdout"]


@dataclass(frozen=True, kw_only=True)
class BenchmarkModel:
    """One model of the table: what it starts from, and how it learns."""

    name: str
    tokenizer: str = ""  # scheme, or folder of one, of a model from random weights
    # or folder of a language model, whose tokenizer it takes; GIVEN stands for that of the command line
    pretrained: str = ""
    adapt: AdaptSettings | None = (
        None  # first go on with the language model on train and validation sequences
    )
    finetune: FinetuneSettings = field(default_factory=FinetuneSettings)

    def __post_init__(self) -> None:
        """Check what belongs together."""
        if not self.name.strip() or bool(self.tokenizer) == bool(self.pretrained):
            raise SettingsError(
                found=f"the model {self.name!r} with tokenizer {self.tokenizer!r} and pretrained "
                f"{self.pretrained!r}",
                expected="a name, and either a tokenizer (random weights) or a pretrained folder",
                remedy="leave one of the two out: a pretrained model has its own tokenizer",
            )
        if self.adapt is not None and not self.pretrained:
            raise SettingsError(
                found=f"adapt for the model {self.name}, which starts from random weights",
                expected="a pretrained language model that goes on",
                remedy="name its folder as pretrained, or leave adapt out",
            )
        if self.finetune.task != "classification":
            raise SettingsError(
                found=f"the task {self.finetune.task} for the model {self.name}",
                expected="classification",
                remedy="use genolm finetune for other tasks",
            )


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """Several lines of the table as one more: the mean of their probabilities."""

    name: str
    of: tuple[str, ...]  # names of models, or of controls as the table has them, such as "control: k-mers"


@dataclass(frozen=True, kw_only=True)
class Published:
    """A result of others."""

    name: str
    metrics: dict[str, float]  # by the names of metrics.json
    source: str  # the paper, and its protocol where that is another one

    def __post_init__(self) -> None:
        """Check the names."""
        if unknown := sorted(set(self.metrics) - set(METRIC_NAMES)):
            raise SettingsError(
                found=f"the figure {unknown[0]} of {self.name}",
                expected=f"one of {', '.join(METRIC_NAMES)}",
                remedy="correct the name",
            )


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Everything that decides a benchmark's result."""

    title: str
    models: tuple[BenchmarkModel, ...]
    ensembles: tuple[Ensemble, ...] = ()
    data: str = ""  # labeled sequences: a file, or a builtin: name
    columns: ColumnNames = field(default_factory=ColumnNames)
    # the file's own split; folds of a cross-validation; or holdout, a division of its own for each seed
    protocol: ProtocolName = "split"
    groups: tuple[str, ...] = (
        "clusters",
    )  # none, clusters, blocks of a genome, or a column; a table for each
    clusters: ClusterSettings = field(default_factory=ClusterSettings)
    block_bp: int = 50_000  # bp, of the groups blocks
    folds: int = 5
    repeats: int = 1  # independent divisions into folds
    split_seed: int = 0  # of the divisions
    seeds: tuple[int, ...] = (0, 1, 2)  # of the trainings
    num_resamples: int = 1_000  # of the bootstrap
    published: tuple[Published, ...] = ()

    def __post_init__(self) -> None:
        """Check the ranges, and that every name is there once."""
        models = [model.name for model in self.models]
        models += [ensemble.name for ensemble in self.ensembles if models]
        for kind, names in (
            ("models", models),
            ("groups", self.groups),
            ("seeds", self.seeds),
        ):
            values = list(map(str, names))
            repeated = [value for value in values if values.count(value) > 1]
            if not values or repeated:
                raise SettingsError(
                    found=f"two {kind} called {repeated[0]}" if repeated else f"no {kind}",
                    expected=f"one or more {kind}, each with a name of its own",
                    remedy=f"correct {kind}",
                )
        for ensemble in self.ensembles:
            self._check_members(ensemble)
        if self.protocol not in get_args(ProtocolName) or (self.protocol != "folds" and self.repeats != 1):
            raise SettingsError(
                found=f"protocol {self.protocol} with repeats {self.repeats}",
                expected="folds with any number of repeats, or split or holdout with 1",
                remedy="set protocol: folds, or leave repeats out",
            )
        if self.folds < 3 or min(self.repeats, self.num_resamples) < 1 or self.block_bp < 0:
            raise SettingsError(
                found=f"folds {self.folds}, repeats {self.repeats}, num_resamples {self.num_resamples}, "
                f"block_bp {self.block_bp}",
                expected="3 folds or more, repeats and num_resamples of at least 1, block_bp of 0 or more",
                remedy="correct the benchmark",
            )

    def _check_members(self, ensemble: Ensemble) -> None:
        models = [model.name for model in self.models]
        known = [*models, *CONTROL_NAMES.values()]
        unknown = [name for name in ensemble.of if name not in known]
        if unknown or len(set(ensemble.of)) < 2 or not set(ensemble.of) & set(models):
            raise SettingsError(
                found=f"{unknown[0]!r} in the ensemble {ensemble.name}"
                if unknown
                else f"the ensemble {ensemble.name} of {', '.join(ensemble.of) or 'nothing'}",
                expected=f"two or more of {', '.join(known)}, a model among them",
                remedy="correct ensembles",
            )


def list_benchmarks() -> list[str]:
    """Return the names of the shipped benchmarks."""
    return sorted(path.stem for path in _get_folder().glob("*.yaml"))


def find_benchmark(name: str) -> Path:
    """Return the file of a benchmark: a shipped name, or the path of a YAML file.

    Raises:
        SettingsError: there is no shipped benchmark of that name.
    """
    if name in list_benchmarks():
        return _get_folder() / f"{name}.yaml"
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    raise SettingsError(
        found=f"the benchmark {name!r}",
        expected=f"one of {', '.join(list_benchmarks())}, or a .yaml file",
        remedy="correct the name",
    )


def load_benchmark(name: str, *, overrides: Sequence[str] = (), pretrained: Path | None = None) -> Benchmark:
    """Read a benchmark: a shipped name or a YAML file, with overrides such as `folds=10`.

    `groups: none` is the same as `groups: [none]`.

    Args:
        name: of a shipped benchmark, or a YAML file, which may extend either.
        overrides: settings with their values.
        pretrained: folder of the language model of the models that say `pretrained: given`; they are left out
            without one, and so are ensembles of them.

    Raises:
        SettingsError: there is no such benchmark, a setting is not usable, or it has no data.
    """
    path = find_benchmark(name)
    mapping = read_recipe(str(path), overrides=overrides, find=find_benchmark)
    if isinstance(mapping.get("groups"), str):
        mapping["groups"] = [mapping["groups"]]
    benchmark = build_settings(Benchmark, mapping, where=path.name)
    given = "" if pretrained is None else str(pretrained)
    models = [
        replace(model, pretrained=given) if model.pretrained == GIVEN else model
        for model in benchmark.models
        if given or model.pretrained != GIVEN
    ]
    missing = {model.name for model in benchmark.models} - {model.name for model in models}
    if missing:
        logger.info(
            "%d models that start from a language model are left out: give --pretrained", len(missing)
        )
    ensembles = tuple(each for each in benchmark.ensembles if not missing & set(each.of))
    benchmark = replace(benchmark, models=tuple(models), ensembles=ensembles)
    if not benchmark.data:
        raise SettingsError(
            found=f"no data in the benchmark {name}",
            expected="the file of its labeled sequences, which does not ship with genolm",
            remedy="name it with --data FILE",
        )
    return benchmark


def _get_folder() -> Path:
    return Path(str(resources.files("genolm"))) / "recipes" / "benchmarks"
