"""What a person sees while work goes on: a live bar in a terminal, plain lines in a log file."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LINE_INTERVAL_S = 15.0


class Task:
    """One piece of work with a known length. This base class shows nothing."""

    def update(self, completed: int, text: str = "") -> None:
        """Say how far the work is, in the units of its total, and a short text beside it."""


class Reporter:
    """Receives notes and the progress of tasks. This base class shows nothing."""

    def note(self, text: str) -> None:
        """Show one line that stays."""

    @contextmanager
    def task(self, title: str, *, total: int) -> Iterator[Task]:
        """Show a task with `total` units of work while the block runs."""
        yield Task()


class _LineTask(Task):
    def __init__(self, title: str, total: int) -> None:
        self.title, self.total = title, total
        self.started_s = self.shown_s = time.monotonic()

    def update(self, completed: int, text: str = "") -> None:
        now_s = time.monotonic()
        if now_s - self.shown_s >= LINE_INTERVAL_S:
            self.shown_s = now_s
            elapsed_s = now_s - self.started_s
            print(
                f"  {self.title}: {completed}/{self.total}  {elapsed_s:.0f} s  {text}",
                file=sys.stderr,
                flush=True,
            )


class LineReporter(Reporter):
    """Plain lines on the error stream, at most one in 15 s for a task."""

    def note(self, text: str) -> None:
        """Print the line."""
        print(text, file=sys.stderr, flush=True)

    @contextmanager
    def task(self, title: str, *, total: int) -> Iterator[Task]:
        """Print the progress every 15 s, and the time at the end."""
        task = _LineTask(title, total)
        yield task
        print(f"  {title}: done in {time.monotonic() - task.started_s:.1f} s", file=sys.stderr, flush=True)


class _RichTask(Task):
    def __init__(self, progress: Any, task_id: Any) -> None:
        self.progress, self.task_id = progress, task_id

    def update(self, completed: int, text: str = "") -> None:
        self.progress.update(self.task_id, completed=completed, text=text)


class RichReporter(Reporter):
    """Live bars in a terminal."""

    def __init__(self) -> None:
        """Draw on the error stream, so that results on the output stream stay clean."""
        from rich.console import Console

        self.console = Console(stderr=True)

    def note(self, text: str) -> None:
        """Print the line above the bars."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def task(self, title: str, *, total: int) -> Iterator[Task]:
        """Show a bar with the share done, the time left and the task's text."""
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("  {task.description:<28}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
        )
        with Progress(*columns, console=self.console) as progress:
            task_id = progress.add_task(title, total=total, text="")
            yield _RichTask(progress, task_id)
            progress.update(task_id, completed=total)


def build_reporter() -> Reporter:
    """Return the reporter that suits the error stream: live in a terminal, lines elsewhere."""
    return RichReporter() if sys.stderr.isatty() else LineReporter()
