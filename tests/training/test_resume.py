"""A run that is broken off anywhere and started again ends with the same weights, bit for bit."""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from warm_processes import CONTEXT

import genolm.training.loop as loop
from genolm.models import AwdLstmConfig, AwdLstmForCausalLM, AwdLstmForSequenceClassification
from genolm.progress import Reporter
from genolm.tokenization.scheme import KmerScheme
from genolm.training.job import LoopSettings, TrainingJob, TrainingOutcome
from genolm.training.loop import run_training
from genolm.training.micro_batches import Batches, StepInput
from genolm.training.schedules import PhasedSchedule, PhaseSettings
from genolm.training.sequence_batches import SequenceBatches
from genolm.training.token_stream import TokenStream, TokenStreamSettings

NUM_STEPS = 12
SCHEME = KmerScheme(k=2, stride=1)
CONFIG = {"vocab_size": 21, "embedding_size": 6, "lstm_size": 8, "num_layers": 2, "kmer_k": 2}
OnStep = Callable[[int], None]


class BrokenOffError(Exception):
    """Stands for whatever ends a process."""


def do_nothing(step: int) -> None:
    pass


def build_lm_job() -> tuple[nn.Module, TrainingJob]:
    """A stateful language model over several short epochs of a stream."""
    codes = np.random.default_rng(0).integers(4, size=160).astype(np.uint8)
    stream = TokenStream(
        codes,
        np.array([0, len(codes)]),
        scheme=SCHEME,
        settings=TokenStreamSettings(lanes=3, bptt_tokens=20, document_bp=100),
        seed=1,
    )
    starts = [step for step in range(NUM_STEPS) if not stream.build_input(step, slice(0, 3)).keeps_carry]
    assert 1 < len(starts) < NUM_STEPS - 2, "some steps carry the state on, and some drop it"

    held_out = stream.build_input(0, slice(0, 3)).inputs

    def evaluate(model: nn.Module) -> dict[str, float]:
        return {"loss": model(**held_out).loss.item()}

    schedule = PhasedSchedule(
        (PhaseSettings(epochs=1, learning_rate=0.02),), NUM_STEPS, "one_cycle", group_factor=1.0
    )
    torch.manual_seed(0)
    model = AwdLstmForCausalLM(AwdLstmConfig(**CONFIG))
    return model, TrainingJob(
        title="lm",
        batches=stream,
        schedule=schedule,
        evaluate=evaluate,
        monitor="loss",
        larger_is_better=False,
        eval_every_steps=4,
        patience=0,
        stateful=True,
    )


def build_classifier_job() -> tuple[nn.Module, TrainingJob]:
    """A classifier that is unfrozen in phases; the best evaluation is not the last one."""
    generator = np.random.default_rng(0)
    token_ids = [
        np.concatenate([[2], generator.integers(5, 21, size=length), [3]]) for length in range(4, 15)
    ]
    batches = SequenceBatches(token_ids, batch_size=4, seed=1, labels=np.arange(11) % 2)
    assert batches.steps_per_epoch * 4 == NUM_STEPS
    phases = (
        PhaseSettings(epochs=1, learning_rate=0.05, trained_groups=1),
        PhaseSettings(epochs=1, learning_rate=0.02, trained_groups=3),
        PhaseSettings(epochs=2, learning_rate=0.05),
    )
    held_out = batches.build_input(0, slice(0, 4)).inputs

    def evaluate(model: nn.Module) -> dict[str, float]:
        return {"loss": model(**held_out).loss.item()}

    torch.manual_seed(0)
    model = AwdLstmForSequenceClassification(AwdLstmConfig(**CONFIG))
    return model, TrainingJob(
        title="classifier",
        batches=batches,
        schedule=PhasedSchedule(phases, batches.steps_per_epoch, "slanted_triangular", group_factor=2.6),
        evaluate=evaluate,
        monitor="loss",
        larger_is_better=True,  # so that an early evaluation wins
        eval_every_steps=3,
        patience=0,
    )


class WatchedBatches:
    """Calls `on_step` before the input of each step is made."""

    def __init__(self, batches: Batches, on_step: OnStep) -> None:
        self.batches, self.on_step = batches, on_step

    def __getattr__(self, name: str) -> object:
        return getattr(self.batches, name)

    def build_input(self, step: int, rows: slice) -> StepInput:
        self.on_step(step)
        return self.batches.build_input(step, rows)


JOBS = {"lm": build_lm_job, "classifier": build_classifier_job}
both_jobs = pytest.mark.parametrize("name", JOBS)


def run(
    name: str, folder: Path, *, on_step: OnStep = do_nothing, reporter: Reporter | None = None
) -> tuple[TrainingOutcome, dict[str, Tensor]]:
    """Run a job in a folder, or go on with it; `on_step` is called before each step."""
    model, job = JOBS[name]()
    job = replace(job, batches=WatchedBatches(job.batches, on_step))
    folder.mkdir(exist_ok=True)
    outcome = run_training(
        job,
        model=model,
        run_folder=folder,
        settings=LoopSettings(precision="no", checkpoint_every_steps=5, log_every_steps=1),
        seed=7,
        reporter=reporter or Reporter(),
    )
    return outcome, model.state_dict()


def run_and_die(name: str, folder: Path, step: int) -> None:
    """Run a job, and SIGKILL this very process before a step."""
    torch.set_num_threads(1)
    run(
        name,
        folder,
        on_step=lambda current: os.kill(os.getpid(), signal.SIGKILL) if current == step else None,
    )


