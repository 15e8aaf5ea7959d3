"""One run in a folder at a time."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from genolm.errors import RunFolderError

LOCK_NAME = ".run.lock"
OWNER_NAME = ".run.owner.json"


@contextmanager
def lock_run_folder(folder: Path) -> Iterator[None]:
    """Hold a folder while the block runs; the lock of a process that died is free.

    Raises:
        RunFolderError: another process holds it; the message names it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK_NAME)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunFolderError(
            found=f"another process at work in {folder} ({_describe_owner(folder / OWNER_NAME)})",
            expected="one run in a folder at a time",
            remedy="wait for it or stop it, or choose another --output",
        ) from None
    owner = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        # Not atomically: it only names the holder, and no temporary file may be left by a kill.
        (folder / OWNER_NAME).write_text(json.dumps(owner) + "\n", encoding="utf-8")
        yield
    finally:
        (folder / OWNER_NAME).unlink(missing_ok=True)
        (folder / LOCK_NAME).unlink(missing_ok=True)
        lock.release()


def _describe_owner(path: Path) -> str:
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
        return f"process {owner['pid']} on {owner['host']} since {owner['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "its name is not known"
