"""The folder that a training writes: checkpoints while it runs, a Hugging Face model folder when it is done.

`run_config.json` is written first and says which run this is; `metrics.json` is written last and says that it
is finished. A finished run is not done again, an unfinished one goes on, and another run's folder is refused.
"""

import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

import genolm
from genolm.errors import RunFolderError
from genolm.files import atomic_folder, compute_fingerprint, compute_sha256, is_unused, read_json, write_json
from genolm.models import AUTO_MAPS
from genolm.tokenization.tokens import Tokens, save_tokens
from genolm.training.bad_batch import BAD_BATCH_NAME
from genolm.training.hardware.ranks import get_ranks
from genolm.training.job import LoopSettings
from genolm.training.loss_figure import plot_loss_curve
from genolm.training.micro_batches import MICRO_BATCH_NAME
from genolm.training.persistence.disk_space import explain_full_disk
from genolm.training.persistence.run_lock import lock_run_folder

LIBRARIES = ("torch", "transformers", "tokenizers", "datasets", "accelerate", "numpy")


@contextmanager
def open_run_folder(
    folder: Path,
    *,
    command: str,
    settings: dict[str, Any],
    inputs: dict[str, str],
    sources: dict[str, Any] | None = None,
) -> Iterator[dict[str, Any] | None]:
    """Hold a run folder, new or of this very run, while the block trains in it.

    Yields the metrics of a run that is finished (nothing is held then), else None.

    Args:
        folder: of the run.
        command: which training writes it.
        settings: resolved settings, JSON-able; those of LoopSettings.FREE may change when a run goes on.
        inputs: sha256 of each thing that the run reads.
        sources: what a model card says of the inputs, such as a file's name; it does not tell runs apart.

    Raises:
        RunFolderError: the folder holds something else, a run with other settings or inputs, or one that
            another process is at.
        StorageError: the disk is full.
    """
    ranks = get_ranks()
    # As JSON has it, so that a tuple is the list that the file holds.
    identity = json.loads(json.dumps({"command": command, "settings": settings, "inputs": inputs}))
    with explain_full_disk(folder), ExitStack() as held:

        def claim() -> dict[str, Any] | None:
            is_known = _check_identity(folder, identity)
            if metrics := read_finished_metrics(folder):
                return metrics
            held.enter_context(lock_run_folder(folder))
            if not is_known:
                _write_run_config(folder, identity, ranks.count, sources or {})
            return None

        yield ranks.on_main(claim)


def _check_identity(folder: Path, identity: dict[str, Any]) -> bool:
    """Say whether a folder is of this very run; False means that it is unused."""
    path = folder / "run_config.json"
    if path.is_file():
        known = read_json(path)
        if known.get("fingerprint") != _compute_run_fingerprint(identity):
            raise RunFolderError(
                found=f"another run in {folder} ({_describe_difference(known, identity)})",
                expected="an empty folder, or the same command again to go on",
                remedy="choose another --output, or remove the folder",
            )
        return True
    if not is_unused(folder):
        raise RunFolderError(
            found=f"{folder} with files of another origin",
            expected="an empty or new output folder",
            remedy="choose another --output",
        )
    return False


def _write_run_config(
    folder: Path, identity: dict[str, Any], num_processes: int, sources: dict[str, Any]
) -> None:
    write_json(
        folder / "run_config.json",
        {
            "fingerprint": _compute_run_fingerprint(identity),
            **identity,
            "sources": sources,
            "genolm": genolm.__version__,
            "libraries": {name: version(name) for name in LIBRARIES},
            "python": platform.python_version(),
            "hardware": {**_describe_hardware(), "processes": num_processes},
        },
    )


def _compute_run_fingerprint(identity: dict[str, Any]) -> str:
    return compute_fingerprint({**identity, "settings": _drop_free_settings(identity["settings"])})


def _drop_free_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Leave out how a machine does the work, which does not decide what comes out."""
    if "loop" not in settings:
        return settings
    kept = {name: value for name, value in settings["loop"].items() if name not in LoopSettings.FREE}
    return {**settings, "loop": kept}


def read_finished_metrics(folder: Path) -> dict[str, Any] | None:
    """Return the metrics of a finished run, or None if it is not finished."""
    path = folder / "metrics.json"
    return read_json(path) if path.is_file() else None


def finish_run_folder(
    folder: Path, *, model: PreTrainedModel, scheme: Tokens, metrics: dict[str, Any]
) -> None:
    """Put the model and its tokenizer at the root of the folder, write the metrics, drop the checkpoints.

    Every process calls it; the main one writes.
    """

    def finish() -> None:
        save_model_folder(folder / "model.finished", model=model, scheme=scheme)
        for file in (folder / "model.finished").iterdir():
            os.replace(file, folder / file.name)
        (folder / "model.finished").rmdir()
        if (folder / "training_log.jsonl").is_file():
            best_step = metrics.get("best_step")
            plot_loss_curve(folder / "training_log.jsonl", folder / "loss_curve.png", best_step=best_step)
        write_json(folder / "metrics.json", metrics)
        for checkpoint in [*folder.glob("checkpoint-*"), *folder.glob("best-*")]:
            shutil.rmtree(checkpoint, ignore_errors=True)
        for name in (MICRO_BATCH_NAME, BAD_BATCH_NAME):
            (folder / name).unlink(missing_ok=True)

    get_ranks().on_main(finish)


def save_model_folder(folder: Path, *, model: PreTrainedModel, scheme: Tokens) -> None:
    """Write a Hugging Face folder that loads without genolm: weights, config, tokenizer.

    A network of genolm's own gets its modeling file beside them; a class of transformers needs none.
    """
    with atomic_folder(folder) as temporary:
        if auto_map := AUTO_MAPS.get(model.config.model_type):
            model.config.auto_map = auto_map
        elif hasattr(model.config, "auto_map"):
            del model.config.auto_map  # of a published folder with code of its own
        model.save_pretrained(temporary)
        # safetensors writes for the owner alone; let who may read the config also read the weights.
        (temporary / "model.safetensors").chmod((temporary / "config.json").stat().st_mode)
        save_tokens(scheme, temporary / "tokenizer")
        for file in (temporary / "tokenizer").iterdir():
            os.replace(file, temporary / file.name)
        (temporary / "tokenizer").rmdir()


def compute_model_sha256(folder: Path) -> str:
    """Return the checksum of a finished model's weights.

    Raises:
        RunFolderError: the folder holds no finished model.
    """
    path = folder / "model.safetensors"
    if not path.is_file():
        raise RunFolderError(
            found=f"no model.safetensors in {folder}",
            expected="the folder of a finished training",
            remedy="finish that training first, or correct the path",
        )
    return compute_sha256(path)


def _describe_difference(known: dict[str, Any], identity: dict[str, Any]) -> str:
    """Name the first setting that differs, with both values."""
    identity = {**identity, "settings": _drop_free_settings(identity["settings"])}
    before, now = _flatten(known), _flatten(identity)
    for name in now:
        if before.get(name) != now[name]:
            return f"{name} was {before.get(name, 'not set')}, is now {now[name]}"
    return "more settings than now"


def _flatten(value: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    return {
        k: v for key, item in value.items() for k, v in _flatten(item, f"{name}.{key}".strip(".")).items()
    }


def _describe_hardware() -> dict[str, Any]:
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {"machine": platform.machine(), "torch_threads": torch.get_num_threads(), "gpus": gpus}
