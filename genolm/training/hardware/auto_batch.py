"""The largest micro-batch that fits into memory, found before the training begins.

Sizes double from one row. The next one is tried only if what the last two needed foretells that it fits, so
the machine is never driven out of memory to find out.
"""

import os
from collections.abc import Callable

import psutil
import torch

from genolm.training.hardware.machine import read_memory_limit
from genolm.training.micro_batches import is_out_of_memory

USABLE_SHARE = 0.8  # of the memory; the rest is for longer batches, fragments and evaluation


def find_micro_batch_rows(
    try_rows: Callable[[int], None],
    *,
    max_rows: int,
    limit_bytes: int,
    read_peak_bytes: Callable[[], int],
    used_bytes: int | None = None,
    later_bytes: int = 0,
) -> int:
    """Return the largest power of two (or `max_rows`) of rows whose forward and backward pass fits.

    The answer is 1 also where a single row does not fit.

    Args:
        try_rows: passes so many rows through the model, and back.
        max_rows: rows of a process in one step; more are never needed.
        limit_bytes: what may be used.
        read_peak_bytes: the most that was used so far.
        used_bytes: what is used now. It may be less than the peak of what went before, which hides what
            small sizes need. None means the peak.
        later_bytes: what will be needed besides, such as the optimizer's moments.
    """
    fits, rows, before = 0, 1, read_peak_bytes()
    used = before if used_bytes is None else used_bytes
    is_measured = used >= before  # `before` is what `fits` rows need, not the peak of earlier work
    while True:
        try:
            try_rows(rows)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return max(fits, 1)
        peak, following = read_peak_bytes(), min(2 * rows, max_rows)
        expected = used + (peak - used) * following / rows
        if is_measured:
            expected = min(expected, peak + (peak - before) * (following - rows) / (rows - fits))
        if rows == max_rows or expected + later_bytes > limit_bytes:
            return rows
        is_measured = peak > before
        fits, rows, before = rows, following, peak


def find_memory_limit_bytes(device: torch.device) -> int:
    """Return how much memory this process may use on a device, with what it uses already.

    The processes of a machine share its memory, and that of its container or batch job.
    """
    if device.type == "cuda":
        free_bytes, _ = torch.cuda.mem_get_info(device)
        return int(USABLE_SHARE * (free_bytes + torch.cuda.memory_reserved(device)))
    free_bytes, limit = psutil.virtual_memory().available, read_memory_limit()
    if limit is not None:
        free_bytes = min(free_bytes, limit.free_bytes)
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return int(USABLE_SHARE * (free_bytes / processes + read_used_memory_bytes(device)))


def read_used_memory_bytes(device: torch.device) -> int:
    """Return the memory that this process holds now: on the GPU if `device` is one, else resident."""
    if device.type == "cuda":
        return int(torch.cuda.memory_allocated(device))
    return int(psutil.Process().memory_info().rss)
