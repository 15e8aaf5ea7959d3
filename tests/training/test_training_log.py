import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator

from genolm.progress import Task
from genolm.training import training_log
from genolm.training.hardware.accelerator import build_accelerator
from genolm.training.training_log import StepFigures, TrainingLog

CPU = torch.device("cpu")
LINE_20 = '{"step": 20, "loss": 1.5}\n'
EVALUATION_40 = '{"step": 40, "evaluation": {"loss": 1.25}}\n'


class Clock:
    """Time that stands still until it is set."""

    now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


class Shown(Task):
    def __init__(self) -> None:
        self.updates: list[tuple[int, str]] = []

    def update(self, completed: int, text: str = "") -> None:
        self.updates.append((completed, text))


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(training_log, "time", SimpleNamespace(monotonic=clock.monotonic))
    monkeypatch.setattr(training_log, "read_peak_memory_bytes", lambda _: 912_000_000)
    return clock


def build_log(path: Path, **changes) -> TrainingLog:
    settings = {
        "after_step": 0,
        "num_steps": 100,
        "bases_per_token": 2.0,
        "is_language_model": True,
        "device": CPU,
    }
    return TrainingLog(path, **{**settings, **changes})


def make_figures(step: int, **changes) -> StepFigures:
    figures = StepFigures(step, loss=2 * math.log(4), learning_rate=0.01, grad_norm=0.5, tokens=step * 1000)
    return figures._replace(**changes)


