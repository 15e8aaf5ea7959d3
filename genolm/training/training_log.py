"""`training_log.jsonl` and the text beside the progress bar: what a person sees of a training."""

import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from genolm.files import write_text
from genolm.progress import Task
from genolm.training.hardware.throughput import read_peak_memory_bytes

FigureWriter = Callable[[dict[str, float], int], None]
"""Takes flat figures, such as train/loss, and the step they belong to"""


class StepFigures(NamedTuple):
    """What is logged of a step; an undisturbed and a resumed run agree in all of it."""

    step: int
    loss: float
    """mean since the last logged step, in nats"""
    learning_rate: float
    grad_norm: float
    tokens: int
    """seen since step 0, by all processes"""


class TrainingLog:
    """Appends a JSON line for each logged step and evaluation, and shows the step beside the bar.

    A line of a step holds what must be equal in a resumed and an undisturbed run, then `speed`, which is not.
    A number that is not finite is null in the file. Rates are over the time since the last logged step, with
    the evaluations and checkpoints in it. An OSError, such as that of a full disk, goes to the caller.
    """

    def __init__(
        self,
        path: Path,
        *,
        after_step: int,
        num_steps: int,
        bases_per_token: float,
        is_language_model: bool,
        flops_per_token: float = 0.0,
        peak_flops: float | None = None,
        device: torch.device,
        write_to: Sequence[FigureWriter] = (),
        is_main: bool = True,
    ) -> None:
        """Drop the lines of a lost stretch from an existing log, or begin one.

        Args:
            path: of training_log.jsonl.
            after_step: lines up to this step are kept; later and half-written ones go.
            num_steps: of the whole training.
            bases_per_token: new bases that a token stands for.
            is_language_model: whether the loss is one of tokens, so that bits per base mean something.
            flops_per_token: as `estimate_flops_per_token` gives it.
            peak_flops: operations per second of the hardware of all processes together, if known.
            device: whose memory is watched.
            write_to: also take the figures, such as `accelerator.log`.
            is_main: whether this process writes; in the others the log does nothing.
        """
        self._path, self._num_steps, self._device = path, num_steps, device
        self._bases_per_token, self._is_language_model = bases_per_token, is_language_model
        self._flops_per_token, self._peak_flops = flops_per_token, peak_flops
        self._write_to, self._is_main = tuple(write_to), is_main
        self._started_s = time.monotonic()
        self._last: tuple[float, int] | None = None
        if is_main:
            _drop_lines(path, after_step=after_step)

    def write_step(self, figures: StepFigures, task: Task, *, best_step: int | None) -> None:
        """Append a logged step and show it; `best_step` is that of the best evaluation so far."""
        if not self._is_main:
            return
        record: dict[str, float] = {"step": figures.step, "loss": figures.loss}
        if self._is_language_model:
            record["bits_per_base"] = figures.loss / (self._bases_per_token * math.log(2))
        record |= {"learning_rate": figures.learning_rate, "grad_norm": figures.grad_norm}
        record["tokens"] = figures.tokens
        speed = self._measure_speed(figures.tokens)
        self._append({**record, "speed": speed})
        task.update(min(figures.step, self._num_steps), _build_text(record, speed, best_step=best_step))
        train = {name: value for name, value in record.items() if name != "step"}
        self._hand_on(figures.step, train=train, speed=speed)

    def write_evaluation(self, step: int, metrics: dict[str, float]) -> None:
        """Append an evaluation."""
        if not self._is_main:
            return
        self._append({"step": step, "evaluation": metrics})
        self._hand_on(step, evaluation=metrics)

    def _measure_speed(self, tokens: int) -> dict[str, float]:
        now_s = time.monotonic()
        speed: dict[str, float] = {}
        if self._last is not None and now_s > self._last[0]:
            tokens_per_s = (tokens - self._last[1]) / (now_s - self._last[0])
            speed = {"tokens_per_s": tokens_per_s, "bases_per_s": tokens_per_s * self._bases_per_token}
            if self._peak_flops and self._flops_per_token:
                speed["flop_utilization"] = tokens_per_s * self._flops_per_token / self._peak_flops
        self._last = (now_s, tokens)
        speed["elapsed_s"] = now_s - self._started_s
        return speed | {"peak_memory_bytes": read_peak_memory_bytes(self._device)}

    def _append(self, record: dict[str, Any]) -> None:
        line = json.dumps(_without_infinities(record), allow_nan=False)
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(line + "\n")

    def _hand_on(self, step: int, **groups: dict[str, float]) -> None:
        flat = {
            f"{group}/{name}": value
            for group, figures in groups.items()
            for name, value in figures.items()
            if value is not None  # a metric that needs an absent class
        }
        for write in self._write_to:
            write(flat, step)


def _drop_lines(path: Path, *, after_step: int) -> None:
    """Keep whole lines up to a step; the file is written anew only if that changes it."""
    found = path.read_bytes().decode("utf-8", "replace") if path.is_file() else None
    lines = (found or "").split("\n")
    kept = "".join(line + "\n" for line in lines if _read_step(line) <= after_step)
    if kept != found:
        write_text(path, kept)


def _read_step(line: str) -> float:
    """Return the step of a log line; infinity if the line was not written to its end.

    >>> _read_step('{"step": 20, "loss": 1.5}'), _read_step('{"step": 40, "lo')
    (20.0, inf)
    """
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf


def _without_infinities(value: Any) -> Any:
    """Replace what JSON has no number for with None.

    >>> _without_infinities({"loss": math.nan, "speed": {"elapsed_s": 2.5}})
    {'loss': None, 'speed': {'elapsed_s': 2.5}}
    """
    if isinstance(value, dict):
        return {name: _without_infinities(part) for name, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _build_text(record: dict[str, float], speed: dict[str, float], *, best_step: int | None) -> str:
    """Build the short text of a step.

    >>> record, speed = {"loss": 1.3722, "bits_per_base": 1.9797}, {"tokens_per_s": 12300.0}
    >>> _build_text(record, speed | {"peak_memory_bytes": 9e8}, best_step=80)
    'loss 1.372  1.98 bits  12.3k tok/s  0.9 GB  best at 80'
    """
    parts = [f"loss {record['loss']:.3f}"]
    if "bits_per_base" in record:
        parts.append(f"{record['bits_per_base']:.2f} bits")
    if "tokens_per_s" in speed:
        parts.append(f"{_format_count(speed['tokens_per_s'])} tok/s")
    if "flop_utilization" in speed:
        parts.append(f"{100 * speed['flop_utilization']:.0f} % FLOP")
    parts.append(f"{speed['peak_memory_bytes'] / 1e9:.1f} GB")
    if best_step is not None:
        parts.append(f"best at {best_step}")
    return "  ".join(parts)


def _format_count(value: float) -> str:
    """Write a count with about three digits.

    >>> [_format_count(value) for value in (0.25, 7.5, 850.4, 12_345, 999_960, 3_400_000)]
    ['0.2', '7.5', '850', '12.3k', '1.0M', '3.4M']
    """
    if value < 10:
        return f"{value:.1f}"
    if value < 999.5:
        return f"{value:.0f}"
    return f"{value / 1e3:.1f}k" if value < 999_950 else f"{value / 1e6:.1f}M"
