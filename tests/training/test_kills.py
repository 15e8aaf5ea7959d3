"""SIGKILL at random moments, in every stage: the run that went on ends as the undisturbed one did."""

import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
import torch
from training_processes import (
    NUM_STEPS,
    STAGES,
    Order,
    TrainingRun,
    are_gone,
    build_inputs,
    finish_order,
    list_steps,
    read_last_step,
    read_log,
    read_losses,
    wait_until,
)

SEED = 5
PAUSE_S = 0.01  # more for each step, so that kills land within
WORKERS = (0, 2, 1, 0, 2)
CHECKPOINT_EVERY_STEPS = (5, 3, 7, 4, 6)
TRAINED = f"checkpoint-{NUM_STEPS}"


@pytest.fixture(scope="module")
def inputs(small_genome, tmp_path_factory) -> Path:
    return build_inputs(tmp_path_factory.mktemp("inputs"), small_genome.path)


def draw_moments(*, seed: int) -> list[tuple[int, float]]:
    """Four moments at random, one in each quarter of the steps: a step, and a time after it, in seconds."""
    generator = random.Random(seed)
    return [
        (int((quarter + generator.random()) * NUM_STEPS / 4), generator.random() * 2 * PAUSE_S)
        for quarter in range(4)
    ]


def name_place(folder: Path) -> str:
    """Say how far a killed run had come."""
    if (folder / "metrics.json").is_file():
        return "finished"
    if (folder / TRAINED).is_dir():
        return "scoring"
    return "middle" if list_steps(folder) else "beginning"


class Kill(NamedTuple):
    """Where a run was when it was killed, and the loader workers that it had."""

    place: str
    workers: list[psutil.Process]


def kill_after(order: Order, wait: Callable[[TrainingRun], None]) -> Kill:
    """Start a run, and kill it when the waiting is over; it may have come to its end just before."""
    with TrainingRun(order) as run:
        run.wait_for_start()
        wait(run)
        workers = []
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            workers = psutil.Process(run.pids[0]).children(recursive=True)
            run.signal(signal.SIGKILL)
        outcome = run.end()[0]
    assert outcome.exit_code in (-signal.SIGKILL, 0), outcome
    return Kill(name_place(order.output), workers)


def wait_for_moment(moment: tuple[int, float], run: TrainingRun) -> None:
    step, delay_s = moment
    run.wait_until(lambda: read_last_step(run.order.output) >= step)
    time.sleep(delay_s)


def kill_again_and_again(order: Order, *, seed: int) -> list[Kill]:
    """Kill a run four times at random, and once more behind its last step."""
    kills = []
    attempts = zip(draw_moments(seed=seed), WORKERS[:4], CHECKPOINT_EVERY_STEPS[:4], strict=True)
    for moment, workers, every in attempts:
        attempt = replace(order, workers=workers, checkpoint_every_steps=every)
        kills.append(kill_after(attempt, partial(wait_for_moment, moment)))
    last = replace(order, workers=WORKERS[4], checkpoint_every_steps=CHECKPOINT_EVERY_STEPS[4])
    kills.append(kill_after(last, lambda run: run.wait_until((order.output / TRAINED).is_dir)))
    return kills


@pytest.mark.parametrize("stage", STAGES)
def test_killed_four_times_at_random_the_run_ends_with_the_same_bits(stage, inputs, tmp_path):
    undisturbed = Order(
        stage=stage, inputs=inputs, output=tmp_path / "undisturbed", pause_s=PAUSE_S, is_quick=False
    )
    expected = finish_order(undisturbed)
    assert expected.metrics["best_step"] > NUM_STEPS // 2, "the weights are those of a late step"

    seed = SEED + STAGES.index(stage)
    killed = replace(undisturbed, output=tmp_path / "killed")
    kills = kill_again_and_again(killed, seed=seed)
    places = [kill.place for kill in kills]
    found = finish_order(replace(killed, workers=2, pause_s=0.0, is_quick=True))

    where = f"seed {seed}, killed in {places}"
    assert found.weights_sha256 == expected.weights_sha256, where
    assert found.metrics == expected.metrics, where
    assert found.log == expected.log, where
    assert [record["step"] for record in found.log if "loss" in record] == list(range(1, NUM_STEPS + 1))
    assert places.count("middle") >= 2, where
    assert places[4] in ("scoring", "finished"), where
    # A worker looks every 5 s whether its parent is there.
    workers = [worker for kill in kills for worker in kill.workers]
    assert len(workers) >= 3, where
    wait_until(lambda: are_gone(workers), timeout_s=30.0)


def test_dropout_and_order_matter_to_the_weights(inputs, tmp_path):
    order = Order(stage="finetune", inputs=inputs, output=tmp_path / "dropout")
    plain = replace(order, output=tmp_path / "plain", dropout=0.0)
    assert finish_order(order).weights_sha256 != finish_order(plain).weights_sha256


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("stage", STAGES)
def test_killed_on_a_gpu_in_bf16_the_losses_agree_within_rounding(stage, inputs, tmp_path):
    undisturbed = Order(
        stage=stage,
        inputs=inputs,
        output=tmp_path / "undisturbed",
        pause_s=PAUSE_S,
        precision="bf16",
        is_quick=False,
    )
    finish_order(undisturbed)
    killed = replace(undisturbed, output=tmp_path / "killed")
    places = [kill.place for kill in kill_again_and_again(killed, seed=SEED)]
    finish_order(replace(killed, workers=2))
    where = f"seed {SEED}, killed in {places}"
    expected, found = (read_losses(read_log(order.output)) for order in (undisturbed, killed))
    assert len(found) == len(expected) == NUM_STEPS, where
    assert found == pytest.approx(expected, abs=2e-3), where
    assert places.count("middle") >= 2, where
