"""Motifs compared with known ones: with a consensus by plain counting, with a database through memelite."""

from collections.abc import Sequence
from math import comb
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.alphabet import BASES, encode_bases
from genolm.errors import DataError, SettingsError

Frequencies = npt.NDArray[np.float64]
_MEME_ORDER = [BASES.index(base) for base in "ACGT"]


class ConsensusMatch(NamedTuple):
    """How well the most frequent bases of a motif agree with a consensus."""

    matches: int
    length_bp: int
    """of the consensus"""
    offset: int
    """where the consensus begins in the motif"""
    p_value: float
    """that a random word agrees in as many bases at one of the offsets"""


class DatabaseMatch(NamedTuple):
    """The motif of a database that is most like a motif, by Tomtom (Gupta et al. 2007)."""

    name: str
    p_value: float
    e_value: float
    """p_value times the motifs of the database"""


def match_consensus(frequencies: Frequencies, consensus: str) -> ConsensusMatch:
    """Compare the most frequent base of each column with a consensus, at the best offset, on this strand.

    Args:
        frequencies: [width_bp, 4], A T C G; at least as wide as the consensus.
        consensus: such as TATAAT.

    Raises:
        SettingsError: the consensus is longer than the motif.

    >>> match_consensus(np.eye(4)[[2, 1, 0, 1]], "TAG")[:3]
    (2, 3, 1)
    """
    wanted = encode_bases(consensus)
    if not 1 <= len(wanted) <= len(frequencies):
        raise SettingsError(
            found=f"the consensus {consensus!r} for a motif of {len(frequencies)} bp",
            expected="a consensus of at least 1 bp and at most the width of the motif",
            remedy="shorten it, or build a wider motif",
        )
    best = frequencies.argmax(axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(best, len(wanted))
    matches = (windows == wanted).sum(axis=1)
    offset = int(matches.argmax())
    length = len(wanted)
    tail = (
        sum(comb(length, i) * 3 ** (length - i) for i in range(int(matches[offset]), length + 1)) / 4**length
    )
    return ConsensusMatch(int(matches[offset]), length, offset, 1 - (1 - tail) ** len(windows))


def match_database(motifs: Sequence[Frequencies], path: Path) -> list[DatabaseMatch]:
    """Find for each motif the most similar one of a MEME file, such as JASPAR's, on either strand.

    Raises:
        SettingsError: memelite is not installed.
        DataError: the file is missing or holds no motif.
    """
    try:
        from memelite.io import read_meme
        from memelite.tomtom import tomtom
    except ImportError as error:
        raise SettingsError(
            found="a motif database and no memelite",
            expected="the package memelite, which compares motifs",
            remedy="pip install 'genolm[interpret]'",
        ) from error
    try:
        known = read_meme(str(path)) if path.is_file() else {}
    except (ValueError, AttributeError, IndexError, UnicodeDecodeError):
        known = {}
    if not known:
        raise DataError(
            found=f"no motif in {path.name}",
            expected="a MEME text file, such as JASPAR offers",
            remedy="correct the path, or download the motifs in the MEME format",
        )
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a small database, whose p-values are rough
        queries = [np.ascontiguousarray(each[:, _MEME_ORDER].T) for each in motifs]
        p_values = np.asarray(tomtom(queries, list(known.values()))[0])
    names = list(known)
    best = p_values.argmin(axis=1)
    return [
        DatabaseMatch(names[index], float(row[index]), float(row[index]) * len(names))
        for index, row in zip(best.tolist(), p_values, strict=True)
    ]


def format_meme(motifs: Sequence[Frequencies], names: Sequence[str], num_sites: Sequence[int]) -> str:
    """Write motifs as a MEME text file, which the MEME suite and memelite read."""
    parts = ["MEME version 4\n\nALPHABET= ACGT\n\nstrands: + -\n"]
    for frequencies, name, sites in zip(motifs, names, num_sites, strict=True):
        rows = "".join(
            " ".join(f"{value:.6f}" for value in row) + "\n" for row in frequencies[:, _MEME_ORDER]
        )
        head = f"letter-probability matrix: alength= 4 w= {len(frequencies)} nsites= {sites}"
        parts.append(f"\nMOTIF {name}\n{head}\n{rows}")
    return "".join(parts)
