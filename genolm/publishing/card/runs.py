"""What the card is made of: a finished run, the runs that it started from, and their corpus.

A run names its inputs by checksum, so what lies near it is recognized wherever it was moved together.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from genolm.corpus.bases import CORPUS_JSON, compute_corpus_fingerprint, read_corpus_info
from genolm.errors import PublishError
from genolm.files import compute_sha256, read_json

LOG_NAME, WEIGHTS_NAME = "training_log.jsonl", "model.safetensors"
_RUN_FILES = ("run_config.json", "metrics.json", "config.json", WEIGHTS_NAME)


class LogSummary(NamedTuple):
    """What a training log says of the whole training."""

    elapsed_s: float
    """of all processes one after another; what lay between the last logged step and a kill is not in it"""
    tokens: int
    step: int
    """the last logged one, up to which time and tokens count"""
    bases_per_token: float | None
    """None where no speed was logged"""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A finished run as its folder tells it."""

    folder: Path
    run_config: dict[str, Any]
    metrics: dict[str, Any]
    config: dict[str, Any]
    """config.json of the model"""
    num_parameters: int
    """numbers in model.safetensors; tied weights count once"""
    log: LogSummary | None

    @property
    def command(self) -> str:
        """The training that wrote it, such as `pretrain causal`."""
        return str(self.run_config["command"])

    @property
    def settings(self) -> dict[str, Any]:
        """The resolved settings of the training."""
        return dict(self.run_config["settings"])


class ReadCorpus(NamedTuple):
    """A run that read a corpus, and what corpus.json says of it; None if no folder near the run has it."""

    run: RunRecord
    info: dict[str, Any] | None


class RunFamily(NamedTuple):
    """A run, and what was found of its origin."""

    run: RunRecord
    ancestors: tuple[RunRecord, ...]
    """the runs that it started from, nearest first"""
    lost_sha256: str | None
    """weights that the oldest of them started from, which no folder near it has"""
    corpora: tuple[ReadCorpus, ...]
    """of those runs that read one, oldest first"""


def read_family(folder: Path) -> RunFamily:
    """Read a finished run, and look near it for the runs that it started from and their corpora.

    Raises:
        PublishError: the run is not finished, or a file of it cannot be read.
    """
    run = read_run(folder)
    chain = [run]
    lost = None
    while (wanted := chain[-1].run_config["inputs"].get("pretrained", "none")) != "none":
        found = _find_weights(chain[-1].folder, wanted)
        if found is None:
            lost = wanted
            break
        chain.append(read_run(found))
    corpora = tuple(
        ReadCorpus(each, _find_corpus(each.folder, each.run_config["inputs"]["corpus"]))
        for each in reversed(chain)
        if "corpus" in each.run_config["inputs"]
    )
    return RunFamily(run, tuple(chain[1:]), lost, corpora)


def read_run(folder: Path) -> RunRecord:
    """Read the folder of a finished run.

    Raises:
        PublishError: a file is missing or broken.
    """
    missing = [name for name in _RUN_FILES if not (folder / name).is_file()]
    if missing:
        raise PublishError(
            found=f"no {', '.join(missing)} in {folder}",
            expected="the folder of a finished training",
            remedy="finish the training first, or correct the path",
        )
    try:
        run_config, metrics, config = (read_json(folder / name) for name in _RUN_FILES[:3])
        log = _read_log(_find_log(folder, run_config["fingerprint"]))
        return RunRecord(
            folder=folder,
            run_config=run_config,
            metrics=metrics,
            config=config,
            num_parameters=count_parameters(folder / WEIGHTS_NAME),
            log=log,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise PublishError(
            found=f"a broken file in {folder} ({error})",
            expected=f"readable {', '.join(_RUN_FILES)}",
            remedy="train it again, or copy the folder again",
        ) from error


def count_parameters(weights: Path) -> int:
    """Return how many numbers a safetensors file holds; only its header is read.

    Raises:
        ValueError: the file is broken.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, framework="numpy") as file:
            total = 0
            for name in file.keys():  # noqa: SIM118  it is no mapping
                size = 1
                for length in file.get_slice(name).get_shape():
                    size *= length
                total += size
            return total
    except SafetensorError as error:
        raise ValueError(f"{weights.name}: {error}") from error


def _find_log(folder: Path, fingerprint: str) -> Path | None:
    """Return the log of a run; a copy of a model, as a pipeline makes, has it in the folder it came from."""
    for candidate in (folder, *_list_folders(folder.parent)):
        if (candidate / LOG_NAME).is_file() and (candidate / "run_config.json").is_file():
            run_config = read_json(candidate / "run_config.json")
            if run_config.get("fingerprint") == fingerprint:
                return candidate / LOG_NAME
    return None


def _read_log(path: Path | None) -> LogSummary | None:
    if path is None:
        return None
    elapsed_s = last_s = 0.0
    tokens, step, bases_per_token = 0, 0, None
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if "speed" not in record:
            continue
        speed = record["speed"]
        if speed["elapsed_s"] < last_s:  # the clock of a run that went on began anew
            elapsed_s += last_s
        last_s, tokens, step = speed["elapsed_s"], record["tokens"], record["step"]
        if speed.get("tokens_per_s"):
            bases_per_token = speed["bases_per_s"] / speed["tokens_per_s"]
    return LogSummary(elapsed_s + last_s, tokens, step, bases_per_token) if tokens else None


def _find_weights(folder: Path, sha256: str) -> Path | None:
    for candidate in iter_near(folder):
        if not all((candidate / name).is_file() for name in _RUN_FILES):
            continue
        if compute_sha256(candidate / WEIGHTS_NAME) == sha256:
            return candidate
    return None


def _find_corpus(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    for candidate in iter_near(folder):
        if (candidate / CORPUS_JSON).is_file() and compute_corpus_fingerprint(candidate) == fingerprint:
            return read_corpus_info(candidate)
    return None


def iter_near(folder: Path) -> Iterator[Path]:
    """Yield the folders beside a run, then those one level up and theirs."""
    beside, above = folder.resolve().parent, folder.resolve().parent.parent
    yield from _list_folders(beside)
    for other in _list_folders(above):
        if other != beside:
            yield other
            yield from _list_folders(other)


def _list_folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:  # another user's folder
        return []
