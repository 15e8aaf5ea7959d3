"""The models that ship with genolm, and the folder that a person means by a name."""

import importlib.resources
from pathlib import Path

from genolm.errors import RunFolderError

BUILTIN_MODELS_FOLDER = "builtin_models"  # one model folder for each name


def list_models() -> list[str]:
    """Return the names of the models that ship with genolm, sorted."""
    root = _find_root()
    return sorted(path.parent.name for path in root.glob("*/config.json")) if root.is_dir() else []


def find_model(name_or_folder: str | Path) -> Path:
    """Return the folder of a model: the one given, or that of a model that ships with genolm.

    A folder of the user comes before a shipped model of the same name.

    Raises:
        RunFolderError: it is neither.
    """
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise RunFolderError(
            found=f"the file {folder}",
            expected="the folder of a model, with config.json and model.safetensors",
            remedy="name the folder that the file lies in",
        )
    shipped = list_models()
    if str(name_or_folder) in shipped:
        return _find_root() / str(name_or_folder)
    raise RunFolderError(
        found=f"no model folder {name_or_folder}",
        expected="a folder that a training wrote"
        + (f", or one of the shipped models {', '.join(shipped)}" if shipped else ""),
        remedy="correct the path or the name",
    )


def _find_root() -> Path:
    return Path(str(importlib.resources.files("genolm"))) / BUILTIN_MODELS_FOLDER