def break_off_at(step: int) -> OnStep:
    def on_step(current: int) -> None:
        if current == step:
            raise BrokenOffError(f"broken off before step {step}")

    return on_step


def read_log(folder: Path) -> list[dict]:
    records = [json.loads(line) for line in (folder / "training_log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in record.items() if key != "speed"} for record in records]


def assert_same_end(found: tuple, expected: tuple) -> None:
    assert found[0] == expected[0]
    assert found[1].keys() == expected[1].keys()
    for name, tensor in expected[1].items():
        assert torch.equal(found[1][name], tensor), name


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """A killed process loses nothing that it has written; only a power cut needs fsync."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The end and the log of each job that ran through."""
    ends = {}
    for name in JOBS:
        folder = tmp_path_factory.mktemp(name)
        ends[name] = (run(name, folder), read_log(folder))
    return ends


@both_jobs
def test_the_same_command_twice_gives_the_same_weights(name, uninterrupted, tmp_path):
    assert_same_end(run(name, tmp_path), uninterrupted[name][0])
    torch.manual_seed(7)
    start, _ = JOBS[name]()
    assert any(
        not torch.equal(tensor, uninterrupted[name][0][1][key]) for key, tensor in start.state_dict().items()
    )


@both_jobs
@pytest.mark.parametrize("step", range(NUM_STEPS))
def test_broken_off_before_any_step(name, step, uninterrupted, tmp_path):
    with pytest.raises(BrokenOffError, match="before step"):
        run(name, tmp_path, on_step=break_off_at(step))
    first_steps = []
    found = run(name, tmp_path, on_step=first_steps.append)
    assert first_steps[0] == step // 5 * 5, "nothing is replayed before the checkpoint"
    assert_same_end(found, uninterrupted[name][0])
    assert read_log(tmp_path) == uninterrupted[name][1]


@both_jobs
def test_broken_off_again_and_again(name, uninterrupted, tmp_path):
    for step in (3, 6, 6, 11, 10, 11):
        with pytest.raises(BrokenOffError, match="before step"):
            run(name, tmp_path, on_step=break_off_at(step))
    assert_same_end(run(name, tmp_path), uninterrupted[name][0])
    assert read_log(tmp_path) == uninterrupted[name][1]


@both_jobs
@pytest.mark.parametrize("after_writing", [False, True])
@pytest.mark.parametrize("index", range(4))
def test_broken_off_around_any_save(name, index, after_writing, uninterrupted, tmp_path, monkeypatch):
    saves, save_checkpoint = [], loop.save_checkpoint

    def broken_save(folder: Path, *parts, **more) -> None:
        saves.append(folder.name)
        if len(saves) <= index:
            save_checkpoint(folder, *parts, **more)
            return
        if after_writing:
            save_checkpoint(folder, *parts, **more)
        raise BrokenOffError("broken off at a save")

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", broken_save)
        with pytest.raises(BrokenOffError, match="at a save"):
            run(name, tmp_path)
    assert_same_end(run(name, tmp_path), uninterrupted[name][0])
    assert read_log(tmp_path) == uninterrupted[name][1]


@both_jobs
def test_a_finished_run_is_not_trained_again(name, uninterrupted, tmp_path):
    run(name, tmp_path)
    assert_same_end(run(name, tmp_path, on_step=break_off_at(0)), uninterrupted[name][0])


@both_jobs
def test_a_damaged_newest_checkpoint_costs_steps_and_changes_nothing(name, uninterrupted, tmp_path, caplog):
    with pytest.raises(BrokenOffError, match="before step"):
        run(name, tmp_path, on_step=break_off_at(11))
    path = tmp_path / "checkpoint-10" / "optimizer.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))
    first_steps = []
    assert_same_end(run(name, tmp_path, on_step=first_steps.append), uninterrupted[name][0])
    assert first_steps[0] == 5
    assert caplog.messages == [
        "checkpoint-10 is damaged (optimizer.safetensors does not have its sha256): skipped"
    ]
    assert read_log(tmp_path) == uninterrupted[name][1]


@pytest.mark.parametrize("line", ['{"step": 8, "lo', '{"step": 8, "evaluation": {"loss": 1.0}'])
def test_a_log_line_that_was_not_written_to_its_end_is_dropped(line, uninterrupted, tmp_path):
    with pytest.raises(BrokenOffError, match="before step"):
        run("lm", tmp_path, on_step=break_off_at(7))
    with open(tmp_path / "training_log.jsonl", "a") as file:
        file.write(line)
    assert_same_end(run("lm", tmp_path), uninterrupted["lm"][0])
    assert read_log(tmp_path) == uninterrupted["lm"][1]


def test_it_is_said_where_a_run_goes_on(tmp_path):
    class Notes(Reporter):
        def __init__(self) -> None:
            self.texts = []

        def note(self, text: str) -> None:
            self.texts.append(text)

    with pytest.raises(BrokenOffError, match="before step"):
        run("lm", tmp_path, on_step=break_off_at(8))
    reporter = Notes()
    run("lm", tmp_path, reporter=reporter)
    assert reporter.texts == ["  lm: going on from step 5 of 12"]


def test_a_process_that_is_killed_goes_on_in_another(uninterrupted, tmp_path):
    process = CONTEXT.Process(target=run_and_die, args=("lm", tmp_path, 8))
    process.start()
    process.join(timeout=60)
    assert process.exitcode == -signal.SIGKILL
    assert (tmp_path / "checkpoint-5").is_dir()
    assert_same_end(run("lm", tmp_path), uninterrupted["lm"][0])
    assert read_log(tmp_path) == uninterrupted["lm"][1]
