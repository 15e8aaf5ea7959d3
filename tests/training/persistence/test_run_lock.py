import json
import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from genolm.errors import RunFolderError
from genolm.training.persistence.run_lock import LOCK_NAME, OWNER_NAME, lock_run_folder

HOLD = """
import os, pathlib, sys
from genolm.training.persistence.run_lock import lock_run_folder
with lock_run_folder(pathlib.Path(sys.argv[1])):
    if sys.argv[2] == "fork" and os.fork() == 0:
        print(os.getpid(), flush=True)
        sys.stdin.read()
        os._exit(0)
    if sys.argv[2] == "alone":
        print("held", flush=True)
    sys.stdin.read()
"""


def hold(folder, how="alone") -> subprocess.Popen:
    """Start a process that holds a folder until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), how], stdin=-1, stdout=subprocess.PIPE, text=True
    )
    process.first_line = process.stdout.readline().strip()
    return process


def test_the_folder_is_made_and_held_and_nothing_stays(tmp_path):
    folder = tmp_path / "deep" / "run"
    with lock_run_folder(folder):
        assert {path.name for path in folder.iterdir()} == {LOCK_NAME, OWNER_NAME}
        owner = json.loads((folder / OWNER_NAME).read_text())
        assert (owner["pid"], owner["host"]) == (os.getpid(), socket.gethostname())
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", owner["since"])
    assert list(folder.iterdir()) == []


def test_it_is_free_again_after_an_error(tmp_path):
    with pytest.raises(LookupError, match="of the block"), lock_run_folder(tmp_path):
        raise LookupError("of the block")
    with lock_run_folder(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_second_process_is_refused_with_the_name_of_the_first_until_that_ends(tmp_path):
    process = hold(tmp_path)
    named = f"process {process.pid} on {re.escape(socket.gethostname())} since 20"
    with pytest.raises(RunFolderError, match=named) as caught, lock_run_folder(tmp_path):
        pass
    assert str(caught.value).startswith(f"found another process at work in {tmp_path} (process ")
    assert caught.value.expected == "one run in a folder at a time"
    assert "--output" in caught.value.remedy
    assert json.loads((tmp_path / OWNER_NAME).read_text())["pid"] == process.pid, "the holder's, untouched"
    process.communicate(timeout=60)
    with lock_run_folder(tmp_path):
        pass


def test_the_same_process_cannot_hold_it_twice(tmp_path):
    with lock_run_folder(tmp_path):
        with (
            pytest.raises(RunFolderError, match=f"process {os.getpid()} on "),
            lock_run_folder(tmp_path),
        ):
            pass
        assert (tmp_path / OWNER_NAME).is_file()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', None])
def test_a_holder_without_a_readable_name_is_still_a_holder(text, tmp_path):
    with lock_run_folder(tmp_path):
        (tmp_path / OWNER_NAME).unlink()
        if text is not None:
            (tmp_path / OWNER_NAME).write_text(text)
        with (
            pytest.raises(RunFolderError, match=r"\(its name is not known\)"),
            lock_run_folder(tmp_path),
        ):
            pass


def test_a_killed_holder_leaves_it_free(tmp_path):
    process = hold(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert (tmp_path / OWNER_NAME).is_file(), "what the killed process left"
    with lock_run_folder(tmp_path):
        assert json.loads((tmp_path / OWNER_NAME).read_text())["pid"] == os.getpid()


def test_a_loader_worker_that_outlives_its_killed_parent_holds_nothing(tmp_path):
    process = hold(tmp_path, "fork")
    worker = int(process.first_line)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    os.kill(worker, 0)  # it is there
    try:
        with lock_run_folder(tmp_path):
            pass
    finally:
        process.communicate(timeout=60)  # ends the worker's standard input
