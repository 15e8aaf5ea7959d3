"""What a person sees while work goes on: a live bar in a terminal, plain lines in a log file."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

FIRST_LINE_S = 3.0
LINE_INTERVAL_S = 15.0
_SPEED_PERIOD_S = 600.0  # over which a bar estimates the time left; a slow training reports once in minutes


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


def format_duration(seconds: float) -> str:
    """Write a duration in its two largest units.

    >>> [format_duration(seconds) for seconds in (0.3, 35, 59.6, 260, 4_330, 183_000)]
    ['0 s', '35 s', '1 min', '4 min 20 s', '1 h 12 min', '2 d 3 h']
    """
    if round(seconds) < 3_600:
        return _join_units(round(seconds), 60, ("min", "s"))
    minutes = round(seconds / 60)
    if minutes < 1_440:
        return _join_units(minutes, 60, ("h", "min"))
    return _join_units(round(seconds / 3_600), 24, ("d", "h"))


def _join_units(count: int, per_large: int, names: tuple[str, str]) -> str:
    """Split a count of the small unit; a part that is 0 is left out, unless both are."""
    large, small = divmod(count, per_large)
    parts = [f"{large} {names[0]}"] if large else []
    if small or not large:
        parts.append(f"{small} {names[1]}")
    return " ".join(parts)


class _LineTask(Task):
    """Prints a line when the last is old enough. The time left follows from the work since the first update,
    for what was done before, by an interrupted run, took no time here."""

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total = title, total
        self.started_s = time.monotonic()
        self.next_line_s = self.started_s + FIRST_LINE_S
        self.first: tuple[float, int] | None = None

    def update(self, completed: int, text: str = "") -> None:
        now_s = time.monotonic()
        if self.first is None:
            self.first = (now_s, completed)
        if now_s >= self.next_line_s:
            self.next_line_s = now_s + LINE_INTERVAL_S
            times = format_duration(now_s - self.started_s) + self._format_time_left(now_s, completed)
            line = f"  {self.title}: {completed}/{self.total}  {times}  {text}"
            print(line.rstrip(), file=sys.stderr, flush=True)

    def _format_time_left(self, now_s: float, completed: int) -> str:
        first_s, first_completed = self.first or (now_s, completed)
        if completed <= first_completed or now_s <= first_s:
            return ""
        units_per_s = (completed - first_completed) / (now_s - first_s)
        return f", {format_duration(max(0, self.total - completed) / units_per_s)} left"


class LineReporter(Reporter):
    """Plain lines on the error stream: for a task one after 3 s, then at most one in 15 s."""

    def note(self, text: str) -> None:
        """Print the line."""
        print(text, file=sys.stderr, flush=True)

    @contextmanager
    def task(self, title: str, *, total: int) -> Iterator[Task]:
        """Print the progress with the time left now and then, and the time taken at the end."""
        task = _LineTask(title, total)
        yield task
        elapsed_s = time.monotonic() - task.started_s
        duration = f"{elapsed_s:.1f} s" if elapsed_s < 59.95 else format_duration(elapsed_s)
        print(f"  {title}: done in {duration}", file=sys.stderr, flush=True)


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
        with Progress(*columns, console=self.console, speed_estimate_period=_SPEED_PERIOD_S) as progress:
            task_id = progress.add_task(title, total=total, text="")
            yield _RichTask(progress, task_id)
            progress.update(task_id, completed=total)


def is_main_process() -> bool:
    """Say whether this process talks: alone, or rank 0 of those that a launcher started."""
    return os.environ.get("RANK", "0") == "0"


def build_reporter() -> Reporter:
    """Return the reporter that suits the error stream: live in a terminal, lines elsewhere.

    Of several processes only the main one talks.
    """
    if not is_main_process():
        return Reporter()
    return RichReporter() if sys.stderr.isatty() else LineReporter()
