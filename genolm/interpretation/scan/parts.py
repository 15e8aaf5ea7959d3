"""The finished blocks of a scan on disk: each is whole, checked by its sum, or absent."""

import hashlib
import io
import re
from pathlib import Path

import numpy as np

from genolm.files import atomic_path
from genolm.interpretation.scan.blocks import Values

_NAME = re.compile(r"(\d+)\.([0-9a-f]{64})\.npy")


class PartsFolder:
    """A folder of arrays by number; the name of a file holds its sha256, so that no second file is needed."""

    def __init__(self, folder: Path) -> None:
        """Look what is there."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._paths: dict[int, Path] = {}
        for path in sorted(folder.iterdir()):
            match = _NAME.fullmatch(path.name)
            if match:
                self._paths[int(match[1])] = path
            elif path.name.startswith(".tmp-"):
                path.unlink()

    def read(self, number: int) -> Values | None:
        """Return a part; None if it is absent or damaged, and then it is removed."""
        path = self._paths.get(number)
        if path is None:
            return None
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != path.name.split(".")[1]:
            path.unlink()
            del self._paths[number]
            return None
        values: Values = np.load(io.BytesIO(content), allow_pickle=False)
        return values

    def write(self, number: int, values: Values) -> None:
        """Keep a part."""
        buffer = io.BytesIO()
        np.save(buffer, values, allow_pickle=False)
        content = buffer.getvalue()
        path = self._folder / f"{number:07d}.{hashlib.sha256(content).hexdigest()}.npy"
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
        self._paths[number] = path
