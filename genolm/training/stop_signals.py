"""Signals that ask a training to stop: it goes on to the end of its step, saves, and leaves.

SIGTERM comes from a queue or a pre-empted machine, SIGUSR1 from SLURM (`--signal=USR1@120`), SIGINT from
Ctrl-C; the second Ctrl-C leaves at once. Nothing is saved inside a handler.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, name)
)


class StopRequest:
    """Whether a signal has asked this process to stop."""

    def __init__(self) -> None:
        self.number = 0

    @property
    def name(self) -> str:
        """Name of the signal, such as SIGTERM; empty without one."""
        return name_signal(self.number)

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Note a signal; a second SIGINT is a KeyboardInterrupt."""
        if number == self.number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = number


def name_signal(number: int) -> str:
    """Return the name of a signal; empty for 0.

    >>> name_signal(15)
    'SIGTERM'
    """
    return signal.Signals(number).name if number else ""


@contextmanager
def catch_stop_signals() -> Iterator[StopRequest]:
    """Note stop signals while the block runs, instead of dying of them.

    Outside of the main thread Python allows no handlers, so there signals do what they did before.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request.receive) for number in STOP_SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_stop_signals() -> None:
    """Let the main process decide: a loader worker ends when that one does."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def end_with_parent() -> None:
    """Let Linux kill this process when the one that forked it dies.

    torch looks every 5 s whether the parent is there, but never gets to it if the parent was killed while it
    held a lock that they share, or before the worker had noted who it is.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    parent = multiprocessing.parent_process()
    if parent is not None and os.getppid() != parent.pid:  # it died before
        os._exit(1)
