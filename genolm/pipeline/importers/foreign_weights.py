"""Weights of another program's file, and what became of each: the report of an import."""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genolm.errors import RunFolderError
from genolm.files import is_unused, write_json

REPORT_NAME = "import.json"


@dataclass(frozen=True)
class ImportReport:
    """What was taken from a file and what was not; names are those of the file, or of genolm's model."""

    source: str
    """file name"""
    sha256: str
    mapped: dict[str, str]
    """name in the model by name in the file"""
    ignored: dict[str, str]
    """reason by name in the file"""
    filled: dict[str, str]
    """how, by what of the model the file has nothing for"""

    def save(self, folder: Path) -> None:
        """Write it as import.json."""
        write_json(folder / REPORT_NAME, asdict(self))

    def list_lines(self) -> list[str]:
        """Return it as text."""
        return [
            f"{len(self.mapped)} tensors of {self.source} (sha256 {self.sha256[:12]}) mapped",
            *(f"ignored {name}: {reason}" for name, reason in self.ignored.items()),
            *(f"filled {name}: {how}" for name, how in self.filled.items()),
        ]


def read_torch_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file that torch.save wrote; nothing but tensors is ever unpickled.

    Args:
        path: a dictionary of tensors, or one that has it under "model", as fastai's Learner.save does.

    Raises:
        RunFolderError: there is no such file, or it holds something else.
    """
    if not path.is_file():
        raise RunFolderError(found=f"no file {path}", expected="a file of weights", remedy="correct the path")
    try:
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise RunFolderError(
            found=f"{path.name}, which is damaged or holds more than tensors "
            f"({next(iter(str(error).splitlines()), type(error).__name__)[:120]})",
            expected="weights alone, which are read without running code",
            remedy="save the weights alone where the model was trained: torch.save(model.state_dict(), path)",
        ) from error
    if isinstance(loaded, Mapping) and isinstance(loaded.get("model"), Mapping):
        loaded = loaded["model"]
    if not isinstance(loaded, Mapping) or not all(isinstance(each, Tensor) for each in loaded.values()):
        raise RunFolderError(
            found=f"{path.name} without a dictionary of tensors",
            expected="what torch.save(model.state_dict(), path) writes",
            remedy="save the weights alone where the model was trained",
        )
    return {str(name): tensor.float() for name, tensor in loaded.items()}


def load_mapped(model: torch.nn.Module, weights: Mapping[str, Tensor], *, tied: Sequence[str] = ()) -> None:
    """Put weights into a model under its own names; every parameter but the tied ones must be among them.

    Raises:
        RunFolderError: a name is missing, or a shape is another.
    """
    own = {name: tensor.shape for name, tensor in model.state_dict().items() if name not in tied}
    for name, shape in own.items():
        found = weights.get(name)
        if found is None or found.shape != shape:
            raise RunFolderError(
                found=f"no weights for {name}" if found is None else f"{name} of shape {tuple(found.shape)}",
                expected=f"shape {tuple(shape)}",
                remedy="check that the file is of this kind of model, and whole",
            )
    model.load_state_dict({name: weights[name] for name in own}, strict=False)


def check_output(folder: Path) -> None:
    """Check that a model folder can be written here.

    Raises:
        RunFolderError: there is something in it.
    """
    if not is_unused(folder):
        raise RunFolderError(
            found=f"files in {folder}", expected="a new or empty folder", remedy="choose another --output"
        )
