import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_jobs import FixedBatches

from genolm.errors import DataError, StorageError, TrainingError
from genolm.training.hardware.ranks import Ranks
from genolm.training.micro_batches import (
    MICRO_BATCH_NAME,
    MicroBatch,
    MicroBatchMemory,
    StepLoader,
    find_largest,
    find_own_rows,
    is_out_of_memory,
    split_step,
)
from genolm.training.stop_signals import STOP_SIGNALS

CPU = torch.device("cpu")
ALONE = Ranks(0, 1, CPU)


def list_ranks(count: int) -> list[Ranks]:
    return [Ranks(index, count, CPU) for index in range(count)]


class NumberedBatches(FixedBatches):
    """The rows of step s hold 100 s + row; a step has 5, 6 or 7 rows. `before` runs first."""

    def __init__(self, before=lambda step: None) -> None:
        super().__init__(lambda step: {"x": torch.arange(100 * step, 100 * step + self.rows)})
        self.before = before

    def count_rows(self, step: int) -> int:
        return 5 + step % 3

    def build_input(self, step: int, rows: slice):
        self.before(step)
        self.rows = self.count_rows(step)
        return super().build_input(step, rows)


def build_loader(before=lambda step: None, *, workers=0, ranks=ALONE, size=2, num_steps=6) -> StepLoader:
    return StepLoader(
        NumberedBatches(before), ranks=ranks, micro_batch_rows=size, num_steps=num_steps, workers=workers
    )


def read_step(micro_batches: list[MicroBatch]) -> list[tuple]:
    return [
        (micro.rows.start, micro.rows.stop, micro.step_input.inputs["x"].tolist(), *micro.step_input[1:])
        for micro in micro_batches
    ]


@given(num_rows=st.integers(0, 60), count=st.integers(1, 9), size=st.integers(0, 20))
def test_every_row_is_in_one_micro_batch_of_one_process(num_rows, count, size):
    parts = [split_step(num_rows, ranks=ranks, micro_batch_rows=size) for ranks in list_ranks(count)]
    rows = [row for part in parts for piece in part for row in range(num_rows)[piece]]
    assert rows == list(range(num_rows)), "in order"
    shares = [sum(piece.stop - piece.start for piece in part) for part in parts]
    assert max(shares) - min(shares) <= (2 * size - 1 if size else 1)
    if size:
        pieces = [piece for part in parts for piece in part]
        assert pieces == split_step(num_rows, ranks=ALONE, micro_batch_rows=size), "as one process cuts it"
    for ranks, part in zip(list_ranks(count), parts, strict=True):
        own = find_own_rows(num_rows, ranks=ranks, micro_batch_rows=size)
        assert [row for piece in part for row in range(num_rows)[piece]] == list(range(num_rows)[own])
        sizes = [piece.stop - piece.start for piece in part]
        assert all(1 <= length <= (size or num_rows) for length in sizes)
        assert len(set(sizes[:-1])) <= 1, "only the last is smaller"
        assert len(sizes) <= 1 or size


def test_zero_means_one_micro_batch_and_some_have_none_where_rows_are_few():
    assert [split_step(2, ranks=ranks, micro_batch_rows=0) for ranks in list_ranks(3)] == [
        [slice(0, 1)],
        [slice(1, 2)],
        [],
    ]
    assert split_step(5, ranks=ALONE, micro_batch_rows=2) == [slice(0, 2), slice(2, 4), slice(4, 5)]


def test_a_process_without_rows_takes_part_with_one_that_does_not_count():
    steps = [next(build_loader(ranks=ranks, size=0).iter_from(0)) for ranks in list_ranks(7)]
    assert [read_step(step) for step in steps[:5]] == [
        [(row, row + 1, [row], 1, 1, False)] for row in range(5)
    ]
    assert [read_step(step) for step in steps[5:]] == 2 * [[(0, 1, [0], 0, 0, False)]]


@pytest.mark.parametrize("first_step", [0, 3, 5, 6])
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_workers_and_the_first_step_do_not_change_what_comes(workers, first_step):
    torch.manual_seed(7)
    expected = [
        [
            (
                start,
                stop,
                list(range(100 * step + start, 100 * step + stop)),
                stop - start,
                stop - start,
                False,
            )
            for start, stop in ((0, 2), (2, 4), (4, 5 + step % 3))[:3]
        ]
        for step in range(first_step, 6)
    ]
    for step in expected:  # 7 rows are four pieces
        if step[-1][1] - step[-1][0] == 3:
            start = step[-1][0]
            ids = step.pop()[2]
            step += [(start, start + 2, ids[:2], 2, 2, False), (start + 2, start + 3, ids[2:], 1, 1, False)]
    found = [read_step(step) for step in build_loader(workers=workers).iter_from(first_step)]
    assert found == expected
    assert torch.initial_seed() == 7
    undisturbed = torch.Generator().manual_seed(7)
    assert torch.equal(torch.rand(3), torch.rand(3, generator=undisturbed)), "dropout's chance is untouched"


