#!/usr/bin/env python3
"""What genolm's training loop costs beside a bare loop in torch, and what a checkpoint costs.

    python scripts/benchmarks/training_loop.py [--steps 60] [--pairs 7]

Both loops train the same AWD-LSTM on the same batches, with the same optimizer, precision and clipping, in
turns in one process; the ratio is that of the medians, by wall clock and by CPU time (which other work on the
machine disturbs less).
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from genolm.models import AwdLstmConfig, AwdLstmForCausalLM
from genolm.progress import Reporter
from genolm.tokenization.scheme import KmerScheme
from genolm.training.hardware.precision import choose_precision
from genolm.training.job import LoopSettings, TrainingJob
from genolm.training.loop import run_training
from genolm.training.micro_batches import StepInput
from genolm.training.optimizer import build_optimizer
from genolm.training.persistence.checkpoints import find_damage, save_checkpoint, take_snapshot
from genolm.training.schedules import PhasedSchedule, PhaseSettings
from genolm.training.token_stream import TokenStream, TokenStreamSettings

SIZES = {
    "quickstart": {"embedding_size": 128, "lstm_size": 384, "num_layers": 2},
    "Merity et al. 2017": {"embedding_size": 400, "lstm_size": 1152, "num_layers": 3},
}
WARM_UP_STEPS = 5


class Cost(NamedTuple):
    """Time of one step."""

    wall_s: float
    cpu_s: float


class ReadyBatches:
    """Batches made before the clock starts; it notes the time at every step."""

    def __init__(self, steps: list[StepInput]) -> None:
        self.steps, self.marks = steps, {}

    def count_rows(self, step: int) -> int:
        return len(self.steps[0].inputs["input_ids"])

    def build_input(self, step: int, rows: slice) -> StepInput:
        self.marks[step] = (time.perf_counter(), time.process_time())
        return self.steps[step]

    def build_largest(self, num_rows: int) -> StepInput:
        return self.steps[0]

    def name_rows(self, step: int, rows: slice) -> list[str]:
        return []

    def measure(self) -> Cost:
        first, last = WARM_UP_STEPS, len(self.steps) - 1
        return Cost(
            *((b - a) / (last - first) for a, b in zip(self.marks[first], self.marks[last], strict=True))
        )


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--pairs", type=int, default=7)
    options = parser.parse_args()
    print(
        f"{torch.get_num_threads()} threads, precision {choose_precision('auto')}, torch {torch.__version__}"
    )
    steps = make_steps(options.steps)
    costs: dict[str, list[Cost]] = {"bare": [], "genolm": []}
    for _ in range(options.pairs):
        costs["bare"].append(run_bare(steps))
        costs["genolm"].append(run_genolm(steps))
    medians = {
        name: Cost(*(statistics.median(values) for values in zip(*found, strict=True)))
        for name, found in costs.items()
    }
    for name, cost in medians.items():
        print(f"{name:8} {1e3 * cost.wall_s:7.2f} ms a step by the wall, {1e3 * cost.cpu_s:7.2f} ms of CPU")
    ratios = [medians["genolm"][index] / medians["bare"][index] for index in (0, 1)]
    print(f"genolm / bare: {ratios[0]:.3f} by the wall, {ratios[1]:.3f} of CPU ({options.pairs} pairs)")
    for name, size in SIZES.items():
        print_checkpoint_cost(name, AwdLstmForCausalLM(AwdLstmConfig(**size)), medians["genolm"].wall_s)


def make_steps(num_steps: int) -> list[StepInput]:
    """Return steps of 64 lanes of 70 tokens, random bases."""
    codes = np.random.default_rng(0).integers(4, size=1_000_000).astype(np.uint8)
    settings = TokenStreamSettings(lanes=64, bptt_tokens=70, vary_bptt=False)
    stream = TokenStream(
        codes, np.array([0, len(codes)]), scheme=KmerScheme(k=3, stride=1), settings=settings, seed=0
    )
    return [stream.build_input(step, slice(0, 64)) for step in range(num_steps)]


def build_model() -> AwdLstmForCausalLM:
    """Return the network of the quickstart, with the same weights each time."""
    torch.manual_seed(0)
    return AwdLstmForCausalLM(AwdLstmConfig(**SIZES["quickstart"]))


def run_bare(steps: list[StepInput]) -> Cost:
    """Train as one would by hand."""
    model, batches = build_model().train(), ReadyBatches(steps)
    optimizer = build_optimizer(model, weight_decay=0.01, beta2=0.99)
    for group in optimizer.param_groups:
        group["lr"] = 5e-3
    is_bf16, state = choose_precision("auto") == "bf16", None
    for step in range(len(steps)):
        inputs = batches.build_input(step, slice(0, 64)).inputs
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_bf16):
            output = model(**inputs, state=state)
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        state = tuple(tuple(part.detach() for part in layer) for layer in output.state)
    return batches.measure()


def run_genolm(steps: list[StepInput]) -> Cost:
    """Train with the loop; it logs every 20 steps, and saves after the last one, which is not counted."""
    batches = ReadyBatches(steps)
    job = TrainingJob(
        title="benchmark",
        batches=batches,
        schedule=PhasedSchedule(
            (PhaseSettings(epochs=1, learning_rate=5e-3),), len(steps), "constant", group_factor=1.0
        ),
        evaluate=lambda model: {"loss": 0.0},
        monitor="loss",
        larger_is_better=False,
        eval_every_steps=len(steps),
        patience=0,
        stateful=True,
        is_language_model=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        run_training(
            job,
            model=build_model(),
            run_folder=Path(folder),
            settings=LoopSettings(checkpoint_every_steps=10 * len(steps)),
            seed=0,
            reporter=Reporter(),
        )
    return batches.measure()


def print_checkpoint_cost(name: str, model: AwdLstmForCausalLM, step_s: float) -> None:
    """Print how long a checkpoint with AdamW's moments takes to write, and to verify."""
    optimizer = build_optimizer(model, weight_decay=0.01, beta2=0.99)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint-1"

        def write() -> None:
            save_checkpoint(path, take_snapshot(model, optimizer=optimizer), state={"step": 1})

        write_s, verify_s = time_median(write), time_median(lambda: find_damage(path))
        size = sum(file.stat().st_size for file in path.iterdir())
    steps = f", {write_s / step_s:.1f} steps' time" if name == "quickstart" else ""
    print(
        f"checkpoint, {name}: {size / 1e6:.1f} MB, "
        f"{write_s:.3f} s to write{steps}, {verify_s:.3f} s to verify"
    )


def time_median(work: Callable[[], object], *, repeats: int = 5) -> float:
    """Return the median duration of a call, in seconds."""
    durations_s = []
    for _ in range(repeats):
        start_s = time.perf_counter()
        work()
        durations_s.append(time.perf_counter() - start_s)
    return statistics.median(durations_s)


if __name__ == "__main__":
    main()
