"""A full disk: told before it is written to where possible, and always in one line."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from genolm.errors import StorageError

RESERVE_BYTES = 1 << 20  # for the log and the small files
_FULL = (errno.ENOSPC, errno.EDQUOT)


def check_free_disk(folder: Path, *, needed_bytes: int, purpose: str) -> None:
    """Make sure that a folder's disk has room.

    Raises:
        StorageError: it has not.
    """
    needed_bytes += RESERVE_BYTES
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise StorageError(
            found=f"{free_bytes / 1e6:,.1f} MB free on the disk of {folder}",
            expected=f"{needed_bytes / 1e6:,.1f} MB for {purpose}",
            remedy="make room, then give the same command again: it goes on from the last checkpoint",
        )


@contextmanager
def explain_full_disk(folder: Path) -> Iterator[None]:
    """Turn the errors of a full disk, or of a used-up quota, into a StorageError."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        if isinstance(error, StorageError) or not _is_full(error):
            raise
        raise StorageError(
            found=f"a full disk while writing to {folder}",
            expected="room for the checkpoints and the model",
            remedy="make room, then give the same command again: it goes on from the last checkpoint",
        ) from error


def _is_full(error: OSError | SafetensorError) -> bool:
    if isinstance(error, OSError):
        return error.errno in _FULL
    return any(f"os error {number}" in str(error) for number in _FULL)
