"""The read side of a corpus: base codes of all rows, memory-mapped, and where each row begins."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.alphabet import Codes
from genolm.errors import DataError, RunFolderError
from genolm.files import compute_fingerprint, compute_sha256, read_json
from genolm.genome.intervals import Intervals

CORPUS_JSON = "corpus.json"
FORMAT_NAME = "genolm-corpus"
FORMAT_VERSION = 2

_BATCH_ROWS = 10_000


class CorpusBases(NamedTuple):
    """The bases of one split."""

    codes: Codes
    """uint8 [total_bp], memory-mapped; base codes of `genolm.alphabet`, all of them known"""
    row_starts: npt.NDArray[np.int64]
    """[rows + 1]; row i is codes[row_starts[i]:row_starts[i + 1]], and nothing may be read across"""
    row_weights: npt.NDArray[np.float64]
    """[rows]; sampling weight of each row's genome, 1 unless the corpus was built with another"""
    soft_masked: Intervals
    """int64 [n, 2], memory-mapped, sorted; the soft-masked (lower-case) intervals in positions of `codes`"""

    def iter_pieces(self) -> Iterator[Codes]:
        """Yield the codes of each row, uint8 [bp], in row order; a view, nothing is copied."""
        for start, end in zip(self.row_starts[:-1], self.row_starts[1:], strict=True):
            yield self.codes[start:end]


def get_bases_path(folder: Path, split: str) -> Path:
    """Return the path of the base codes of one split inside a corpus folder."""
    return folder / f"bases-{split}.u8"


def get_soft_masked_path(folder: Path, split: str) -> Path:
    """Return the path of the soft-masked intervals of one split inside a corpus folder."""
    return folder / f"soft-masked-{split}.npy"


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
    info = read_corpus_info(folder)
    splits = info["splits"]
    if split not in splits:
        raise RunFolderError(
            found=f"the splits {', '.join(splits)} in {folder}",
            expected=f"a split named {split}",
            remedy="build the corpus with settings that hold out such a split",
        )
    row_starts, row_weights = _load_rows(folder / split, info["settings"]["weights"])
    path = get_bases_path(folder, split)
    length_bp = path.stat().st_size if path.is_file() else 0
    if not length_bp == row_starts[-1] == splits[split]["bp"]:
        raise RunFolderError(
            found=f"{length_bp} bp in {path.name}, {row_starts[-1]} bp in the rows of {folder}",
            expected=f"{splits[split]['bp']} bp, as {CORPUS_JSON} says",
            remedy="build the corpus again: a file was changed or copied in part",
        )
    return CorpusBases(
        codes=np.memmap(path, dtype=np.uint8, mode="r"),
        row_starts=row_starts,
        row_weights=row_weights,
        soft_masked=_load_soft_masked(folder, split, splits[split]["soft_masked_bp"]),
    )


def load_held_out_bases(folder: Path) -> dict[str, CorpusBases]:
    """Open the validation split, and the test split if there is one.

    Raises:
        DataError: there is no validation split.
        RunFolderError: as of `load_corpus_bases`.
    """
    splits = read_corpus_info(folder)["splits"]
    if "validation" not in splits:
        raise DataError(
            found=f"no validation split in {folder}",
            expected="held-out sequence to choose the weights by",
            remedy="build the corpus with split: blocks, or another one that holds validation sequence out",
        )
    return {split: load_corpus_bases(folder, split) for split in ("validation", "test") if split in splits}


def compute_corpus_fingerprint(folder: Path) -> str:
    """Return a sha256 over the bases of all splits."""
    splits = read_corpus_info(folder)["splits"]
    return compute_fingerprint({split: compute_sha256(get_bases_path(folder, split)) for split in splits})


def locate_bases(folder: Path, split: str, positions: Sequence[int]) -> list[str]:
    """Return where in its genome each position of a split's codes lies, such as "GCF_1 chr2:1204" (0-based).

    Args:
        folder: of a corpus.
        split: train, validation or test.
        positions: of `CorpusBases.codes`.
    """
    from datasets import Dataset

    rows = Dataset.load_from_disk(str(folder / split))
    row_starts = load_corpus_bases(folder, split).row_starts
    found = []
    for position in positions:
        number = int(np.searchsorted(row_starts, position, side="right")) - 1
        row = rows[number]
        found.append(f"{row['assembly']} {row['contig']}:{row['start'] + position - int(row_starts[number])}")
    return found


def _load_rows(
    split_folder: Path, weights: Mapping[str, float]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return where the rows begin, and the weight of each."""
    from datasets import Dataset

    columns = ["start", "end", "assembly"] if weights else ["start", "end"]
    rows = Dataset.load_from_disk(str(split_folder)).select_columns(columns).with_format("numpy")
    lengths_bp, row_weights = [np.empty(0, dtype=np.int64)], [np.empty(0)]
    for batch in rows.iter(_BATCH_ROWS):
        lengths_bp.append(batch["end"] - batch["start"])
        row_weights.append(
            np.array(
                [weights.get(name, 1.0) for name in batch["assembly"]]
                if weights
                else np.ones(len(batch["start"]))
            )
        )
    return np.cumsum(np.concatenate([[0], *lengths_bp]), dtype=np.int64), np.concatenate(row_weights)


def _load_soft_masked(folder: Path, split: str, expected_bp: int) -> Intervals:
    path = get_soft_masked_path(folder, split)
    intervals = np.load(path, mmap_mode="r") if path.is_file() else np.empty((0, 2), dtype=np.int64)
    found_bp = int(np.diff(intervals, axis=1).sum())
    if found_bp != expected_bp:
        raise RunFolderError(
            found=f"{found_bp} soft-masked bp in {path.name} of {folder}",
            expected=f"{expected_bp} bp, as {CORPUS_JSON} says",
            remedy="build the corpus again: a file was changed or copied in part",
        )
    return intervals
