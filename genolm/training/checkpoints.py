"""Checkpoints that are whole or absent, and verified before they are used.

A checkpoint is a folder `checkpoint-N` with weights, optimizer state and the carried hidden state as
safetensors, `state.json`, and `manifest.json` with the sha256 of each of them. It is written under a
temporary name and renamed; older ones are removed only after that.
"""

import logging
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from genolm.files import atomic_folder, compute_sha256, read_json, write_json

logger = logging.getLogger(__name__)

Carry = tuple[tuple[Tensor, ...], ...] | None


class Checkpoint(NamedTuple):
    """A verified checkpoint on disk; `state` is the content of its state.json."""

    folder: Path
    step: int
    state: dict[str, Any]


def save_checkpoint(
    folder: Path,
    *,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    carry: Carry,
    state: dict[str, Any],
) -> None:
    """Write a checkpoint folder atomically. `state` is JSON-able and must hold `step`."""
    with atomic_folder(folder) as temporary:
        save_file(_copy_parameters(model), temporary / "model.safetensors")
        if optimizer is not None:
            save_file(_collect_optimizer_state(model, optimizer), temporary / "optimizer.safetensors")
        if carry is not None:
            tensors = {
                f"{layer}.{part}": tensor.contiguous().cpu()
                for layer, parts in enumerate(carry)
                for part, tensor in enumerate(parts)
            }
            save_file(tensors, temporary / "carry.safetensors")
        write_json(temporary / "state.json", state)
        manifest = {file.name: compute_sha256(file) for file in sorted(temporary.iterdir())}
        write_json(temporary / "manifest.json", manifest)


def find_checkpoint(run_folder: Path) -> Checkpoint | None:
    """Return the newest checkpoint that verifies; a damaged one is named in the log and skipped."""
    for step, folder in reversed(list_checkpoints(run_folder)):
        damage = find_damage(folder)
        if damage is None:
            return Checkpoint(folder, step, read_json(folder / "state.json"))
        logger.warning("%s is damaged (%s): skipped", folder.name, damage)
    return None


def list_checkpoints(run_folder: Path) -> list[tuple[int, Path]]:
    """Return (step, folder) of every checkpoint, oldest first, verified or not."""
    found = []
    for folder in run_folder.glob("checkpoint-*"):
        if match := re.fullmatch(r"checkpoint-(\d+)", folder.name):
            found.append((int(match[1]), folder))
    return sorted(found)


def find_damage(folder: Path) -> str | None:
    """Say what is wrong with a checkpoint folder, or return None if its checksums hold."""
    manifest_path = folder / "manifest.json"
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
    """Remove all but the newest `keep` checkpoints."""
    for _, folder in list_checkpoints(run_folder)[:-keep]:
        shutil.rmtree(folder)


def load_checkpoint(
    checkpoint: Checkpoint, *, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[Carry, dict[str, Any]]:
    """Put a checkpoint's weights and optimizer state in place; return the carried state and state.json."""
    load_parameters(checkpoint.folder, model)
    tensors = load_file(checkpoint.folder / "optimizer.safetensors")
    names = _name_parameters(model)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            prefix = names[parameter] + "/"
            state = {
                key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
            }
            if state:
                optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in state.items()}
    carry_path = checkpoint.folder / "carry.safetensors"
    return (_load_carry(carry_path, model) if carry_path.is_file() else None), checkpoint.state


def load_parameters(folder: Path, model: nn.Module) -> None:
    """Put a checkpoint's weights in place."""
    tensors = load_file(folder / "model.safetensors")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[name])


def _load_carry(path: Path, model: nn.Module) -> Carry:
    device = next(model.parameters()).device
    tensors = load_file(path)
    num_layers = 1 + max(int(name.split(".")[0]) for name in tensors)
    num_parts = len(tensors) // num_layers
    return tuple(
        tuple(tensors[f"{layer}.{part}"].to(device) for part in range(num_parts))
        for layer in range(num_layers)
    )


def _name_parameters(model: nn.Module) -> dict[Any, str]:
    return {parameter: name for name, parameter in model.named_parameters()}


def _copy_parameters(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().cpu().contiguous() for name, parameter in model.named_parameters()}


def _collect_optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    names = _name_parameters(model)
    return {
        f"{names[parameter]}/{key}": value.detach().cpu().contiguous()
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }
