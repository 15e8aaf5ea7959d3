import sys
from io import StringIO
from types import SimpleNamespace

import pytest
from rich.console import Console

from genolm import progress
from genolm.progress import (
    FIRST_LINE_S,
    LINE_INTERVAL_S,
    LineReporter,
    Reporter,
    RichReporter,
    build_reporter,
    format_duration,
    is_main_process,
)


class Clock:
    """Time that stands still until it is set."""

    def __init__(self):
        self.now_s = 100.0

    def monotonic(self):
        return self.now_s


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def test_the_base_reporter_shows_nothing(capsys):
    reporter = Reporter()
    reporter.note("hello")
    with reporter.task("work", total=3) as task:
        task.update(1, "text")
    assert capsys.readouterr() == ("", "")


def test_lines_go_to_the_error_stream(capsys):
    LineReporter().note("hello [red]")
    assert capsys.readouterr() == ("", "hello [red]\n")


def test_a_task_prints_a_first_line_soon_then_at_most_one_in_15_s_and_its_time_at_the_end(clock, capsys):
    with LineReporter().task("genome LM", total=100) as task:
        clock.now_s += 1
        task.update(2, "loss 3")
        clock.now_s += FIRST_LINE_S - 1.1
        task.update(3, "loss 2.5")
        assert capsys.readouterr().err == ""
        clock.now_s += 2.1
        task.update(6, "loss 2")
        assert capsys.readouterr().err == "  genome LM: 6/100  5 s, 1 min 34 s left  loss 2\n"
        clock.now_s += LINE_INTERVAL_S - 0.1
        task.update(19, "loss 1.9")
        assert capsys.readouterr().err == ""
        clock.now_s += 0.1
        task.update(21, "loss 1.8")
        task.update(22, "loss 1.7")
        assert capsys.readouterr().err == "  genome LM: 21/100  20 s, 1 min 19 s left  loss 1.8\n"
        clock.now_s += LINE_INTERVAL_S
        task.update(100)
        assert capsys.readouterr().err == "  genome LM: 100/100  35 s, 0 s left\n"
        clock.now_s += 1.26
    assert capsys.readouterr() == ("", "  genome LM: done in 36.3 s\n")


def test_the_time_left_counts_only_what_was_done_here(clock, capsys):
    """900 of 1000 steps were there when the run went on; 10 took 10 s."""
    with LineReporter().task("genome LM", total=1000) as task:
        clock.now_s += 5
        task.update(910)
        assert capsys.readouterr().err == "  genome LM: 910/1000  5 s\n", "one update tells no speed"
        clock.now_s += LINE_INTERVAL_S
        task.update(925)
        assert capsys.readouterr().err == "  genome LM: 925/1000  20 s, 1 min 15 s left\n"


def test_work_that_stands_still_or_outgrows_its_total_breaks_nothing(clock, capsys):
    with LineReporter().task("reading", total=0) as task:
        for completed in (0, 0, 30):
            clock.now_s += LINE_INTERVAL_S
            task.update(completed)
    assert capsys.readouterr().err.splitlines() == [
        "  reading: 0/0  15 s",
        "  reading: 0/0  30 s",
        "  reading: 30/0  45 s, 0 s left",
        "  reading: done in 45.0 s",
    ]


def test_a_long_task_ends_with_a_readable_time(clock, capsys):
    with LineReporter().task("genome LM", total=1):
        clock.now_s += 2 * 86_400 + 3 * 3_600 + 1_000
    assert capsys.readouterr().err == "  genome LM: done in 2 d 3 h\n"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.5, "1 min"),
        (61, "1 min 1 s"),
        (3_599.4, "59 min 59 s"),
        (3_599.6, "1 h"),
        (3_630, "1 h"),
        (3_660, "1 h 1 min"),
        (86_369, "23 h 59 min"),
        (86_371, "1 d"),
        (90_001, "1 d 1 h"),
        (864_000_000, "10000 d"),
    ],
)
def test_durations_have_their_two_largest_units(seconds, expected):
    assert format_duration(seconds) == expected


@pytest.mark.parametrize("reporter_class", [LineReporter, RichReporter])
def test_a_task_that_fails_is_not_called_done(reporter_class, capsys):
    def work():
        with reporter_class().task("genome LM", total=9) as task:
            task.update(4, "loss 3")
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        work()
    output, text = capsys.readouterr()
    assert output == ""
    assert "done" not in text
    assert "9/9" not in text


def test_bars_are_drawn_on_the_error_stream(capsys):
    reporter = RichReporter()
    with reporter.task("genome LM", total=50) as task:
        task.update(20, "loss 1.9")
        reporter.note("going on from step 20 of 50")
    output, text = capsys.readouterr()
    assert output == ""
    assert "going on from step 20 of 50\n" in text
    assert "genome LM" in text
    assert "50/50" in text
    assert "loss 1.9" in text


@pytest.mark.parametrize("seconds_per_update", [0.5, 45.0])
def test_a_bar_shows_the_time_left_however_rare_the_updates(seconds_per_update):
    """20 of 100 in 4 updates leave 16 updates."""
    clock = Clock()
    reporter = RichReporter()
    reporter.console = Console(file=StringIO(), force_terminal=True, width=140, get_time=clock.monotonic)
    with reporter.task("genome LM", total=100) as task:
        for completed in (5, 10, 15, 20):
            clock.now_s += seconds_per_update
            task.update(completed, "loss 2")
        remaining_s = task.progress.tasks[0].time_remaining
    assert remaining_s == 16 * seconds_per_update


@pytest.mark.parametrize(("rank", "talks"), [(None, True), ("0", True), ("1", False)])
def test_only_the_main_process_talks(rank, talks, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    assert is_main_process() == talks
    assert (type(build_reporter()) is Reporter) == (not talks)


@pytest.mark.parametrize(("is_terminal", "expected"), [(True, RichReporter), (False, LineReporter)])
def test_the_error_stream_decides_which_reporter(monkeypatch, is_terminal, expected):
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: is_terminal))
    assert type(build_reporter()) is expected


def test_a_note_with_brackets_is_shown_as_it_is(capsys):
    RichReporter().note("12 rows of [train] in runs[/old]")
    assert capsys.readouterr().err == "12 rows of [train] in runs[/old]\n"
