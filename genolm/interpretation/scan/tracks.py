"""The values of a scan as bedGraph and bigWig, one of each for a strand."""

import gzip
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.errors import SettingsError
from genolm.files import atomic_path
from genolm.interpretation.scan.blocks import Values

DIGITS = 4
# A row of a track: contig, start, end, value; 0-based and half-open.
TrackRow = tuple[str, int, int, float]


class TrackPart(NamedTuple):
    """Values at places of one contig, in its order."""

    contig: str
    places: npt.NDArray[np.int64]
    """[n], 0-based"""
    values: Values
    """[n]"""


def iter_rows(
    parts: Iterable[TrackPart], *, stride_bp: int, contig_lengths_bp: Mapping[str, int]
) -> Iterator[TrackRow]:
    """Yield a row for each value, rounded to 4 digits: it holds from its place to the next one."""
    for part in parts:
        ends = np.minimum(part.places + stride_bp, contig_lengths_bp[part.contig])
        values = part.values.astype(np.float64).round(DIGITS)
        for start, end, value in zip(part.places.tolist(), ends.tolist(), values.tolist(), strict=True):
            yield part.contig, start, end, value


def write_bedgraph(path: Path, rows: Iterable[TrackRow]) -> None:
    """Write a gzipped bedGraph; the same rows give the same bytes."""
    with (
        atomic_path(path) as temporary,
        open(temporary, "wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=3, mtime=0) as file,
    ):
        for contig, start, end, value in rows:
            file.write(f"{contig}\t{start}\t{end}\t{value:.{DIGITS}f}\n".encode())


def write_bigwig(path: Path, rows: Iterable[TrackRow], *, contig_lengths_bp: Mapping[str, int]) -> None:
    """Write a bigWig.

    Args:
        path: of the file.
        rows: sorted by contig, as text, and place.
        contig_lengths_bp: of every contig.

    Raises:
        SettingsError: pybigtools is not installed.
    """
    open_bigwig = load_bigwig_writer()
    with atomic_path(path) as temporary:
        # pybigtools tells the format by the ending
        unfinished = temporary.with_name(f"{temporary.name}.bw")
        try:
            open_bigwig(str(unfinished), "w").write(dict(contig_lengths_bp), rows)
            unfinished.replace(temporary)
        finally:
            unfinished.unlink(missing_ok=True)


def load_bigwig_writer() -> Callable[..., Any]:
    """Return what opens a bigWig for writing.

    Raises:
        SettingsError: pybigtools is not installed.
    """
    try:
        import pybigtools
    except ImportError as error:
        raise SettingsError(
            found="a bigWig to write without the package pybigtools",
            expected="pybigtools beside genolm",
            remedy="pip install 'genolm[variants]', or give --no-bigwig",
        ) from error
    opener: Callable[..., Any] = pybigtools.open
    return opener
