import sys
from types import SimpleNamespace

import pytest

from genolm import progress
from genolm.progress import LINE_INTERVAL_S, LineReporter, Reporter, RichReporter, build_reporter


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


def test_a_task_prints_at_most_one_line_in_15_s_and_its_time_at_the_end(clock, capsys):
    with LineReporter().task("genome LM", total=50) as task:
        task.update(1, "loss 3")
        clock.now_s += LINE_INTERVAL_S - 0.1
        task.update(10, "loss 2")
        assert capsys.readouterr().err == ""
        clock.now_s += 0.1
        task.update(11, "loss 1.9")
        task.update(12, "loss 1.8")
        assert capsys.readouterr().err == "  genome LM: 11/50  15 s  loss 1.9\n"
        clock.now_s += LINE_INTERVAL_S
        task.update(30, "loss 1.5")
        assert capsys.readouterr().err == "  genome LM: 30/50  30 s  loss 1.5\n"
        clock.now_s += 1.26
    assert capsys.readouterr() == ("", "  genome LM: done in 31.3 s\n")


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


@pytest.mark.parametrize(("is_terminal", "expected"), [(True, RichReporter), (False, LineReporter)])
def test_the_error_stream_decides_which_reporter(monkeypatch, is_terminal, expected):
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: is_terminal))
    assert type(build_reporter()) is expected


def test_a_note_with_brackets_is_shown_as_it_is(capsys):
    RichReporter().note("12 rows of [train] in runs[/old]")
    assert capsys.readouterr().err == "12 rows of [train] in runs[/old]\n"
