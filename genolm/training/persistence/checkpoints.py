"""Checkpoints that are whole or absent, and verified before they are used.

A checkpoint is a folder `checkpoint-N` with weights, optimizer state and the carried hidden state as
safetensors, `state.json`, and `manifest.json` with the sha256 of each of them. It is written under a
temporary name and renamed; older ones are removed only after that. The best weights so far are in `best-N`,
which the checkpoints after it name in their state; a checkpoint is usable only together with it.

One process writes, whatever the number of processes: parameters that are sharded (FSDP2) are gathered first,
so a checkpoint can be read by any number of processes.
"""

import logging
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.modules.batchnorm import _BatchNorm

from genolm.files import atomic_folder, compute_sha256, read_json, write_json
from genolm.training.persistence.disk_space import check_free_disk

logger = logging.getLogger(__name__)

Carry = tuple[tuple[Tensor, ...], ...] | None
NO_BEST = -1


class Checkpoint(NamedTuple):
    """A verified checkpoint on disk; `state` is the content of its state.json."""

    folder: Path
    step: int
    state: dict[str, Any]


class Snapshot(NamedTuple):
    """What a checkpoint holds, as tensors of the CPU by name; `optimizer` is empty for weights alone."""

    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    carry: dict[str, Tensor]

    @property
    def num_bytes(self) -> int:
        """Size of the tensors."""
        return sum(tensor.nbytes for part in self for tensor in part.values())


def take_snapshot(
    model: nn.Module,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    carry: Carry = None,
    is_writer: bool = True,
) -> Snapshot:
    """Collect what a checkpoint holds; every process must call it, since parameters may be sharded.

    A process that will not write gets an empty snapshot where it has nothing to contribute.
    """
    names = _name_parameters(model)
    if not is_writer and not any(isinstance(parameter, DTensor) for parameter in names):
        return Snapshot({}, {}, {})
    states = optimizer.state.items() if optimizer is not None else ()
    return Snapshot(
        model={
            **{name: _gather(parameter) for parameter, name in names.items()},
            **{name: _gather(buffer).clone() for name, buffer in _list_buffers(model).items()},
        },
        optimizer={
            f"{names[parameter]}/{key}": _gather(value)
            for parameter, state in states
            for key, value in state.items()
        },
        carry={
            f"{layer}.{part}": tensor.detach().contiguous().cpu()
            for layer, parts in enumerate(carry or ())
            for part, tensor in enumerate(parts)
        },
    )


def save_checkpoint(folder: Path, snapshot: Snapshot, *, state: Mapping[str, Any]) -> None:
    """Write a checkpoint folder atomically. `state` is JSON-able; that of a checkpoint holds `step`.

    Raises:
        StorageError: the disk has no room for it; nothing was written.
    """
    check_free_disk(folder.parent, needed_bytes=snapshot.num_bytes, purpose=folder.name)
    with atomic_folder(folder) as temporary:
        for name, tensors in snapshot._asdict().items():
            if tensors:
                save_file(tensors, temporary / f"{name}.safetensors")
        write_json(temporary / "state.json", state)
        manifest = {file.name: compute_sha256(file) for file in sorted(temporary.iterdir())}
        write_json(temporary / "manifest.json", manifest)


def find_checkpoint(run_folder: Path) -> Checkpoint | None:
    """Return the newest checkpoint that verifies; a damaged one is named in the log and skipped."""
    for step, folder in reversed(list_checkpoints(run_folder)):
        damage = find_damage(folder)
        if damage is None:
            state = read_json(folder / "state.json")
            best = get_best_folder(run_folder, state["best_step"])
            damage = find_damage(best) if best else None
            if damage is None:
                return Checkpoint(folder, step, state)
            damage = f"its best weights, {best.name}: {damage}" if best else damage
        logger.warning("%s is damaged (%s): skipped", folder.name, damage)
    return None


def get_best_folder(run_folder: Path, best_step: int) -> Path | None:
    """Return the folder of the best weights; None while nothing was evaluated."""
    return None if best_step == NO_BEST else run_folder / f"best-{best_step}"


def list_checkpoints(run_folder: Path, *, kind: str = "checkpoint") -> list[tuple[int, Path]]:
    """Return (step, folder) of every checkpoint, or of every `best`, oldest first, verified or not."""
    found = []
    for folder in run_folder.glob(f"{kind}-*"):
        if match := re.fullmatch(rf"{kind}-(\d+)", folder.name):
            found.append((int(match[1]), folder))
    return sorted(found)


