"""Faults around a training, done to real processes: each has its message, and nothing is lost."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from safetensors.torch import load_file
from training_processes import (
    BATCH_SIZE,
    NUM_STEPS,
    Ending,
    Order,
    Outcome,
    TrainingRun,
    are_gone,
    build_cli_orders,
    build_inputs,
    fill_disk,
    finish_order,
    list_steps,
    make_data,
    read_ending,
    read_last_step,
    run_order,
    wait_until,
)

from genolm.training.persistence.checkpoints import find_damage

PAUSE_S = 0.02


class Undisturbed(NamedTuple):
    """An order, and how it ends if nothing happens."""

    order: Order
    ending: Ending


@pytest.fixture(scope="module")
def inputs(small_genome, tmp_path_factory) -> Path:
    return build_inputs(tmp_path_factory.mktemp("inputs"), small_genome.path)


@pytest.fixture(scope="module")
def classifier(inputs, tmp_path_factory) -> Undisturbed:
    order = Order(stage="finetune", inputs=inputs, output=tmp_path_factory.mktemp("classifier") / "run")
    return Undisturbed(order, finish_order(order))


@pytest.fixture(scope="module")
def genome_lm(inputs, tmp_path_factory) -> Undisturbed:
    order = Order(stage="pretrain_causal", inputs=inputs, output=tmp_path_factory.mktemp("lm") / "run")
    return Undisturbed(order, finish_order(order))


@pytest.fixture(scope="module")
def two_ranks(inputs, tmp_path_factory) -> Undisturbed:
    order = Order(stage="finetune", inputs=inputs, output=tmp_path_factory.mktemp("two") / "run")
    return Undisturbed(order, finish_order(order, ranks=2))


def go_on(order: Order, expected: Undisturbed, *, ranks: int = 1) -> list[str]:
    """Give the same order again, with nothing in the way; return the main process's notes."""
    clean = replace(expected.order, output=order.output)
    outcomes = run_order(clean, ranks=ranks)
    assert [outcome.exit_code for outcome in outcomes] == [0] * ranks, outcomes
    assert read_ending(order.output) == expected.ending
    return outcomes[0].notes


def find_workers(run: TrainingRun) -> list[psutil.Process]:
    return psutil.Process(run.pids[0]).children(recursive=True)


# Signals


@pytest.mark.parametrize(
    ("stage", "name", "step", "workers"),
    [("genome_lm", "SIGTERM", 12, 2), ("classifier", "SIGINT", 23, 1), ("genome_lm", "SIGUSR1", 3, 0)],
)
def test_a_signal_saves_the_very_step_and_ends_with_exit_code_75(
    stage, name, step, workers, request, tmp_path
):
    undisturbed = request.getfixturevalue(stage)
    order = replace(undisturbed.order, output=tmp_path / "run", workers=workers, pause_s=PAUSE_S)
    with TrainingRun(order) as run:
        run.wait_for_step(step)
        family = find_workers(run)
        assert len(family) == workers
        os.killpg(run.pids[0], signal.Signals[name])  # with its loader workers, as Ctrl-C in a terminal does
        outcome = run.end(timeout_s=30)[0]
    last_step = read_last_step(order.output)
    assert (outcome.exit_code, outcome.error) == (75, "StoppedError"), outcome
    assert f"found {name} at step {last_step} of" in outcome.text
    assert outcome.text.endswith(f"goes on from checkpoint-{last_step}")
    assert max(list_steps(order.output)) == last_step < NUM_STEPS
    assert are_gone(family)
    notes = go_on(order, undisturbed)
    assert re.search(f"going on from step {last_step} of {NUM_STEPS}$", notes[0]), notes


def test_a_signal_to_one_of_two_processes_stops_both_at_one_step(two_ranks, tmp_path):
    order = replace(two_ranks.order, output=tmp_path / "run", workers=1, pause_s=PAUSE_S)
    with TrainingRun(order, ranks=2) as run:
        run.wait_for_step(12)
        run.signal(signal.SIGTERM, rank=1)
        outcomes = run.end()
    assert [outcome.exit_code for outcome in outcomes] == [75, 75], outcomes
    assert outcomes[0].text == outcomes[1].text
    assert f"found SIGTERM at step {max(list_steps(order.output))} of" in outcomes[0].text
    go_on(order, two_ranks, ranks=2)


