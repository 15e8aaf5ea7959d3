"""The one training loop: it knows batches, rates and checkpoints, and nothing of genomes.

A job says what to learn; `run_training` runs it under Accelerate, evaluates, keeps the best weights, stops
early, writes verified checkpoints, and continues from the newest good one. Killed at any moment and started
again, it ends with the same weights, bit for bit, on the same machine and number of threads.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from transformers import PreTrainedModel

from genolm.errors import SettingsError, TrainingError
from genolm.progress import Reporter, Task
from genolm.training.chance import mix_seed
from genolm.training.checkpoints import (
    Carry,
    find_checkpoint,
    find_damage,
    load_checkpoint,
    load_parameters,
    rotate_checkpoints,
    save_checkpoint,
)
from genolm.training.schedules import PhasedSchedule

Precision = Literal["auto", "no", "bf16"]


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How a training runs, whatever it learns."""

    precision: Precision = "auto"  # of the forward pass; auto is bf16 where the CPU or GPU computes in it
    weight_decay: float = 0.01  # decoupled, on matrices only
    adam_beta2: float = 0.99
    max_grad_norm: float = 1.0  # gradients are scaled down to this norm
    checkpoint_every_steps: int = 200
    keep_checkpoints: int = 2
    log_every_steps: int = 20

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.checkpoint_every_steps, self.keep_checkpoints, self.log_every_steps) < 1:
            raise SettingsError(
                found="a number of steps or checkpoints below 1",
                expected="checkpoint_every_steps, keep_checkpoints and log_every_steps of at least 1",
                remedy="correct the loop settings",
            )


class StepInput(NamedTuple):
    """What a step feeds to the model; `units` counts what it learns from (tokens or sequences)."""

    inputs: dict[str, Tensor]
    units: int
    keeps_carry: bool = False  # the hidden state of the step before goes on


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """What `run_training` needs to know of a task."""

    title: str
    build_input: Callable[[int], StepInput]  # of a step number, and of nothing else
    schedule: PhasedSchedule
    evaluate: Callable[[PreTrainedModel], dict[str, float]]  # figures, "loss" among them
    monitor: str  # name of the evaluated figure that chooses the best weights
    larger_is_better: bool
    eval_every_steps: int
    patience: int  # evaluations without a gain before it stops; 0 means never
    stateful: bool = False  # the model returns a state that the next step takes


class TrainingOutcome(NamedTuple):
    """How a training ended; the model holds the best weights."""

    steps: int
    best_step: int
    best_metrics: dict[str, float]
    units: int


@dataclass
class _Progress:
    """What a checkpoint's state.json holds."""

    step: int = 0
    units: int = 0
    best_step: int = -1
    best_metrics: dict[str, float] | None = None
    evals_without_gain: int = 0

    def take_evaluation(self, metrics: dict[str, float], job: TrainingJob) -> bool:
        """Record an evaluation; return whether it is the best so far."""
        if self.best_metrics and _rank(metrics, job) <= _rank(self.best_metrics, job):
            self.evals_without_gain += 1
            return False
        self.best_step, self.best_metrics, self.evals_without_gain = self.step, metrics, 0
        return True

    def is_finished(self, job: TrainingJob) -> bool:
        """Say whether the last step is done, or early stopping ends the training."""
        return self.step >= job.schedule.num_steps or 0 < job.patience <= self.evals_without_gain


def _rank(metrics: dict[str, float], job: TrainingJob) -> tuple[float, float]:
    """Rank an evaluation by the monitored figure; of two that tie, the one with the lower loss is better."""
    return (metrics[job.monitor] if job.larger_is_better else -metrics[job.monitor], -metrics["loss"])


def choose_precision(precision: Precision) -> str:
    """Resolve `auto`: bf16 where it is computed in hardware, else full precision."""
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    has_bf16 = (
        torch.cpu._is_avx512_bf16_supported() if hasattr(torch.cpu, "_is_avx512_bf16_supported") else False
    )
    return "bf16" if has_bf16 else "no"


def build_accelerator(precision: Precision) -> Accelerator:
    """Return an Accelerator; one process may use several precisions one after the other."""
    resolved = choose_precision(precision)
    if AcceleratorState._shared_state and AcceleratorState().mixed_precision != resolved:
        AcceleratorState._reset_state()
    return Accelerator(mixed_precision=resolved)


def build_optimizer(model: nn.Module, settings: LoopSettings) -> torch.optim.AdamW:
    """Return AdamW with two groups for each layer group: matrices with weight decay, the rest without."""
    groups = []
    for layer_group in model.layer_groups():  # type: ignore[operator]
        for decayed in (True, False):
            parameters = [parameter for parameter in layer_group if (parameter.ndim > 1) == decayed]
            groups.append({"params": parameters, "weight_decay": settings.weight_decay if decayed else 0.0})
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, settings.adam_beta2), eps=1e-8, fused=True)