def test_the_largest_piece_is_found():
    assert find_largest(next(build_loader(size=3).iter_from(0))) == 3


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "error",
    [
        DataError(found="a broken file", expected="a whole one", remedy="build it again"),
        StorageError(found="no room", expected="room", remedy="make some"),
        TrainingError(found="a DataLoader worker (pid x)", expected="none", remedy="read on"),
    ],
)
def test_an_error_of_the_batches_arrives_with_its_parts(error, workers):
    def fail(step: int) -> None:
        if step == 2:
            raise error

    steps = build_loader(fail, workers=workers).iter_from(0)
    assert [len(next(steps)), len(next(steps))] == [3, 3]
    with pytest.raises(type(error), match=re.escape(str(error))) as caught:
        next(steps)
    assert type(caught.value) is type(error)
    assert (caught.value.found, caught.value.remedy) == (error.found, error.remedy)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("kind", [ValueError, RuntimeError, FileNotFoundError])
def test_an_error_that_is_none_of_ours_keeps_its_type_and_is_no_dead_worker(kind, workers):
    def fail(step: int) -> None:
        raise kind("a plain mistake")

    with pytest.raises(kind, match="a plain mistake") as caught:
        next(build_loader(fail, workers=workers).iter_from(0))
    assert type(caught.value) is kind


def test_a_killed_worker_is_a_clear_error():
    def die(step: int) -> None:
        if step == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(TrainingError, match=r"a loader worker that died .*goes on from the last checkpoint"):
        for _ in build_loader(die, workers=1).iter_from(0):
            pass


def test_workers_leave_stop_signals_to_the_main_process(tmp_path):
    def signal_itself(step: int) -> None:
        (tmp_path / f"{os.getpid()}").touch()
        for number in STOP_SIGNALS:
            os.kill(os.getpid(), number)

    assert len(list(build_loader(signal_itself, workers=2).iter_from(0))) == 6
    assert len(list(tmp_path.iterdir())) == 2
    assert str(os.getpid()) not in {path.name for path in tmp_path.iterdir()}


def test_workers_end_when_nobody_reads_on(tmp_path):
    def note(step: int) -> None:
        (tmp_path / f"{os.getpid()}").touch()

    steps = build_loader(note, workers=2, num_steps=60).iter_from(0)
    next(steps)
    steps.close()
    workers = [int(path.name) for path in tmp_path.iterdir()]
    deadline_s = time.monotonic() + 10
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    assert workers


def test_an_error_that_nobody_catches_ends_the_workers_with_the_process():
    code = (
        "import torch\nfrom small_jobs import FixedBatches\n"
        "from genolm.training.micro_batches import StepLoader\n"
        "from genolm.training.hardware.ranks import Ranks\n"
        "ranks = Ranks(0, 1, torch.device('cpu'))\n"
        "loader = StepLoader(FixedBatches(), ranks=ranks, micro_batch_rows=0, num_steps=60, workers=2)\n"
        "steps = loader.iter_from(0)\n"
        "def run():\n    for step in steps:\n        raise KeyboardInterrupt\n"
        "run()"  # the traceback holds the loader while Python waits for its children
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, timeout=90, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert done.stderr.strip().endswith("KeyboardInterrupt"), done.stderr


def test_a_size_is_remembered_for_as_long_as_the_same_is_wanted(tmp_path):
    memory = MicroBatchMemory(tmp_path, wanted=64)
    assert memory.recall() is None
    memory.keep(16)
    memory.keep(8)
    assert MicroBatchMemory(tmp_path, wanted=64).recall() == 8
    for other in (32, 0, "auto"):
        assert MicroBatchMemory(tmp_path, wanted=other).recall() is None
    assert [path.name for path in tmp_path.iterdir()] == [MICRO_BATCH_NAME]


def test_a_real_lack_of_memory_is_known():
    with pytest.raises(RuntimeError, match="allocate") as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    with pytest.raises(MemoryError, match=r"^$") as caught:
        bytearray(1 << 60)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("can't allocate memory"), False),
        (TrainingError(found="a loss of nan", expected="finite numbers", remedy="look"), False),
    ],
)
def test_other_errors_are_not_taken_for_it(error, expected):
    assert is_out_of_memory(error) is expected


def test_our_errors_go_through_pickle_as_a_worker_sends_them():
    error = pickle.loads(pickle.dumps(DataError(found="a", expected="b", remedy="c")))
    assert (type(error), error.found, error.expected, error.remedy) == (DataError, "a", "b", "c")