def test_the_second_ctrl_c_leaves_a_long_step_at_once(classifier, tmp_path):
    order = replace(classifier.order, output=tmp_path / "run", pause_s=60.0, workers=1)
    with TrainingRun(order) as run:
        run.wait_for_start()
        time.sleep(0.5)
        family = find_workers(run)
        run.signal(signal.SIGINT)
        time.sleep(0.3)
        assert run.is_alive(), "the first one waits for the end of the step"
        run.signal(signal.SIGINT)
        outcome = run.end(timeout_s=30)[0]
    assert (outcome.exit_code, outcome.error) == (130, "KeyboardInterrupt"), outcome
    assert are_gone(family)
    go_on(order, classifier)


# Damaged checkpoints


@pytest.fixture(scope="module")
def broken_off(classifier, tmp_path_factory) -> Path:
    """A run killed between its checkpoints 30 and 35; it was evaluated at 10, 20 and 30."""
    order = replace(classifier.order, output=tmp_path_factory.mktemp("broken") / "run")
    assert run_order(replace(order, killed_step=32))[0].exit_code == -signal.SIGKILL
    names = {path.name for path in order.output.iterdir() if path.is_dir() and path.name[0] != "."}
    assert names == {"checkpoint-25", "checkpoint-30", "best-20", "best-30"}
    return order.output


