"""The parts of a step: which rows of its batch a process takes, in which pieces, and who makes them.

A step learns from one global batch, whatever the number of processes. Each process takes consecutive rows of
it, and passes them through the model in micro-batches of at most `micro_batch_rows`. Any part is a function
of the step and its rows alone, so loader workers may make it ahead, and nothing is replayed after a kill.
"""

import atexit
import math
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from genolm.errors import GenolmError, TrainingError
from genolm.files import read_json, write_json
from genolm.training.hardware.ranks import Ranks
from genolm.training.stop_signals import end_with_parent, ignore_stop_signals

MICRO_BATCH_NAME = "micro_batch.json"


class StepInput(NamedTuple):
    """What some rows of a step feed to the model."""

    inputs: dict[str, Tensor]
    tokens: int  # read, padding left out
    weight: float  # labels that the model's mean loss runs over, or the sum of their weights
    keeps_carry: bool = False  # the hidden state of the step before goes on


class Batches(Protocol):
    """The examples of a training, laid out in steps; all of it depends on the arguments alone."""

    def count_rows(self, step: int) -> int:
        """Return how many rows the global batch of a step has."""
        ...

    def build_input(self, step: int, rows: slice) -> StepInput:
        """Return the input of some rows of a step."""
        ...

    def build_largest(self, num_rows: int) -> StepInput:
        """Return the input of so many rows that needs the most memory."""
        ...

    def name_rows(self, step: int, rows: slice) -> list[str]:
        """Return a name of each row, by which a person finds the example."""
        ...


class MicroBatch(NamedTuple):
    """A piece of a step for one process."""

    rows: slice  # of the global batch
    step_input: StepInput


def split_step(num_rows: int, *, ranks: Ranks, micro_batch_rows: int) -> list[slice]:
    """Return the rows of this process, cut into micro-batches; 0 means that all its rows are one.

    Whole micro-batches are dealt out, so that they are the same ones on any number of processes. With fewer
    of them than processes some have none.

    >>> split_step(7, ranks=Ranks(1, 2, torch.device("cpu")), micro_batch_rows=2)
    [slice(4, 6, None), slice(6, 7, None)]
    >>> split_step(7, ranks=Ranks(1, 2, torch.device("cpu")), micro_batch_rows=0)
    [slice(4, 7, None)]
    """
    if micro_batch_rows == 0:
        own = ranks.split_rows(num_rows)
        return [own] if own.stop > own.start else []
    own = ranks.split_rows(math.ceil(num_rows / micro_batch_rows))
    starts = range(own.start * micro_batch_rows, min(own.stop * micro_batch_rows, num_rows), micro_batch_rows)
    return [slice(start, min(start + micro_batch_rows, num_rows)) for start in starts]


def find_own_rows(num_rows: int, *, ranks: Ranks, micro_batch_rows: int) -> slice:
    """Return all rows of this process; an empty slice if it has none."""
    parts = split_step(num_rows, ranks=ranks, micro_batch_rows=micro_batch_rows)
    return slice(parts[0].start, parts[-1].stop) if parts else slice(0, 0)


class StepLoader:
    """The micro-batches of this process, step after step, made ahead by worker processes if there are any."""

    def __init__(
        self, batches: Batches, *, ranks: Ranks, micro_batch_rows: int, num_steps: int, workers: int
    ) -> None:
        self.steps = _Steps(batches, ranks, micro_batch_rows)
        self.num_steps, self.workers = num_steps, workers

    def iter_from(self, first_step: int) -> Iterator[list[MicroBatch]]:
        """Yield the micro-batches of each step.

        Raises:
            TrainingError: a worker process died.
            GenolmError: one that the batches raised, also in a worker.
        """
        ending = _Ending(self.workers)
        loader: DataLoader[Any] = DataLoader(
            self.steps,
            sampler=range(first_step, self.num_steps),
            batch_size=None,
            num_workers=self.workers,
            collate_fn=_pack if self.workers else _leave,
            generator=torch.Generator(),  # its own: the global one decides the dropout
            worker_init_fn=partial(_init_worker, ending),
            multiprocessing_context="fork" if self.workers else None,
        )
        atexit.register(ending.end_workers)  # before Python waits for them: a traceback may still hold this
        try:
            for made in loader:
                yield self._receive(made)
        except RuntimeError as error:
            if isinstance(error, GenolmError) or not is_dead_worker(error):
                raise
            raise explain_dead_worker(error) from error
        finally:
            atexit.unregister(ending.end_workers)
            ending.end_workers()

    def _receive(self, made: list[MicroBatch] | GenolmError) -> list[MicroBatch]:
        def unpack(value: Any) -> Tensor:
            tensor = torch.as_tensor(value)
            return tensor.pin_memory() if self.steps.ranks.device.type == "cuda" else tensor

        return _change_inputs(_open(made), unpack)


