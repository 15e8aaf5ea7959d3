import json
import math
import os
from collections.abc import Callable

import psutil
import pytest
import torch
from small_jobs import FixedBatches

from genolm.models import AwdLstmConfig, AwdLstmForCausalLM
from genolm.progress import Reporter
from genolm.training.hardware.auto_batch import (
    USABLE_SHARE,
    find_memory_limit_bytes,
    find_micro_batch_rows,
    read_used_memory_bytes,
)
from genolm.training.job import LoopSettings, TrainingJob
from genolm.training.loop import run_training
from genolm.training.schedules import PhasedSchedule, PhaseSettings

CPU = torch.device("cpu")


class Memory:
    """A machine whose memory follows a curve; it notes what was tried, and remembers its peak."""

    def __init__(
        self, need: Callable[[int], float], *, floor: float = 0, fails_from: float = math.inf
    ) -> None:
        self.need, self.peak, self.fails_from = need, max(floor, need(0)), fails_from
        self.tried: list[int] = []

    def try_rows(self, rows: int) -> None:
        self.tried.append(rows)
        if rows >= self.fails_from:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.peak = max(self.peak, self.need(rows))

    def find(self, *, limit: float, max_rows: int = 10**6, **kwargs) -> int:
        return find_micro_batch_rows(
            self.try_rows,
            max_rows=max_rows,
            limit_bytes=int(limit),
            read_peak_bytes=lambda: int(self.peak),
            used_bytes=int(self.need(0)),
            **kwargs,
        )


def linear(base: float, per_row: float, *, per_pass: float = 0) -> Callable[[int], float]:
    """Return a curve of memory: gradients, `per_pass`, are there as soon as anything is passed."""
    return lambda rows: base + per_row * rows + (per_pass if rows else 0)


@pytest.mark.parametrize("per_row", [1e6, 7e6, 30e6, 300e6, 700e6])
@pytest.mark.parametrize("per_pass", [0, 50e6])
@pytest.mark.parametrize("limit", [2e9, 16e9])
def test_on_a_line_nothing_beyond_the_limit_is_tried_and_half_of_the_best_is_found(per_row, per_pass, limit):
    memory = Memory(linear(500e6, per_row, per_pass=per_pass))
    found = memory.find(limit=limit)
    best = (limit - 500e6 - per_pass) // per_row
    assert max(memory.need(rows) for rows in memory.tried) <= limit
    assert best / 2 <= found <= best
    assert found == memory.tried[-1], "all that was tried is used"
    assert memory.tried == [2**power for power in range(len(memory.tried))]


@pytest.mark.parametrize("floor", [600e6, 1e9, 1.2e9])
@pytest.mark.parametrize("per_row", [1e6, 7e6, 30e6, 300e6])
def test_a_peak_of_before_hides_small_sizes_and_misleads_nobody(floor, per_row):
    memory = Memory(linear(500e6, per_row), floor=floor)
    found = memory.find(limit=2e9)
    assert max(memory.need(rows) for rows in memory.tried) <= 2e9
    assert found >= (2e9 - 500e6) // per_row / 2


@pytest.mark.parametrize("floor", [1.3e9, 1.9e9, 2.5e9])
def test_under_a_peak_close_to_the_limit_it_stops_early_rather_than_too_late(floor):
    memory = Memory(linear(500e6, 130e6), floor=floor)
    memory.find(limit=2e9)
    assert max(memory.need(rows) for rows in memory.tried) <= 2e9


@pytest.mark.parametrize(("max_rows", "tried"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_where_memory_is_plenty_all_rows_are_taken(max_rows, tried):
    memory = Memory(linear(0, 1))
    assert memory.find(limit=1e9, max_rows=max_rows) == max_rows
    assert memory.tried == tried


@pytest.mark.parametrize(("fails_from", "found"), [(1, 1), (2, 1), (3, 2), (9, 8)])
def test_a_size_that_fails_all_the_same_ends_the_search(fails_from, found):
    memory = Memory(linear(0, 1), fails_from=fails_from)
    assert memory.find(limit=1e9) == found
    assert sum(rows >= fails_from for rows in memory.tried) == 1


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), ValueError("of another kind")])
def test_another_error_is_not_taken_for_a_lack_of_memory(error):
    def fail(rows: int) -> None:
        raise error

    with pytest.raises(type(error), match=str(error)):
        find_micro_batch_rows(fail, max_rows=4, limit_bytes=1, read_peak_bytes=lambda: 0)


