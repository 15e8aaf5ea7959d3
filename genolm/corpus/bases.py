"""The read side of a corpus: base codes of all rows, memory-mapped, and where each row begins."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.alphabet import Codes
from genolm.errors import RunFolderError
from genolm.files import read_json

CORPUS_JSON = "corpus.json"
FORMAT_NAME = "genolm-corpus"
FORMAT_VERSION = 1

_BATCH_ROWS = 10_000


class CorpusBases(NamedTuple):
    """The bases of one split."""

    codes: Codes
    """uint8 [total_bp], memory-mapped; base codes of `genolm.alphabet`, all of them known"""
    row_starts: npt.NDArray[np.int64]
    """[rows + 1]; row i is codes[row_starts[i]:row_starts[i + 1]], and nothing may be read across"""

    def iter_pieces(self) -> Iterator[Codes]:
        """Yield the codes of each row, uint8 [bp], in row order; a view, nothing is copied."""
        for start, end in zip(self.row_starts[:-1], self.row_starts[1:], strict=True):
            yield self.codes[start:end]


def get_bases_path(folder: Path, split: str) -> Path:
    """Return the path of the base codes of one split inside a corpus folder."""
    return folder / f"bases-{split}.u8"


def read_corpus_info(folder: Path) -> dict[str, Any]:
    """Read what `corpus.json` says: sources, settings, rows and bp of each split, what was left out.

    Raises:
        RunFolderError: the folder is not a finished corpus, or of another format version.
    """
    path = folder / CORPUS_JSON
    if not path.is_file():
        raise RunFolderError(
            found=f"no {CORPUS_JSON} in {folder}",
            expected="a finished corpus",
            remedy="check the path, or build the corpus first",
        )
    info = read_json(path)
    found = (info.get("format"), info.get("format_version")) if isinstance(info, dict) else (None, None)
    if found != (FORMAT_NAME, FORMAT_VERSION):
        raise RunFolderError(
            found=f"the format {found[0]} version {found[1]} in {path}",
            expected=f"{FORMAT_NAME} version {FORMAT_VERSION}",
            remedy="build the corpus again with this version of genolm",
        )
    return info


def load_corpus_bases(folder: Path, split: str) -> CorpusBases:
    """Open the bases of one split (`train`, `validation` or `test`) without reading them into memory.

    Raises:
        RunFolderError: the folder is not a finished corpus, it has no such split, or its files do not
            fit together.
    """
    splits = read_corpus_info(folder)["splits"]
    if split not in splits:
        raise RunFolderError(
            found=f"the splits {', '.join(splits)} in {folder}",
            expected=f"a split named {split}",
            remedy="build the corpus with settings that hold out such a split",
        )
    row_starts = _load_row_starts(folder / split)
    path = get_bases_path(folder, split)
    length_bp = path.stat().st_size if path.is_file() else 0
    if not length_bp == row_starts[-1] == splits[split]["bp"]:
        raise RunFolderError(
            found=f"{length_bp} bp in {path.name}, {row_starts[-1]} bp in the rows of {folder}",
            expected=f"{splits[split]['bp']} bp, as {CORPUS_JSON} says",
            remedy="build the corpus again: a file was changed or copied in part",
        )
    return CorpusBases(codes=np.memmap(path, dtype=np.uint8, mode="r"), row_starts=row_starts)


def _load_row_starts(split_folder: Path) -> npt.NDArray[np.int64]:
    from datasets import Dataset

    rows = Dataset.load_from_disk(str(split_folder)).select_columns(["start", "end"]).with_format("numpy")
    lengths_bp = [batch["end"] - batch["start"] for batch in rows.iter(_BATCH_ROWS)]
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(np.concatenate(lengths_bp))])
