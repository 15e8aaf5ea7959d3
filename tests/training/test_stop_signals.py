import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from genolm.training.stop_signals import (
    STOP_SIGNALS,
    StopRequest,
    catch_stop_signals,
    ignore_stop_signals,
    name_signal,
)


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_is_noted_and_the_block_goes_on(number):
    with catch_stop_signals() as request:
        assert (request.number, request.name) == (0, "")
        signal.raise_signal(number)
        assert (request.number, request.name) == (number, signal.Signals(number).name)


def test_the_signals_are_those_of_a_queue_of_slurm_and_of_the_keyboard():
    assert [name_signal(number) for number in STOP_SIGNALS] == ["SIGTERM", "SIGINT", "SIGUSR1"]


def test_the_second_ctrl_c_leaves_at_once():
    with catch_stop_signals() as request:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt, match=r"^$"):
            signal.raise_signal(signal.SIGINT)
    assert request.name == "SIGINT"


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGUSR1])
def test_a_ctrl_c_after_another_signal_is_the_first_one(first):
    with catch_stop_signals() as request:
        signal.raise_signal(first)
        signal.raise_signal(first)
        signal.raise_signal(signal.SIGINT)
        assert request.name == "SIGINT"


@pytest.mark.parametrize("fails", [False, True])
def test_the_handlers_of_before_come_back(fails):
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    try:
        with catch_stop_signals() as request:
            assert all(signal.getsignal(number) == request.receive for number in STOP_SIGNALS)
            if fails:
                raise LookupError("of the block")
    except LookupError:
        assert fails
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


def test_in_another_thread_the_block_runs_and_signals_are_left_alone():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        with catch_stop_signals() as request:
            seen.append((signal.getsignal(signal.SIGTERM), request.number))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(before, 0)]


def test_a_request_takes_signals_of_its_own_process_alone():
    first, second = StopRequest(), StopRequest()
    first.receive(signal.SIGTERM, None)
    assert (first.name, second.name) == ("SIGTERM", "")


def test_a_process_that_ignores_them_lives_on():
    code = (
        "import sys, time\nfrom genolm.training.stop_signals import ignore_stop_signals\n"
        "ignore_stop_signals()\nprint('ready', flush=True)\nsys.stdin.readline()\nprint('alive')"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True)
    assert process.stdout.readline() == "ready\n"
    for number in STOP_SIGNALS:
        os.kill(process.pid, number)
        time.sleep(0.02)
    output, _ = process.communicate("go\n", timeout=60)
    assert (output, process.returncode) == ("alive\n", 0)


def test_ignoring_is_setting_all_of_them_to_ignore():
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    try:
        ignore_stop_signals()
        assert all(signal.getsignal(number) == signal.SIG_IGN for number in STOP_SIGNALS)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
