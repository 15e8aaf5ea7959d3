"""Small generated inputs that more than one folder of tests uses."""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from made_up_dna import make_dna
from plain_python import PlainPython

collect_ignore = ["fixtures"]  # data, and the scripts that made it with other packages


class SmallGenome(NamedTuple):
    """A generated genome: its gzipped FASTA file, and its letters per contig."""

    path: Path
    sequences: dict[str, str]


@pytest.fixture(scope="session")
def run_plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Run a program where genolm was never imported; what it prints is returned."""
    with PlainPython(tmp_path_factory.mktemp("plain")) as plain:
        yield plain.run


@pytest.fixture(scope="session")
def small_genome(tmp_path_factory: pytest.TempPathFactory) -> SmallGenome:
    """60 kb: contig_a has an N gap (10,000-10,700), soft-masked bases (20,000-23,000) and an R at 30,000."""
    text = make_dna(40_000, seed=1)
    text = text[:10_000] + "N" * 700 + text[10_700:20_000] + text[20_000:23_000].lower() + text[23_000:]
    text = text[:30_000] + "R" + text[30_001:]
    sequences = {"contig_a": text, "contig_b": make_dna(20_000, seed=2)}
    path = tmp_path_factory.mktemp("genome") / "small.fa.gz"
    lines = [
        f">{name} generated\n" + "".join(f"{text[i : i + 60]}\n" for i in range(0, len(text), 60))
        for name, text in sequences.items()
    ]
    path.write_bytes(gzip.compress("".join(lines).encode(), mtime=0))
    return SmallGenome(path, sequences)