def read_log(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_step_holds_the_facts_first_and_then_the_speed(tmp_path, clock):
    """A uniform model over two bases a token: 2 ln 4 nats, 2 bits a base. 20,000 tokens in 8 s."""
    path = tmp_path / "log.jsonl"
    log = build_log(path, flops_per_token=1e6, peak_flops=1e10)
    clock.now_s += 3
    log.write_step(make_figures(20), Task(), best_step=None)
    clock.now_s += 8
    log.write_step(make_figures(40), Task(), best_step=None)
    facts = {"loss": 2 * math.log(4), "bits_per_base": 2.0, "learning_rate": 0.01, "grad_norm": 0.5}
    assert read_log(path) == [
        {
            "step": 20,
            **facts,
            "tokens": 20_000,
            "speed": {"elapsed_s": 3.0, "peak_memory_bytes": 912_000_000},
        },
        {
            "step": 40,
            **facts,
            "tokens": 40_000,
            "speed": {
                "tokens_per_s": 2500.0,
                "bases_per_s": 5000.0,
                "flop_utilization": 0.25,
                "elapsed_s": 11.0,
                "peak_memory_bytes": 912_000_000,
            },
        },
    ]
    expected = ["step", "loss", "bits_per_base", "learning_rate", "grad_norm", "tokens", "speed"]
    assert [list(record) for record in read_log(path)] == [expected, expected]


def test_a_classifier_has_no_bits_and_an_unknown_processor_no_utilization(tmp_path, clock):
    path, shown = tmp_path / "log.jsonl", Shown()
    log = build_log(path, is_language_model=False, flops_per_token=1e6)
    for step in (20, 40):
        clock.now_s += 1
        log.write_step(make_figures(step, loss=0.693), shown, best_step=None)
    record = read_log(path)[1]
    assert "bits_per_base" not in record
    assert list(record["speed"]) == ["tokens_per_s", "bases_per_s", "elapsed_s", "peak_memory_bytes"]
    assert shown.updates == [(20, "loss 0.693  0.9 GB"), (40, "loss 0.693  20.0k tok/s  0.9 GB")]


def test_the_text_beside_the_bar(tmp_path, clock):
    shown = Shown()
    log = build_log(tmp_path / "log.jsonl", flops_per_token=1e6, peak_flops=3e10)
    log.write_step(make_figures(20, loss=2.7441), shown, best_step=None)
    clock.now_s += 2
    log.write_step(make_figures(40, loss=2.7441, tokens=44_690), shown, best_step=20)
    assert shown.updates == [
        (20, "loss 2.744  1.98 bits  0.9 GB"),
        (40, "loss 2.744  1.98 bits  12.3k tok/s  41 % FLOP  0.9 GB  best at 20"),
    ]


def test_two_steps_at_the_same_moment_have_no_rate(tmp_path, clock):
    log = build_log(tmp_path / "log.jsonl")
    log.write_step(make_figures(1), Task(), best_step=None)
    log.write_step(make_figures(2), Task(), best_step=0)
    assert "tokens_per_s" not in read_log(tmp_path / "log.jsonl")[1]["speed"]


def test_real_time_and_memory_are_measured(tmp_path):
    log = build_log(tmp_path / "log.jsonl")
    for step in (1, 2):
        log.write_step(make_figures(step), Task(), best_step=None)
    first, second = (record["speed"] for record in read_log(tmp_path / "log.jsonl"))
    assert 0 <= first["elapsed_s"] < second["elapsed_s"] < 60
    assert second["tokens_per_s"] > 1000 / 60
    assert 10_000_000 < second["peak_memory_bytes"] < 1e12


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_null_so_that_every_reader_takes_the_line(value, tmp_path):
    log = build_log(tmp_path / "log.jsonl")
    log.write_step(make_figures(1, grad_norm=value), Task(), best_step=None)
    log.write_evaluation(1, {"loss": value, "auroc": 0.5})
    step, evaluation = read_log(tmp_path / "log.jsonl")
    assert step["grad_norm"] is None
    assert evaluation == {"step": 1, "evaluation": {"loss": None, "auroc": 0.5}}


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        (LINE_20 + EVALUATION_40 + '{"step": 60, "loss": 1.0}\n', LINE_20 + EVALUATION_40),
        (LINE_20 + '{"step": 60, "evaluation": {"loss": 1.0}}\n' + EVALUATION_40, LINE_20 + EVALUATION_40),
        (LINE_20 + '{"step": 40, "lo', LINE_20),
        (LINE_20 + '{"step": 40, "evaluation": {"loss": 1.0}', LINE_20),
        (LINE_20 + EVALUATION_40.rstrip("\n"), LINE_20 + EVALUATION_40),
        (LINE_20 + "\0" * 30, LINE_20),
        (LINE_20 + "\n7\nnull\n[]\n{}\n" + '{"step": null}\n' + EVALUATION_40, LINE_20 + EVALUATION_40),
        ('{"step": 41}\n', ""),
    ],
)
def test_lines_of_a_lost_stretch_and_broken_ones_go(found, kept, tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(found)
    log = build_log(path, after_step=40)
    assert path.read_text() == kept
    log.write_evaluation(60, {"loss": 0.5})
    assert path.read_text() == kept + '{"step": 60, "evaluation": {"loss": 0.5}}\n'
    assert list(tmp_path.iterdir()) == [path]


def test_bytes_that_are_no_text_do_not_stop_a_training(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(LINE_20.encode() + b'{"step": 30, "loss\xff\xfe')
    build_log(path, after_step=40)
    assert path.read_text() == LINE_20


def test_a_log_that_is_whole_is_not_written_anew(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(LINE_20 + EVALUATION_40)
    before = path.stat()
    build_log(path, after_step=40)
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_new_log_is_an_empty_file(tmp_path):
    build_log(tmp_path / "log.jsonl")
    assert (tmp_path / "log.jsonl").read_bytes() == b""


def test_a_resumed_log_agrees_in_all_but_the_speed(tmp_path):
    def write(path: Path, first: int, last: int) -> None:
        log = build_log(path, after_step=first)
        for step in range(first + 20, last + 1, 20):
            log.write_step(make_figures(step), Task(), best_step=None)
            log.write_evaluation(step, {"loss": 1 / step})

    write(tmp_path / "whole.jsonl", 0, 120)
    write(tmp_path / "broken.jsonl", 0, 80)
    write(tmp_path / "broken.jsonl", 40, 120)
    whole, broken = (
        [record | {"speed": None} for record in read_log(tmp_path / f"{name}.jsonl")]
        for name in ("whole", "broken")
    )
    assert broken == whole
    assert len(whole) == 12


def test_the_other_processes_write_and_show_nothing(tmp_path):
    path, shown, received = tmp_path / "log.jsonl", Shown(), []
    path.write_text(LINE_20 + "broken")
    log = build_log(path, is_main=False, write_to=[lambda values, step: received.append(step)])
    log.write_step(make_figures(40), shown, best_step=None)
    log.write_evaluation(40, {"loss": 1.0})
    assert path.read_text() == LINE_20 + "broken"
    assert (shown.updates, received) == ([], [])


def test_flat_figures_are_handed_on_with_the_step(tmp_path, clock):
    received: list[tuple[dict, int]] = []
    both = [lambda values, step: received.append((values, step))] * 2
    log = build_log(tmp_path / "log.jsonl", write_to=both)
    log.write_step(make_figures(20), Task(), best_step=None)
    log.write_evaluation(20, {"loss": 1.25, "auroc": None})
    step = {
        "train/loss": 2 * math.log(4),
        "train/bits_per_base": 2.0,
        "train/learning_rate": 0.01,
        "train/grad_norm": 0.5,
        "train/tokens": 20_000,
        "speed/elapsed_s": 0.0,
        "speed/peak_memory_bytes": 912_000_000,
    }
    assert received == [(step, 20)] * 2 + [({"evaluation/loss": 1.25}, 20)] * 2


def test_the_figures_arrive_in_a_real_tracker(tmp_path):
    pytest.importorskip("tensorboard", reason="needs tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    build_accelerator("no")  # whatever precision another test has left in this process
    accelerator = Accelerator(mixed_precision="no", log_with="tensorboard", project_dir=tmp_path)
    accelerator.init_trackers("run")
    log = build_log(
        tmp_path / "log.jsonl", write_to=[lambda values, step: accelerator.log(values, step=step)]
    )
    for step in (20, 40):
        log.write_step(make_figures(step, loss=1 / step), Task(), best_step=None)
        log.write_evaluation(step, {"auroc": step / 100})
    accelerator.end_training()
    events = EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {
        *(f"train/{name}" for name in ("loss", "bits_per_base", "learning_rate", "grad_norm", "tokens")),
        *(f"speed/{name}" for name in ("tokens_per_s", "bases_per_s", "elapsed_s", "peak_memory_bytes")),
        "evaluation/auroc",
    }
    assert [(event.step, event.value) for event in events.Scalars("evaluation/auroc")] == [
        (20, pytest.approx(0.2)),
        (40, pytest.approx(0.4)),
    ]
    assert [event.value for event in events.Scalars("train/loss")] == pytest.approx([0.05, 0.025])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_is_not_hidden(tmp_path):
    log = build_log(tmp_path / "log.jsonl")
    (tmp_path / "log.jsonl").unlink()
    (tmp_path / "log.jsonl").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        log.write_step(make_figures(1), Task(), best_step=None)
    with pytest.raises(OSError, match="No space left on device"):
        log.write_evaluation(1, {"loss": 1.0})