def set_rates(optimizer: torch.optim.Optimizer, schedule: PhasedSchedule, step: int) -> None:
    """Set rates and momentum for a step, and freeze the layer groups that do not learn yet."""
    rates = schedule.compute_rates(step, num_groups=len(optimizer.param_groups) // 2)
    for index, group in enumerate(optimizer.param_groups):
        rate = rates[index // 2]
        group["lr"] = rate.learning_rate
        group["betas"] = (rate.momentum, group["betas"][1])
        for parameter in group["params"]:
            parameter.requires_grad_(rate.trained)


def run_training(
    job: TrainingJob,
    *,
    model: nn.Module,
    run_folder: Path,
    settings: LoopSettings,
    seed: int,
    reporter: Reporter,
) -> TrainingOutcome:
    """Train `model` in place, from the newest checkpoint in `run_folder` if there is one.

    Raises:
        TrainingError: the loss is not finite.
    """
    accelerator = build_accelerator(settings.precision)
    optimizer = build_optimizer(model, settings)
    prepared, optimizer = accelerator.prepare(model, optimizer)
    progress = _Progress()
    carry: Carry = None
    if checkpoint := find_checkpoint(run_folder):
        carry, state = load_checkpoint(checkpoint, model=model, optimizer=optimizer.optimizer)
        progress = _Progress(**state)
        reporter.note(f"  {job.title}: going on from step {progress.step} of {job.schedule.num_steps}")
    log = _TrainingLog(run_folder / "training_log.jsonl", after_step=progress.step)
    with reporter.task(job.title, total=job.schedule.num_steps) as task:
        while not progress.is_finished(job):
            carry, loss = _take_step(job, progress, prepared, optimizer, accelerator, carry, settings, seed)
            if progress.step % settings.log_every_steps == 0:
                log.write_step(progress, loss, optimizer.param_groups[-1]["lr"], task)
            if progress.step % job.eval_every_steps == 0 or progress.step == job.schedule.num_steps:
                prepared.eval()
                with torch.no_grad():
                    metrics = job.evaluate(prepared)
                if progress.take_evaluation(metrics, job):
                    save_checkpoint(
                        run_folder / "best", model=model, optimizer=None, carry=None, state=vars(progress)
                    )
                log.write_evaluation(progress.step, metrics)
            if progress.step % settings.checkpoint_every_steps == 0 or progress.is_finished(job):
                save_checkpoint(
                    run_folder / f"checkpoint-{progress.step}",
                    model=model,
                    optimizer=optimizer.optimizer,
                    carry=carry,
                    state=vars(progress),
                )
                rotate_checkpoints(run_folder, keep=settings.keep_checkpoints)
    accelerator.unwrap_model(prepared, keep_fp32_wrapper=False)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    _load_best(run_folder, model)
    return TrainingOutcome(progress.step, progress.best_step, progress.best_metrics or {}, progress.units)


def _take_step(
    job: TrainingJob,
    progress: _Progress,
    model: nn.Module,
    optimizer: Any,
    accelerator: Accelerator,
    carry: Carry,
    settings: LoopSettings,
    seed: int,
) -> tuple[Carry, float]:
    model.train()
    set_rates(optimizer, job.schedule, progress.step)
    torch.manual_seed(mix_seed(seed, progress.step))
    step_input = job.build_input(progress.step)
    inputs = {name: tensor.to(accelerator.device) for name, tensor in step_input.inputs.items()}
    state = {"state": carry if step_input.keeps_carry else None} if job.stateful else {}
    output = model(**inputs, **state)
    loss = output.loss.item()
    if not math.isfinite(loss):
        raise TrainingError(
            found=f"a loss of {loss} at step {progress.step} of {job.title}",
            expected="a finite loss",
            remedy="set a lower learning_rate, or max_grad_norm; the last good checkpoint is kept",
        )
    accelerator.backward(output.loss)
    norm = float(accelerator.clip_grad_norm_(model.parameters(), settings.max_grad_norm))
    if not math.isfinite(norm):
        raise TrainingError(
            found=f"a gradient of norm {norm} at step {progress.step} of {job.title}",
            expected="a finite gradient",
            remedy="set a lower learning_rate; the last good checkpoint is kept",
        )
    optimizer.step()
    optimizer.zero_grad()
    progress.step += 1
    progress.units += step_input.units
    new_carry = (
        tuple(tuple(part.detach() for part in layer) for layer in output.state) if job.stateful else None
    )
    return new_carry, loss


def _load_best(run_folder: Path, model: nn.Module) -> None:
    if damage := find_damage(run_folder / "best"):
        raise TrainingError(
            found=f"a damaged folder of best weights ({damage})",
            expected="the weights that the training chose",
            remedy=f"remove {run_folder.name} and train again",
        )
    load_parameters(run_folder / "best", model)


def _read_step(line: str) -> float:
    """Return the step of a log line; infinity if the line was not written to its end."""
    try:
        return float(json.loads(line)["step"])
    except ValueError:
        return math.inf


class _TrainingLog:
    """`training_log.jsonl`: a JSON line for each logged step or evaluation; those of a lost stretch go."""

    def __init__(self, path: Path, *, after_step: int) -> None:
        self.path = path
        kept = []
        if path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if _read_step(line) <= after_step]
        path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        self.last: tuple[float, int | None] = (time.monotonic(), None)

    def write_step(self, progress: _Progress, loss: float, learning_rate: float, task: Task) -> None:
        now_s = time.monotonic()
        last_s, last_units = self.last
        rate = None if last_units is None else round((progress.units - last_units) / (now_s - last_s))
        self.last = (now_s, progress.units)
        record = {"step": progress.step, "loss": loss, "learning_rate": learning_rate}
        self._append({**record, "units": progress.units, "units_per_s": rate})
        best = "" if progress.best_metrics is None else f"  best at step {progress.best_step}"
        task.update(progress.step, f"loss {loss:.3f}  {rate or 0:,}/s{best}")

    def write_evaluation(self, step: int, metrics: dict[str, float]) -> None:
        self._append({"step": step, "evaluation": metrics})

    def _append(self, record: dict[str, Any]) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