def find_damage(folder: Path) -> str | None:
    """Say what is wrong with a checkpoint folder, or return None if its checksums hold."""
    manifest_path = folder / "manifest.json"
    if not folder.is_dir():
        return "it is missing"
    if not manifest_path.is_file():
        return "no manifest.json"
    try:
        manifest = read_json(manifest_path)
    except ValueError:
        return "manifest.json is not JSON"
    if not isinstance(manifest, dict) or not {"model.safetensors", "state.json"} <= manifest.keys():
        return "manifest.json is not complete"
    for name, sha256 in manifest.items():
        if not (folder / name).is_file():
            return f"{name} is missing"
        if compute_sha256(folder / name) != sha256:
            return f"{name} does not have its sha256"
    return None


def rotate_checkpoints(run_folder: Path, *, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints, and the best weights that none of those names."""
    checkpoints = list_checkpoints(run_folder)
    for _, folder in checkpoints[:-keep]:
        shutil.rmtree(folder)
    named = {_read_best_step(folder) for _, folder in checkpoints[-keep:]}
    newest = max(named, default=NO_BEST)
    for step, folder in list_checkpoints(run_folder, kind="best"):
        if step not in named and step < newest:
            shutil.rmtree(folder)


def set_aside_checkpoints(run_folder: Path, *, after_step: int) -> None:
    """Rename the (damaged) checkpoints after a step, so that they count no more when others are rotated."""
    for step, folder in list_checkpoints(run_folder):
        if step > after_step:
            aside = folder.with_name(f"{folder.name}.damaged")
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)


def load_checkpoint(
    checkpoint: Checkpoint, *, model: nn.Module, optimizer: torch.optim.Optimizer, carry_rows: slice
) -> Carry:
    """Put a checkpoint's weights and optimizer state in place; return the rows of the carried state."""
    load_parameters(checkpoint.folder, model)
    path = checkpoint.folder / "optimizer.safetensors"
    tensors = load_file(path) if path.is_file() else {}
    names = _name_parameters(model)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            prefix = names[parameter] + "/"
            state = {
                key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
            }
            if state:
                optimizer.state[parameter] = {key: _place(value, parameter) for key, value in state.items()}
    carry_path = checkpoint.folder / "carry.safetensors"
    return _load_carry(carry_path, model, carry_rows) if carry_path.is_file() else None


def load_parameters(folder: Path, model: nn.Module) -> None:
    """Put a checkpoint's weights in place."""
    tensors = load_file(folder / "model.safetensors")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(_place(tensors[name], parameter))
        for name, buffer in _list_buffers(model).items():
            buffer.copy_(_place(tensors[name], buffer))


def _read_best_step(folder: Path) -> int:
    try:
        return int(read_json(folder / "state.json")["best_step"])
    except (OSError, ValueError, KeyError):
        return NO_BEST  # a damaged checkpoint, which names nothing


def _load_carry(path: Path, model: nn.Module, rows: slice) -> Carry:
    if rows.start == rows.stop:
        return None  # more processes than lanes: this one takes part with a row that does not count
    device = next(model.parameters()).device
    tensors = load_file(path)
    num_layers = 1 + max(int(name.split(".")[0]) for name in tensors)
    num_parts = len(tensors) // num_layers
    return tuple(
        tuple(tensors[f"{layer}.{part}"][:, rows].to(device) for part in range(num_parts))
        for layer in range(num_layers)
    )


def _name_parameters(model: nn.Module) -> dict[Any, str]:
    return {parameter: name for name, parameter in model.named_parameters()}


def _list_buffers(model: nn.Module) -> dict[str, Tensor]:
    """Return what changes in a training and is no parameter: the running figures of batch normalization."""
    return {
        f"{prefix}.{name}".lstrip("."): buffer
        for prefix, module in model.named_modules()
        if isinstance(module, _BatchNorm)
        for name, buffer in module.named_buffers(recurse=False)
    }


def _gather(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    if isinstance(tensor, DTensor):
        tensor = tensor.full_tensor()
    return tensor.contiguous().cpu()


def _place(tensor: Tensor, like: Tensor) -> Tensor:
    """Return a whole tensor as `like` is kept: on its device, and sharded as it is (a scalar stays whole)."""
    if isinstance(like, DTensor) and tensor.ndim > 0:
        return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)
    return tensor.to(like.device)
