"""The processes of one run: which one this is, and what they do together. One process alone needs none of it.

`accelerate launch` and `torchrun` start several; rank 0 is the main one, which writes files and talks.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed
from accelerate import PartialState

from genolm.errors import GenolmError, TrainingError

Value = TypeVar("Value")
PATIENCE = timedelta(days=2)


@dataclass(frozen=True)
class Ranks:
    """This process among those of the run.

    Every method must be called by all of them at the same place, but for the properties.
    """

    index: int
    count: int
    device: torch.device
    group: Any = None
    """process group for what they tell each other; gradients go another way"""

    @property
    def is_main(self) -> bool:
        """Say whether this process writes the files and talks."""
        return self.index == 0

    def split_rows(self, num_rows: int) -> slice:
        """Return this process's rows: consecutive, their numbers differ by one at most.

        >>> [Ranks(index, 3, torch.device("cpu")).split_rows(7) for index in range(3)]
        [slice(0, 3, None), slice(3, 5, None), slice(5, 7, None)]
        """
        size, extra = divmod(num_rows, self.count)
        start = self.index * size + min(self.index, extra)
        return slice(start, start + size + (self.index < extra))

    def sum(self, values: Sequence[float]) -> list[float]:
        """Add up each value over the processes, in float64."""
        if self.count == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        torch.distributed.all_reduce(total, group=self.group)
        return [float(value) for value in total.tolist()]

    def min(self, value: int) -> int:
        """Return the smallest value of any process."""
        if self.count == 1:
            return value
        smallest = torch.tensor(value)
        torch.distributed.all_reduce(smallest, op=torch.distributed.ReduceOp.MIN, group=self.group)
        return int(smallest.item())

    def max(self, value: int) -> int:
        """Return the largest value of any process."""
        return -self.min(-value)

    def gather_rows(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows of all processes, in the order of `split_rows`, each once."""
        if self.count == 1:
            return rows
        parts: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(parts, rows, group=self.group)
        return np.concatenate(parts)

    def gather_tensor(self, tensor: torch.Tensor, *, dim: int) -> torch.Tensor:
        """Return the parts of all processes, one after the other along a dimension, on the CPU."""
        tensor = tensor.detach().cpu()
        if self.count == 1:
            return tensor
        parts: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(parts, tensor)
        return torch.cat(parts, dim=dim)

    def share(self, value: Value) -> Value:
        """Return the main process's value."""
        if self.count == 1:
            return value
        values = [value]
        torch.distributed.broadcast_object_list(values, src=0, group=self.group)
        return values[0]

    def on_main(self, work: Callable[[], Value]) -> Value:
        """Let the main process do the work while the others wait; all get its result, or its error."""
        if self.count == 1:
            return work()
        result: tuple[Value | None, GenolmError | None] = (None, None)
        if self.is_main:
            try:
                result = (work(), None)
            except GenolmError as error:
                result = (None, error)
        value, failure = self.share(result)
        if failure is not None:
            raise failure
        return value  # type: ignore[return-value]

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Run the block on the main process, then on the others: they find what it has made."""
        if not self.is_main:
            self.wait()
        yield
        if self.is_main:
            self.wait()

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            torch.distributed.barrier(group=self.group)


def get_ranks() -> Ranks:
    """Return the processes of this run; the first call joins them."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Ranks(0, 1, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    return _join_ranks()


@lru_cache(maxsize=1)
def _join_ranks() -> Ranks:
    state = PartialState(cpu=not torch.cuda.is_available())
    # Through the CPU, so that no GPU is waited for, and with patience: others wait while one builds a corpus.
    group = torch.distributed.new_group(backend="gloo", timeout=PATIENCE)
    return Ranks(state.process_index, state.num_processes, state.device, group)


def explain_dead_rank(error: RuntimeError) -> TrainingError | None:
    """Return the error of a process that is gone, if that is what a failed exchange means."""
    text = " ".join(str(error).split())
    is_exchange = isinstance(error, torch.distributed.DistError) or "gloo" in text or "NCCL" in text
    if not is_exchange:
        return None
    return TrainingError(
        found=f"another process of the run gone, or out of reach ({text[:120]})",
        expected="all processes until the end",
        remedy="give the same command again: it goes on from the last checkpoint",
    )
