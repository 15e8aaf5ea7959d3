"""Several processes do what one does; if one dies the others end, and the run goes on with more or fewer."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from training_processes import (
    BATCH_SIZE,
    NUM_STEPS,
    NUM_TRAIN,
    STREAM,
    Ending,
    Order,
    TrainingRun,
    are_gone,
    build_cli_orders,
    build_inputs,
    finish_order,
    list_steps,
    read_ending,
    read_last_step,
    read_losses,
    run_order,
    wait_until,
)

PAUSE_S = 0.01
ROOT = Path(__file__).parents[2]
STAGES = ("pretrain_causal", "pretrain_masked", "finetune")
each_stage = pytest.mark.parametrize("stage", STAGES)


@pytest.fixture(scope="module")
def inputs(small_genome, tmp_path_factory) -> Path:
    return build_inputs(tmp_path_factory.mktemp("inputs"), small_genome.path)


@pytest.fixture(scope="module")
def without_dropout(inputs, tmp_path_factory) -> dict[str, Ending]:
    """The end of an undisturbed run of one process, for each stage."""
    folder = tmp_path_factory.mktemp("one")
    return {
        stage: finish_order(Order(stage=stage, inputs=inputs, output=folder / stage, dropout=0.0))
        for stage in STAGES
    }


def assert_same_curve(found: Ending, expected: Ending) -> None:
    """See to it that losses, figures of the held-out splits and counts agree within rounding."""
    assert len(read_losses(found.log)) == NUM_STEPS
    assert read_losses(found.log) == pytest.approx(read_losses(expected.log), abs=1e-5)
    for name in ("tokens", "learning_rate"):
        values = [[record[name] for record in ending.log if name in record] for ending in (found, expected)]
        assert values[0] == values[1]
    evaluations = [
        [record for record in ending.log if "evaluation" in record] for ending in (found, expected)
    ]
    assert flatten(evaluations[0]) == pytest.approx(flatten(evaluations[1]), rel=1e-6, abs=1e-5)
    assert flatten(found.metrics) == pytest.approx(flatten(expected.metrics), rel=1e-6, abs=1e-5)


def flatten(value: object, name: str = "") -> dict[str, object]:
    """Name every number of nested figures."""
    if isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        return {key: leaf for place, part in parts for key, leaf in flatten(part, f"{name}/{place}").items()}
    return {name: value}


def kill_rank(order: Order, *, rank: int, step: int) -> float:
    """Kill one of two processes once a step is logged; return the seconds until the other has ended."""
    with TrainingRun(order, ranks=2) as run:
        run.wait_for_step(step)
        run.signal(signal.SIGKILL, rank=rank)
        killed_s = time.monotonic()
        outcomes = run.end()
        elapsed_s = time.monotonic() - killed_s
    survivor = outcomes[1 - rank]
    assert outcomes[rank].exit_code == -signal.SIGKILL
    assert (survivor.exit_code, survivor.error) == (5, "TrainingError"), survivor
    assert "another process of the run gone" in survivor.text
    assert "goes on from the last checkpoint" in survivor.text
    assert max(list_steps(order.output)) in (step // 5 * 5, step // 5 * 5 + 5)
    return elapsed_s


@each_stage
def test_one_of_two_processes_is_killed_and_the_weights_are_the_same(stage, inputs, tmp_path):
    undisturbed = Order(stage=stage, inputs=inputs, output=tmp_path / "undisturbed")
    expected = finish_order(undisturbed, ranks=2)
    assert expected.metrics["best_step"] > NUM_STEPS // 2, "the weights are those of a late step"
    killed = replace(undisturbed, output=tmp_path / "killed", pause_s=PAUSE_S)
    for rank, step, workers in ((1, 13, 0), (0, 31, 1)):
        assert kill_rank(replace(killed, workers=workers), rank=rank, step=step) < 15.0
    found = finish_order(replace(killed, pause_s=0.0), ranks=2)
    assert found == expected


@each_stage
def test_two_processes_have_the_loss_curve_of_one(stage, inputs, without_dropout, tmp_path):
    assert STREAM.lanes % 2 == 1, "one process has a lane more"
    assert NUM_TRAIN % BATCH_SIZE == 1, "one process has no row in the last batch of an epoch"
    order = Order(stage=stage, inputs=inputs, output=tmp_path / "two", dropout=0.0)
    found = finish_order(order, ranks=2)
    assert_same_curve(found, without_dropout[stage])


@each_stage
def test_with_dropout_two_processes_have_the_curve_of_one_given_the_same_micro_batches(
    stage, inputs, tmp_path
):
    one = Order(stage=stage, inputs=inputs, output=tmp_path / "one", micro_batch_rows=2)  # of 7 and of 5
    assert_same_curve(finish_order(replace(one, output=tmp_path / "two"), ranks=2), finish_order(one))


@each_stage
def test_a_run_goes_on_on_two_processes_and_then_on_one(stage, inputs, without_dropout, tmp_path):
    order = Order(stage=stage, inputs=inputs, output=tmp_path / "run", dropout=0.0, pause_s=PAUSE_S)
    notes = []
    for ranks, step in ((1, 12), (2, 32)):
        with TrainingRun(order, ranks=ranks) as run:
            run.wait_for_step(step)
            for rank in range(ranks):
                run.signal(signal.SIGKILL, rank=rank)
            notes += run.end()[0].notes
    with TrainingRun(replace(order, pause_s=0.0)) as run:
        outcome = run.end()[0]
    assert outcome.exit_code == 0, outcome
    notes += outcome.notes
    moved = [note.split(", ")[1] for note in notes if "going on from" in note]
    assert moved == ["on 2 processes instead of 1", "on 1 process instead of 2"], notes
    assert_same_curve(read_ending(order.output), without_dropout[stage])


def test_every_held_out_example_counts_once_on_any_number_of_processes(inputs, without_dropout, tmp_path):
    metrics = without_dropout["finetune"].metrics
    assert (metrics["validation"]["n"], metrics["test"]["n"]) == (13, 11), "which 2 and 3 do not divide"
    for stage, names in (("finetune", ("auroc", "accuracy", "n")), ("pretrain_causal", ("loss", "bases"))):
        order = Order(stage=stage, inputs=inputs, output=tmp_path / stage, dropout=0.0)
        three = finish_order(order, ranks=3).metrics
        for split in ("validation", "test"):
            found, expected = three[split], without_dropout[stage].metrics[split]
            assert {name: found[name] for name in names} == pytest.approx(
                {name: expected[name] for name in names}, abs=1e-6
            )


@pytest.mark.slow
def test_under_accelerate_launch_a_killed_process_ends_the_others_and_the_run_goes_on(inputs, tmp_path):
    through, killed = build_cli_orders(inputs, tmp_path, "through", "killed")
    expected = finish_order(through, ranks=2)
    config, script = ROOT / "scripts/accelerate/two_processes_cpu.yaml", ROOT / "scripts/finetune.py"
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config), str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with open(tmp_path / "printed.txt", "w") as printed:
        launcher = subprocess.Popen(
            [*command, *killed.arguments], env=environment, stdout=printed, stderr=printed
        )
        wait_until(lambda: read_last_step(killed.output) >= 25 or launcher.poll() is not None)
        family = psutil.Process(launcher.pid).children(recursive=True)
        next(process for process in family if process.environ().get("RANK") == "1").kill()
        assert launcher.wait(timeout=60) != 0
    wait_until(lambda: are_gone(family), timeout_s=30.0)
    assert list_steps(killed.output), (tmp_path / "printed.txt").read_text()
    assert not (killed.output / "metrics.json").exists()
    again = run_order(killed, ranks=2)
    assert [outcome.exit_code for outcome in again] == [0, 0], again
    assert "going on from step" in again[0].printed
    assert read_ending(killed.output) == expected