def is_dead_worker(error: RuntimeError) -> bool:
    """Say whether an error of torch means that a loader worker was killed, not that it raised an error."""
    return "DataLoader worker (pid" in str(error)


def explain_dead_worker(error: RuntimeError) -> TrainingError:
    """Return the error of a loader worker that was killed."""
    return TrainingError(
        found=f"a loader worker that died ({' '.join(str(error).split())})",
        expected="all of them at work",
        remedy="give the same command again: it goes on from the last checkpoint; if memory was short, "
        "with loop.workers=0",
    )


class _Steps(Dataset[Any]):
    def __init__(self, batches: Batches, ranks: Ranks, micro_batch_rows: int) -> None:
        self.batches, self.ranks, self.micro_batch_rows = batches, ranks, micro_batch_rows

    def __getitem__(self, step: int) -> list[MicroBatch] | GenolmError:
        try:
            return self._build(step)
        except GenolmError as error:  # from a worker torch would send the message alone
            return error

    def _build(self, step: int) -> list[MicroBatch]:
        parts = split_step(
            self.batches.count_rows(step), ranks=self.ranks, micro_batch_rows=self.micro_batch_rows
        )
        if not parts:  # this process has to take part: a row that does not count
            rows = slice(0, 1)
            spare = self.batches.build_input(step, rows)
            return [MicroBatch(rows, spare._replace(tokens=0, weight=0))]
        return [MicroBatch(rows, self.batches.build_input(step, rows)) for rows in parts]


def _open(made: list[MicroBatch] | GenolmError) -> list[MicroBatch]:
    if isinstance(made, GenolmError):
        raise made
    return made


def _change_inputs(micro_batches: list[MicroBatch], change: Callable[[Any], Any]) -> list[MicroBatch]:
    return [
        MicroBatch(
            rows, step_input._replace(inputs={name: change(x) for name, x in step_input.inputs.items()})
        )
        for rows, step_input in micro_batches
    ]


def _pack(made: list[MicroBatch] | GenolmError) -> Any:
    """Turn tensors into arrays: torch sends tensors as open files, lost with a worker that dies."""
    return made if isinstance(made, GenolmError) else _change_inputs(made, Tensor.numpy)


def _leave(value: Any) -> Any:
    return value


class _Ending:
    """Lets the main process end its loader workers, which heed no signal from elsewhere.

    A worker is told by SIGTERM once it has noted its number, and looks for itself right after that: killed
    before it can end in peace, it would count as dead, and torch would raise an error in the main process.
    """

    def __init__(self, num_workers: int) -> None:
        self.is_ending = multiprocessing.RawValue("b", 0)
        self.ready = multiprocessing.RawArray("q", max(num_workers, 1))

    def end_workers(self) -> None:
        """End those that there are; once, since Python may be half gone at a second call."""
        if self.is_ending.value:
            return
        self.is_ending.value = 1
        for child in multiprocessing.active_children():
            if child.pid in list(self.ready):
                child.terminate()

    def prepare(self, worker: int) -> None:
        """Make a worker ready to be ended."""
        signal.signal(signal.SIGTERM, self._receive)
        self.ready[worker] = os.getpid()
        self._receive(signal.SIGTERM, None)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.is_ending.value:
            os._exit(0)


def _init_worker(ending: _Ending, worker: int) -> None:
    ignore_stop_signals()
    end_with_parent()
    ending.prepare(worker)


class MicroBatchMemory:
    """`micro_batch.json`: the size that was found to fit, kept for as long as the wanted one is the same."""

    def __init__(self, run_folder: Path, *, wanted: int | str) -> None:
        """Take the folder and what the settings want: a number of rows, or "auto"."""
        self.path, self.wanted = run_folder / MICRO_BATCH_NAME, wanted

    def recall(self) -> int | None:
        """Return the number of rows that was found; None if there is none for these settings."""
        if not self.path.is_file():
            return None
        known = read_json(self.path)
        return int(known["rows"]) if known["wanted"] == self.wanted else None

    def keep(self, rows: int) -> None:
        """Remember a number of rows."""
        write_json(self.path, {"wanted": self.wanted, "rows": rows})


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that the device, or the machine, has no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        text in str(error) for text in ("can't allocate memory", "CUDA out of memory", "CUBLAS_STATUS_ALLOC")
    )


def find_largest(micro_batches: Sequence[MicroBatch]) -> int:
    """Return how many rows the largest micro-batch has."""
    return max(micro.rows.stop - micro.rows.start for micro in micro_batches)
