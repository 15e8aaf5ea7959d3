"""Values that are computed once and kept in a JSON file of the run, under a key of what they depend on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from genolm.errors import RunFolderError
from genolm.files import read_json, write_json


def keep_json(path: Path, key: str, compute: Callable[[], Any]) -> Any:
    """Return the value that a JSON file keeps under the same key; else compute it and keep it.

    Raises:
        RunFolderError: the file is of other data or settings.
    """
    if path.is_file():
        kept = read_json(path)
        if kept["key"] == key:
            return kept["value"]
        raise RunFolderError(
            found=f"another run in {path.parent} ({path.name} is of other data or settings)",
            expected="an empty folder, or the same command again to go on",
            remedy="choose another --output, or remove the folder",
        )
    value = compute()
    write_json(path, {"key": key, "value": value})
    return value
