import errno
import os
import re
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from genolm.errors import RunFolderError, StorageError
from genolm.training.persistence.checkpoints import find_checkpoint, save_checkpoint, take_snapshot
from genolm.training.persistence.disk_space import RESERVE_BYTES, check_free_disk, explain_full_disk


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 2 MB in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if sys.platform != "linux" or mount is None or os.getuid() != 0:
        pytest.skip("mounting a tmpfs needs root on Linux")
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True)
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_what_is_needed_is_compared_with_what_is_free(tmp_path):
    free_bytes = shutil.disk_usage(tmp_path).free
    check_free_disk(tmp_path, needed_bytes=0, purpose="nothing")
    with pytest.raises(StorageError, match="MB for the checkpoints; make room, then") as caught:
        check_free_disk(tmp_path, needed_bytes=2 * free_bytes, purpose="the checkpoints")
    assert f"MB free on the disk of {tmp_path}" in caught.value.found
    assert caught.value.exit_code == 74


@pytest.mark.parametrize(("more_bytes", "fits"), [(0, True), (1, False)])
def test_a_reserve_stays_for_the_log_and_small_files(more_bytes, fits, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=RESERVE_BYTES + 5_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    if fits:
        check_free_disk(tmp_path, needed_bytes=5_000_000 + more_bytes, purpose="it")
    else:
        with pytest.raises(StorageError, match=r"found 6\.0 MB free .*; expected 6\.0 MB for it"):
            check_free_disk(tmp_path, needed_bytes=5_000_000 + more_bytes, purpose="it")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("kind", [OSError, SafetensorError])
def test_a_full_disk_and_a_used_up_quota_are_explained(number, kind, tmp_path):
    error = OSError(number, os.strerror(number)) if kind is OSError else None
    error = error or SafetensorError(f"I/O error: {os.strerror(number)} (os error {number})")
    with (
        pytest.raises(StorageError, match=f"found a full disk while writing to {tmp_path}; ") as caught,
        explain_full_disk(tmp_path),
    ):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied"),
        SafetensorError("Error while serializing: I/O error: Permission denied (os error 13)"),
        ValueError("os error 28"),
        RunFolderError(found="a", expected="b", remedy="c"),
    ],
)
def test_other_errors_pass_as_they_are(error, tmp_path):
    with pytest.raises(type(error), match=re.escape(str(error))) as caught, explain_full_disk(tmp_path):
        raise error
    assert caught.value is error


def test_a_shortage_that_was_told_is_not_told_again(tmp_path):
    with pytest.raises(StorageError, match=r"^found 1 MB free; ") as caught, explain_full_disk(tmp_path):
        raise StorageError(found="1 MB free", expected="2 MB", remedy="make room")
    assert caught.value.__cause__ is None


def test_a_real_full_disk_while_weights_are_written(small_disk):
    with (
        pytest.raises(StorageError, match=r"a full disk while writing") as caught,
        explain_full_disk(small_disk),
    ):
        save_file({"weight": torch.zeros(1 << 20)}, small_disk / "model.safetensors")  # 4 MB
    assert isinstance(caught.value.__cause__, SafetensorError | OSError)


def test_a_real_full_disk_while_a_log_is_written(small_disk):
    with pytest.raises(StorageError, match=r"a full disk while writing"), explain_full_disk(small_disk):
        (small_disk / "training_log.jsonl").write_bytes(bytes(4 << 20))


def test_on_a_full_disk_the_last_checkpoint_is_whole_and_the_room_is_given_back(small_disk, monkeypatch):
    model = torch.nn.Linear(250, 500)  # 0.5 MB
    snapshot = take_snapshot(model)
    save_checkpoint(small_disk / "checkpoint-1", snapshot, state={"step": 1, "best_step": -1})
    larger = take_snapshot(torch.nn.Linear(500, 900))  # 1.8 MB
    with pytest.raises(
        StorageError, match=r"MB free on the disk of .*expected 2\.9 MB for checkpoint-2; make"
    ):
        save_checkpoint(small_disk / "checkpoint-2", larger, state={"step": 2, "best_step": -1})
    monkeypatch.setattr("genolm.training.persistence.checkpoints.check_free_disk", lambda *_, **__: None)
    free_bytes = shutil.disk_usage(small_disk).free
    with pytest.raises(StorageError, match=r"a full disk while writing"), explain_full_disk(small_disk):
        save_checkpoint(small_disk / "checkpoint-2", larger, state={"step": 2, "best_step": -1})
    assert [path.name for path in small_disk.iterdir()] == ["checkpoint-1"]
    assert shutil.disk_usage(small_disk).free == free_bytes
    assert find_checkpoint(small_disk).step == 1