def flip_bit(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(bytes(data))


def truncate(folder: Path, name: str) -> None:
    os.truncate(folder / name, (folder / name).stat().st_size // 2)


def remove(folder: Path, name: str) -> None:
    (folder / name).unlink()


def empty(folder: Path, name: str) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def remove_folder(folder: Path, name: str) -> None:
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("damage", "folder", "file", "message"),
    [
        (flip_bit, "checkpoint-30", "model.safetensors", "model.safetensors does not have its sha256"),
        (flip_bit, "checkpoint-30", "state.json", "state.json does not have its sha256"),
        (
            truncate,
            "checkpoint-30",
            "optimizer.safetensors",
            "optimizer.safetensors does not have its sha256",
        ),
        (truncate, "checkpoint-30", "manifest.json", "manifest.json is not JSON"),
        (remove, "checkpoint-30", "optimizer.safetensors", "optimizer.safetensors is missing"),
        (remove, "checkpoint-30", "manifest.json", "no manifest.json"),
        (empty, "checkpoint-30", "", "no manifest.json"),
        (
            flip_bit,
            "best-30",
            "model.safetensors",
            "its best weights, best-30: model.safetensors does not have",
        ),
        (remove_folder, "best-30", "", "its best weights, best-30: it is missing"),
    ],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    damage, folder, file, message, broken_off, classifier, tmp_path
):
    shutil.copytree(broken_off, tmp_path / "run")
    damage(tmp_path / "run" / folder, file)
    outcome = run_order(replace(classifier.order, output=tmp_path / "run"))[0]
    assert f"checkpoint-30 is damaged ({message}" in outcome.printed
    assert outcome.notes[0].endswith(f"going on from step 25 of {NUM_STEPS}")
    assert read_ending(tmp_path / "run") == classifier.ending


def test_with_no_good_checkpoint_it_begins_anew_and_says_why(broken_off, classifier, tmp_path):
    shutil.copytree(broken_off, tmp_path / "run")
    truncate(tmp_path / "run" / "checkpoint-25", "model.safetensors")
    empty(tmp_path / "run" / "checkpoint-30", "")
    outcome = run_order(replace(classifier.order, output=tmp_path / "run"))[0]
    assert [line for line in outcome.printed.splitlines() if "damaged" in line] == [
        "checkpoint-30 is damaged (no manifest.json): skipped",
        "checkpoint-25 is damaged (model.safetensors does not have its sha256): skipped",
    ]
    assert not any("going on" in note for note in outcome.notes)
    assert read_ending(tmp_path / "run") == classifier.ending


# A full disk


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A disk of 6 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if not mount or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a tmpfs cannot be mounted here (that takes root)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize(
    ("free_bytes", "is_disk_checked", "message"),
    [
        (300_000, True, r"found 0\.\d MB free .*; expected 1\.\d MB for (checkpoint|best)-\d+; make room"),
        (8_192, False, "found a full disk while writing to .*; expected room for .*; make room"),
        (0, False, "found a full disk while writing to .*; expected room for .*; make room"),
    ],
    ids=["told before", "told while a checkpoint is written", "told while the log is written"],
)
def test_a_disk_that_fills_up_costs_nothing_that_was_saved(
    free_bytes, is_disk_checked, message, genome_lm, small_disk
):
    order = replace(genome_lm.order, output=small_disk / "run", is_disk_checked=is_disk_checked)
    outcome = run_order(replace(order, full_disk_step=13, free_bytes=free_bytes))[0]
    assert (outcome.exit_code, outcome.error) == (74, "StorageError"), outcome
    assert re.search(message, outcome.text), outcome.text
    assert outcome.text.endswith("then give the same command again: it goes on from the last checkpoint")
    steps = list_steps(order.output)
    assert steps
    assert [find_damage(order.output / f"checkpoint-{step}") for step in steps] == [None] * len(steps)
    assert not list(order.output.glob(".tmp-*")), "no half of a checkpoint takes room"
    (small_disk / "filler").unlink()
    notes = go_on(order, genome_lm)
    assert notes[0].endswith(f"going on from step {steps[-1]} of {NUM_STEPS}")


def test_a_disk_that_is_full_from_the_start_is_told_before_the_first_step(classifier, small_disk):
    filler = fill_disk(small_disk, free_bytes=200_000)
    order = replace(classifier.order, output=small_disk / "run")
    outcome = run_order(order)[0]
    assert (outcome.exit_code, outcome.error) == (74, "StorageError"), outcome
    assert re.search(r"found 0\.\d MB free .*; expected 1\.\d MB for the checkpoints", outcome.text)
    assert read_last_step(order.output) == 0
    filler.unlink()
    go_on(order, classifier)


# A loss that is not a number


def check_bad_batch(outcome: Outcome, folder: Path) -> tuple[int, list[str]]:
    """See to it that the error names the batch; return the step and the names of its rows."""
    assert (outcome.exit_code, outcome.error) == (5, "TrainingError"), outcome
    found = re.search(
        r"found a loss of nan at step (\d+) of .* \(batch: (.*) and (\d+) more in bad_batch.json\)",
        outcome.text,
    )
    assert found, outcome.text
    step = int(found[1])
    report = json.loads((folder / "bad_batch.json").read_text())
    assert (report["step"], report["loss"]) == (step, "nan")
    assert found[2].split(", ") == report["rows"][:3]
    assert int(found[3]) == len(report["rows"]) - 3
    assert find_damage(folder / f"checkpoint-{step}") is None
    assert outcome.text.endswith(f"the last good step is checkpoint-{step}")
    return step, report["rows"]


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_sequence_without_a_loss_stops_the_run_and_is_named(ranks, classifier, two_ranks, tmp_path):
    undisturbed = two_ranks if ranks == 2 else classifier
    poisoned = make_data().sequences[7]
    order = replace(undisturbed.order, output=tmp_path / "run", poisoned=poisoned)
    outcomes = run_order(order, ranks=ranks)
    step, names = check_bad_batch(outcomes[0], order.output)
    assert {outcome.text for outcome in outcomes} == {outcomes[0].text}
    assert len(names) == BATCH_SIZE
    assert "record_7" in names
    assert read_last_step(order.output) == step
    again = run_order(order, ranks=ranks)[0]
    assert (again.text, again.exit_code) == (outcomes[0].text, 5), "the same step is the bad one again"
    go_on(order, undisturbed, ranks=ranks)
    assert not (order.output / "bad_batch.json").exists()


def test_the_sequences_of_a_domain_are_named_by_their_place(inputs, tmp_path):
    order = Order(stage="adapt", inputs=inputs, output=tmp_path / "run", poisoned=make_data().sequences[7])
    _, names = check_bad_batch(run_order(order)[0], order.output)
    assert "sequence 7" in names


# Too little memory


@pytest.mark.parametrize("stage", ["finetune", "pretrain_causal"])
def test_out_of_memory_makes_micro_batches_smaller_and_changes_nothing_else(stage, inputs, tmp_path):
    small = Order(stage=stage, inputs=inputs, output=tmp_path / "small", dropout=0.0, micro_batch_rows=2)
    order = replace(small, output=tmp_path / "run", micro_batch_rows=0, max_rows=2, pause_s=PAUSE_S)
    with TrainingRun(order) as run:
        run.wait_for_step(12)
        assert json.loads((order.output / "micro_batch.json").read_text()) == {"wanted": 0, "rows": 2}
        run.signal(signal.SIGKILL)
        first = run.end()[0]
    told = [
        re.search(r"out of memory with .* of (\d) rows at step 0; going on with (\d)", text)
        for text in first.notes
    ]
    rows = {"finetune": [("5", "3"), ("3", "2")], "pretrain_causal": [("7", "4"), ("4", "2")]}[stage]
    assert [found.groups() for found in told if found] == rows, first.notes
    second = run_order(replace(order, pause_s=0.0))[0]
    assert second.exit_code == 0, second
    assert not any("out of memory" in note for note in second.notes), "the size was remembered"

    expected = finish_order(small)
    found = read_ending(order.output)
    assert [record["tokens"] for record in found.log if "tokens" in record] == [
        record["tokens"] for record in expected.log if "tokens" in record
    ]
    weights = [load_file(folder / "model.safetensors") for folder in (order.output, small.output)]
    for name, tensor in weights[1].items():
        assert weights[0][name].numpy() == pytest.approx(tensor.numpy(), abs=1e-6), name


def test_memory_too_short_for_one_row_is_an_error(inputs, classifier, tmp_path):
    order = replace(classifier.order, output=tmp_path / "run", max_rows=-1)
    outcome = run_order(order)[0]
    assert (outcome.exit_code, outcome.error) == (5, "TrainingError"), outcome
    assert "too little memory for a single row at step 0" in outcome.text
    assert "gradient_checkpointing" in outcome.text


def test_two_processes_short_of_memory_stop_and_go_on_with_smaller_micro_batches(inputs, tmp_path):
    small = Order(stage="finetune", inputs=inputs, output=tmp_path / "small", dropout=0.0, micro_batch_rows=2)
    order = replace(small, output=tmp_path / "run", micro_batch_rows=0, max_rows=2, max_rows_rank=0)
    outcomes = run_order(order, ranks=2)
    assert (outcomes[0].exit_code, outcomes[0].error) == (75, "ShortMemoryError"), outcomes
    assert "out of memory with micro-batches of 3 rows at step 0" in outcomes[0].text
    assert "it goes on with 2 rows, and the same global batch" in outcomes[0].text
    assert outcomes[1].exit_code in (5, 75), outcomes[1]
    assert finish_order(order, ranks=2) == finish_order(small, ranks=2)


# Other processes


def test_a_loader_worker_that_dies_is_told_and_the_run_can_go_on(genome_lm, tmp_path):
    order = replace(genome_lm.order, output=tmp_path / "run", workers=2, pause_s=PAUSE_S)
    with TrainingRun(order) as run:
        run.wait_for_step(12)
        family = find_workers(run)
        family[0].kill()
        outcome = run.end(timeout_s=60)[0]
    assert (outcome.exit_code, outcome.error) == (5, "TrainingError"), outcome
    assert "found a loader worker that died" in outcome.text
    assert "loop.workers=0" in outcome.text
    assert are_gone(family)
    assert list_steps(order.output)
    go_on(order, genome_lm)


@pytest.mark.skipif(sys.platform != "linux", reason="torch itself looks for the parent every 5 s")
def test_loader_workers_end_at_once_with_a_killed_training(classifier, tmp_path):
    order = replace(classifier.order, output=tmp_path / "run", workers=2, pause_s=PAUSE_S)
    with TrainingRun(order) as run:
        run.wait_for_step(3)
        family = find_workers(run)
        assert len(family) == 2
        run.signal(signal.SIGKILL)
        run.end()
    wait_until(lambda: are_gone(family), timeout_s=20.0)


def test_two_runs_in_one_folder_are_refused_and_the_first_goes_on(classifier, tmp_path):
    order = replace(classifier.order, output=tmp_path / "run", pause_s=3 * PAUSE_S)
    with TrainingRun(order) as first:
        first.wait_for_step(2)
        second = run_order(order)[0]
        assert first.is_alive()
        assert first.end()[0].exit_code == 0
    assert (second.exit_code, second.error) == (4, "RunFolderError"), second
    assert f"(process {first.pids[0]} on {socket.gethostname()} since 20" in second.text
    assert read_ending(order.output) == classifier.ending
    assert not [path.name for path in order.output.iterdir() if path.name.startswith(".")]


def test_the_lock_of_a_killed_process_is_free(classifier, tmp_path):
    order = replace(classifier.order, output=tmp_path / "run", pause_s=PAUSE_S)
    with TrainingRun(order) as run:
        run.wait_for_step(12)
        assert (order.output / ".run.lock").exists()
        run.signal(signal.SIGKILL)
        run.end()
    go_on(order, classifier)


# The command itself


def test_the_command_ends_with_exit_code_75_and_goes_on(inputs, tmp_path):
    through, stopped = build_cli_orders(inputs, tmp_path, "through", "stopped")
    expected = finish_order(through)
    with TrainingRun(stopped) as run:
        run.wait_until(lambda: read_last_step(stopped.output) >= 5)
        run.signal(signal.SIGTERM)
        outcome = run.end()[0]
    last_step = read_last_step(stopped.output)
    assert outcome.exit_code == 75, outcome
    assert f": found SIGTERM at step {last_step} of classifier" in outcome.printed.splitlines()[-1]
    assert finish_order(stopped) == expected
