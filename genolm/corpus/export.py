"""A corpus as Parquet files with a README, ready for the hub and for `load_dataset`."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from genolm.corpus.bases import load_corpus_bases, read_corpus_info
from genolm.corpus.row_stream import WEIGHT_COLUMN
from genolm.corpus.window_epochs import shuffle_numbers
from genolm.corpus.windows import Positions, normalize_weights
from genolm.errors import RunFolderError
from genolm.files import atomic_folder, is_unused

_TAGS = ("biology", "genomics", "dna")
_MAX_FILES = 100_000  # five digits in a file's name


class ExportSummary(NamedTuple):
    """What `export_parquet` wrote."""

    files: dict[str, int]
    """Parquet files of each split"""
    total_bytes: int
    """of all Parquet files"""


def export_parquet(
    corpus: Path,
    output: Path,
    *,
    file_bp: int = 200_000_000,
    row_group_bp: int = 4_000_000,
    shuffle_seed: int | None = 0,
    readme: str = "",
) -> ExportSummary:
    """Write a corpus folder as `data/<split>-00000-of-000NN.parquet` and a README that the hub understands.

    The rows keep their columns and get their sampling weight (1 for a base on average) as `weight`. They
    are shuffled, so that a stream, which sees a few rows at a time, sees them from all over the genomes.
    One row group at a time is in memory.

    Args:
        corpus: a folder that `build_corpus` wrote.
        output: the folder to write; it appears when it is complete.
        file_bp: bp of a file, about; a row is never divided.
        row_group_bp: bp of a row group, which is what a reader holds in memory, about.
        shuffle_seed: decides the order of the rows; None: the order of the corpus.
        readme: text of README.md, such as a dataset card; without it, what `build_readme` gives.

    Raises:
        RunFolderError: the corpus is not complete, or something stands at `output`.
    """
    info = read_corpus_info(corpus)
    if not is_unused(output):
        raise RunFolderError(
            found=f"{output}, which is not empty",
            expected="a new folder",
            remedy="choose another output folder or remove this one",
        )
    with atomic_folder(output) as folder:
        (folder / "data").mkdir()
        files = {
            split: _write_split(corpus, folder / "data", split, file_bp, row_group_bp, shuffle_seed)
            for split in info["splits"]
        }
        text = readme or build_readme(info, title=output.name)
        (folder / "README.md").write_text(text, encoding="utf-8")
        total_bytes = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
    return ExportSummary(files, total_bytes)


def build_readme(info: dict[str, Any], *, title: str) -> str:
    """Return the dataset card: the YAML header with the files of each split, the columns and the sources.

    Args:
        info: what `corpus.json` says.
        title: heading of the card.
    """
    header = {
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"data/{split}-*"} for split in info["splits"]],
            }
        ],
        "tags": list(_TAGS),
    }
    splits = "\n".join(
        f"| {split} | {counts['rows']:,} | {counts['bp']:,} |" for split, counts in info["splits"].items()
    )
    return (
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n# {title}\n\n"
        "DNA for genomic language models. Every row is a stretch of one contig in which all bases are known; "
        "nothing was joined across an unknown base, a contig end or a split border.\n\n"
        f"| split | rows | bp |\n|---|---:|---:|\n{splits}\n\n"
        "Columns: `assembly`, `contig`, `start` and `end` (0-based, half-open, in bp), `sequence` (lower "
        "case is soft-masked), `soft_masked` (bp), `weight` (sampling weight of a base, 1 on average).\n\n"
        "## How it was built\n\n"
        f"```json\n{json.dumps(info, indent=2)}\n```\n"
    )


def _write_split(
    corpus: Path, folder: Path, split: str, file_bp: int, row_group_bp: int, shuffle_seed: int | None
) -> int:
    """Write the files of one split, and return how many there are."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Dataset

    bases = load_corpus_bases(corpus, split)
    weights = normalize_weights(bases.row_weights, bases.row_starts)
    order = np.arange(len(weights))
    if shuffle_seed is not None:
        order = shuffle_numbers(order, total=len(order), key=(shuffle_seed,))
    row_bp = np.diff(bases.row_starts)
    files = _cut_by_bp(order, row_bp, max(file_bp, int(row_bp.sum()) // _MAX_FILES + 1))
    rows = Dataset.load_from_disk(str(corpus / split)).with_format("arrow")
    for number, numbers in enumerate(files):
        path = folder / f"{split}-{number:05d}-of-{len(files):05d}.parquet"
        writer: Any = None
        for group in _cut_by_bp(numbers, row_bp, row_group_bp):
            table = rows[group.tolist()]
            table = table.append_column(WEIGHT_COLUMN, pa.array(weights[group]))
            writer = writer or pq.ParquetWriter(str(path), table.schema, compression="zstd")
            writer.write_table(table, row_group_size=len(group))
        writer.close()
    return len(files)


def _cut_by_bp(numbers: Positions, row_bp: Positions, part_bp: int) -> list[Positions]:
    """Cut a list of rows where their bp pass another multiple of `part_bp`."""
    parts = (np.cumsum(row_bp[numbers]) - 1) // part_bp
    return np.split(numbers, np.flatnonzero(np.diff(parts)) + 1)