def test_what_will_be_needed_later_is_kept_free():
    need = linear(0, 100)
    assert Memory(need).find(limit=1600) == 16
    assert Memory(need).find(limit=1600, later_bytes=1) == 8
    assert Memory(need).find(limit=1600, later_bytes=1300) == 2


def test_a_curve_that_grows_ever_slower_is_safe_too():
    memory = Memory(lambda rows: 1e9 * math.sqrt(rows))
    found = memory.find(limit=10e9)
    assert max(memory.need(rows) for rows in memory.tried) <= 10e9
    assert found >= 32


def test_the_limit_is_a_share_of_what_is_free_and_of_what_is_held(monkeypatch):
    monkeypatch.setattr("genolm.training.hardware.auto_batch.read_memory_limit", lambda: None)
    monkeypatch.setattr("genolm.training.hardware.auto_batch.read_used_memory_bytes", lambda device: 10**9)
    virtual = psutil.virtual_memory()._replace(available=8 * 10**9)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: virtual)
    assert find_memory_limit_bytes(CPU) == int(USABLE_SHARE * 9e9)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert find_memory_limit_bytes(CPU) == int(USABLE_SHARE * 3e9)


def test_the_limit_of_a_container_counts(monkeypatch):
    from genolm.training.hardware.machine import MemoryLimit

    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    limit = MemoryLimit(2 * 10**9, 10**6)
    monkeypatch.setattr("genolm.training.hardware.auto_batch.read_memory_limit", lambda: limit)
    assert find_memory_limit_bytes(CPU) == pytest.approx(
        USABLE_SHARE * (10**6 + read_used_memory_bytes(CPU)), rel=0.05
    )


def test_what_is_held_now_is_the_memory_of_this_process():
    before = read_used_memory_bytes(CPU)
    held = bytearray(os.urandom(1 << 20) * 64)
    assert read_used_memory_bytes(CPU) - before > 0.9 * len(held)
    assert before > 50e6, "torch alone is more"


def test_a_real_training_finds_a_size_keeps_it_and_uses_it(tmp_path):
    class Notes(Reporter):
        def __init__(self) -> None:
            self.texts: list[str] = []

        def note(self, text: str) -> None:
            self.texts.append(text)

    ids = torch.randint(5, 69, (12, 20), generator=torch.Generator().manual_seed(0))

    def train(folder, **settings) -> tuple[AwdLstmForCausalLM, list[str]]:
        folder.mkdir(exist_ok=True)
        torch.manual_seed(0)
        model = AwdLstmForCausalLM(AwdLstmConfig(embedding_size=8, lstm_size=12, num_layers=1))
        for name in ("embedding", "input", "hidden", "weight", "output"):
            setattr(model.config, f"{name}_dropout", 0.0)
        phases = (PhaseSettings(epochs=1, learning_rate=0.01),)
        job = TrainingJob(
            title="small",
            batches=FixedBatches(lambda step: {"input_ids": ids, "labels": ids}, rows=12),
            schedule=PhasedSchedule(phases=phases, steps_per_epoch=3, schedule="constant", group_factor=1.0),
            evaluate=lambda current: {"loss": current(input_ids=ids, labels=ids).loss.item()},
            monitor="loss",
            larger_is_better=False,
            eval_every_steps=3,
            patience=0,
        )
        notes = Notes()
        loop = LoopSettings(precision="no", **settings)
        run_training(job, model=model, run_folder=folder, settings=loop, seed=0, reporter=notes)
        return model, notes.texts

    plain, _ = train(tmp_path / "plain")
    found, notes = train(tmp_path / "auto", auto_batch=True)
    assert notes == ["  small: micro-batches of 12 rows fit into memory"]
    assert json.loads((tmp_path / "auto" / "micro_batch.json").read_text()) == {"wanted": "auto", "rows": 12}
    for parameter, expected in zip(found.parameters(), plain.parameters(), strict=True):
        assert torch.equal(parameter, expected), "the search left no trace"
