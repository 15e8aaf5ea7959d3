"""Where explained sequences lie in a genome: by their names or a BED file; values of bases as bedGraph."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.errors import DataError
from genolm.files import write_text
from genolm.genome.text_files import open_by_content

_NAME = re.compile(
    r"(?P<contig>[^\s:]+):(?P<start>\d+)-(?P<end>\d+)(?:\((?P<in>[+-])\)|(?P<plain>[+-]))?(?:$|[:|;\s])"
)


class Place(NamedTuple):
    """A stretch of a contig, 0-based and half-open, and the strand on which the sequence reads."""

    contig: str
    start: int
    end: int
    strand: str


def read_place(name: str, length_bp: int) -> Place | None:
    """Read the place of a sequence from its name, as bedtools and samtools write it; None if it has none.

    `contig:start-end`, with `(+)`, `(-)`, `+` or `-` behind it and more after a colon. bedtools counts from 0
    and samtools from 1: which one it is follows from the length of the sequence.

    Raises:
        DataError: the sequence has another length than the place.

    >>> read_place("chr1:10-14(-)", 4)
    Place(contig='chr1', start=10, end=14, strand='-')
    >>> read_place("chr1:11-14", 4)
    Place(contig='chr1', start=10, end=14, strand='+')
    """
    found = _NAME.match(name)
    if found is None:
        return None
    start, end = int(found["start"]), int(found["end"])
    strand = found["in"] or found["plain"] or "+"
    if end - start == length_bp:
        return Place(found["contig"], start, end, strand)
    if end - start + 1 == length_bp and start > 0:
        return Place(found["contig"], start - 1, end, strand)
    raise DataError(
        found=f"{name!r} with {length_bp} bp",
        expected=f"{end - start} bp (counted from 0, as bedtools) or {end - start + 1} bp (from 1, samtools)",
        remedy="correct the coordinates in the header",
    )


def read_bed_places(path: Path) -> dict[str, Place]:
    """Read the places of named sequences from a BED file of at least 4 columns, plain or gzipped.

    Raises:
        DataError: the file is missing, or a line has no contig, start, end and name.
    """
    places: dict[str, Place] = {}
    with open_by_content(path) as stream:
        lines = stream.read().decode("utf-8", "replace").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith(("#", "track", "browser")):
            continue
        parts = line.split("\t")
        if (
            len(parts) < 4
            or not (parts[1].isdigit() and parts[2].isdigit())
            or int(parts[1]) >= int(parts[2])
        ):
            raise DataError(
                found=f"line {number} of {path.name}: {line[:60]!r}",
                expected="contig, start, end, name and, better than not, score and strand, with tabs between",
                remedy="write a BED file whose names are the ids of the sequences",
            )
        strand = parts[5] if len(parts) > 5 and parts[5] in "+-" else "+"
        places[parts[3]] = Place(parts[0], int(parts[1]), int(parts[2]), strand)
    return places


def find_places(
    ids: Sequence[str], sequences: Sequence[str], *, bed: Path | None = None
) -> list[Place | None]:
    """Return the place of each sequence, by the BED file or else by its name.

    Raises:
        DataError: as the two readers; or the BED file lacks a sequence, or has another length for it.
    """
    if bed is None:
        return [read_place(name, len(sequence)) for name, sequence in zip(ids, sequences, strict=True)]
    known = read_bed_places(bed)
    places: list[Place | None] = []
    for name, sequence in zip(ids, sequences, strict=True):
        place = known.get(name)
        if place is None or place.end - place.start != len(sequence):
            raise DataError(
                found=f"no line of {len(sequence)} bp for {name!r} in {bed.name}",
                expected="a line for each sequence, with its id as the name and its length",
                remedy="write the lines from which the sequences were cut",
            )
        places.append(place)
    return places


def write_bedgraph(
    path: Path, places: Sequence[Place | None], values: Sequence[npt.NDArray[np.floating[Any]]]
) -> int:
    """Write a value for each base of the sequences that have a place; return the number of lines.

    Where sequences overlap, on either strand, a base has the mean; NaN is left out.
    """
    by_contig: dict[str, list[tuple[npt.NDArray[np.int64], npt.NDArray[np.floating[Any]]]]] = {}
    for place, row in zip(places, values, strict=True):
        if place is not None:
            ahead = row if place.strand == "+" else row[::-1]
            by_contig.setdefault(place.contig, []).append((np.arange(place.start, place.end), ahead))
    lines = []
    for contig, parts in sorted(by_contig.items()):
        positions = np.concatenate([part[0] for part in parts])
        numbers = np.concatenate([part[1] for part in parts]).astype(np.float64)
        is_known = ~np.isnan(numbers)
        found, index, counts = np.unique(positions[is_known], return_inverse=True, return_counts=True)
        means = np.bincount(index, weights=numbers[is_known]) / counts
        lines += [
            f"{contig}\t{start}\t{start + 1}\t{mean:.6g}\n"
            for start, mean in zip(found.tolist(), means.tolist(), strict=True)
        ]
    write_text(path, "".join(lines))
    return len(lines)
