"""Any stretch of a genome of any size at once: its base codes in a temporary file, memory-mapped."""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genolm.alphabet import Codes, encode_bases
from genolm.genome.fasta import iter_fasta_blocks


class GenomeCodes(NamedTuple):
    """The contigs of a genome by their names."""

    contigs: Mapping[str, Codes]
    """uint8 [bp] base codes, in the order of the file"""
    sha256: str
    """of names, lengths and bases; line ends, case and compression do not count"""


@contextmanager
def open_genome_codes(path: Path) -> Iterator[GenomeCodes]:
    """Read a FASTA file once; while the block runs, every base is at hand without being in memory.

    The temporary file has one byte a base (a human genome: 3.1 GB) and lies where TMPDIR says.

    Args:
        path: the file, plain or gzipped.

    Raises:
        DataError: see `genolm.genome.fasta.iter_fasta_blocks`.
    """
    digest, lengths_bp = hashlib.sha256(), dict[str, int]()
    with tempfile.TemporaryFile(prefix="genolm-") as file:
        for block in iter_fasta_blocks(path):
            codes = encode_bases(block.letters).tobytes()
            lengths_bp[block.id] = block.start + len(codes)
            digest.update(codes)
            file.write(codes)
        digest.update(repr(list(lengths_bp.items())).encode())
        file.flush()
        whole = np.memmap(file, dtype=np.uint8, mode="r")
        ends = np.cumsum(list(lengths_bp.values())).tolist()
        spans = zip(lengths_bp.items(), ends, strict=True)
        yield GenomeCodes(
            {name: whole[end - length_bp : end] for (name, length_bp), end in spans}, digest.hexdigest()
        )
