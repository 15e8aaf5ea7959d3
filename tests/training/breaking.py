"""A training that is broken off at a step, as a killed process is."""

from contextlib import contextmanager
from types import SimpleNamespace

from genolm.progress import Reporter


class BrokenOffError(Exception):
    """Stands for whatever ends a process."""


class BreakingReporter(Reporter):
    """Breaks a run off from within, when the task has come to a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    @contextmanager
    def task(self, title: str, *, total: int):
        def update(completed: int, text: str = "") -> None:
            if completed == self.step:
                raise BrokenOffError(f"broken off after step {completed}")

        yield SimpleNamespace(update=update)
