"""The data that ship with genolm, under names such as `builtin:ecoli_promoters`."""

import importlib.resources
from pathlib import Path

from genolm.errors import SettingsError

PREFIX = "builtin:"
BUILTIN_FILES = {
    "ecoli_k12_mg1655": "ecoli_k12_mg1655.fa.gz",
    "ecoli_promoters": "ecoli_promoters.csv.gz",
}


def find_builtin(name: str) -> Path:
    """Return the file of a built-in data set, with or without the prefix `builtin:`.

    Raises:
        SettingsError: there is no data set of that name.
    """
    file_name = BUILTIN_FILES.get(name.removeprefix(PREFIX))
    if file_name is None:
        raise SettingsError(
            found=f"'{name}'",
            expected=f"one of {', '.join(PREFIX + known for known in BUILTIN_FILES)}",
            remedy="correct the name, or give the path of a file",
        )
    return Path(str(importlib.resources.files("genolm"))) / "builtin_data" / file_name


def resolve_source(text: str | Path) -> Path:
    """Return the path that a setting means: a file of the user, or a built-in data set.

    Raises:
        SettingsError: a `builtin:` name that does not exist.
    """
    return find_builtin(str(text)) if str(text).startswith(PREFIX) else Path(text).expanduser()
