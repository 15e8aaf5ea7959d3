"""The rows of a corpus on disk: Arrow for people and `datasets`, one byte per base for training."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from genolm.alphabet import Codes

_FLUSH_BP = 1 << 23
_FLUSH_ROWS = 1000
_SHARD_SIZE = "200MB"


class CorpusRow(NamedTuple):
    """One row of the Arrow table: a known stretch of a contig, 0-based and half-open, its case kept."""

    assembly: str
    contig: str
    start: int
    end: int
    sequence: str
    soft_masked: int
    """bp; lower-case letters"""


class SplitSummary(NamedTuple):
    """What one split holds: its rows, their bp, and the sha256 of its file of base codes."""

    rows: int
    bp: int
    bases_sha256: str


class SplitWriter:
    """Writes the rows of one split as they come: Arrow batches to a scratch file, base codes to theirs."""

    def __init__(self, *, arrow_path: Path, bases_path: Path) -> None:
        """Open both files."""
        import pyarrow as pa

        integers, texts = pa.int64(), pa.string()
        types = (texts, texts, integers, integers, texts, integers)
        self._schema = pa.schema(list(zip(CorpusRow._fields, types, strict=True)))
        self._arrow = pa.ipc.new_stream(str(arrow_path), self._schema)
        self._bases = bases_path.open("wb")
        self._digest = hashlib.sha256()
        self._pending: list[CorpusRow] = []
        self._pending_bp = self._rows = self._bp = 0

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is pending, unless the block failed, and close both files."""
        try:
            if kind is None and self._pending:
                self._flush()
        finally:
            self._arrow.close()
            self._bases.close()

    @property
    def summary(self) -> SplitSummary:
        """What was written so far."""
        return SplitSummary(self._rows, self._bp, self._digest.hexdigest())

    def write(self, row: CorpusRow, codes: Codes) -> None:
        """Append one row and its base codes (uint8 [bp])."""
        self._bases.write(codes.data)
        self._digest.update(codes.data)
        self._rows += 1
        self._bp += len(codes)
        self._pending.append(row)
        self._pending_bp += len(codes)
        if self._pending_bp >= _FLUSH_BP or len(self._pending) >= _FLUSH_ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        columns = [
            pa.array(column, type=field.type)
            for column, field in zip(zip(*self._pending, strict=True), self._schema, strict=True)
        ]
        self._arrow.write_batch(pa.record_batch(columns, schema=self._schema))
        self._pending.clear()
        self._pending_bp = 0


def save_dataset_dict(arrow_paths: dict[str, Path], folder: Path) -> None:
    """Turn the scratch Arrow file of each split into a `datasets.DatasetDict`; no cache folder is used."""
    from datasets import Dataset, DatasetDict

    # Any: the keys and values of DatasetDict are wider than what is given here.
    splits: dict[Any, Any] = {split: Dataset.from_file(str(path)) for split, path in arrow_paths.items()}
    with _without_progress_bars():
        # save_to_disk gathers up to a shard in memory
        DatasetDict(splits).save_to_disk(str(folder), max_shard_size=_SHARD_SIZE)


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    was_disabled = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not was_disabled:
            enable_progress_bars()
