"""Where one contig is cut: known stretches, less what is excluded, within one split, of a bounded length."""

from dataclasses import dataclass, fields
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.alphabet import Codes
from genolm.errors import SettingsError
from genolm.genome.intervals import Intervals, find_known_stretches, intersect_intervals, subtract_intervals

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class CorpusSettings:
    """How genomes are cut into rows, and rows given to splits."""

    split: Literal["blocks", "contigs", "none"] = "blocks"
    """by blocks of each contig, by whole contigs, or everything to train"""
    block_bp: int = 50_000
    """bp; length of a block"""
    block_modulus: int = 10
    """blocks; block i of a contig (0-based) belongs to the split of i modulo this number"""
    validation_blocks: tuple[int, ...] = (5,)
    """block indices modulo block_modulus; not named here and not in test_blocks means train"""
    test_blocks: tuple[int, ...] = (3, 8)
    """block indices modulo block_modulus"""
    validation_contigs: tuple[str, ...] = ()
    """record ids; read when split is contigs, as are test_contigs"""
    test_contigs: tuple[str, ...] = ()
    """record ids"""
    max_piece_bp: int = 1_000_000
    """bp; a longer stretch becomes several rows of nearly equal length"""
    min_piece_bp: int = 500
    """bp; a shorter stretch is left out"""
    exclude_from: Literal["all", "train"] = "all"
    """which splits lose what is excluded; with train, the held-out splits keep their stretches whole"""

    def __post_init__(self) -> None:
        """Check the settings; lists, as YAML gives them, become tuples.

        Raises:
            SettingsError: a setting is out of its range, or a block or contig is in two splits.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, tuple):
                if isinstance(value, str):
                    raise _build_error(field.name, value, "a list", f"write [{value}]")
                object.__setattr__(self, field.name, tuple(value))
        if self.exclude_from not in ("all", "train"):
            raise _build_error("exclude_from", self.exclude_from, "all or train", "choose one of the two")
        if self.split not in ("blocks", "contigs", "none"):
            raise _build_error("split", self.split, "blocks, contigs or none", "choose one of the three")
        for name in ("block_bp", "block_modulus", "min_piece_bp"):
            if getattr(self, name) < 1:
                raise _build_error(name, getattr(self, name), "1 or more", f"raise {name}")
        if self.max_piece_bp < 2 * self.min_piece_bp:
            expected = f"at least twice min_piece_bp ({self.min_piece_bp})"
            raise _build_error("max_piece_bp", self.max_piece_bp, expected, "raise it or lower min_piece_bp")
        if self.split == "blocks":
            self._check_blocks()
        elif self.split == "contigs":
            self._check_contigs()

    def _check_blocks(self) -> None:
        if self.block_bp < self.min_piece_bp:
            expected = f"at least min_piece_bp ({self.min_piece_bp})"
            raise _build_error("block_bp", self.block_bp, expected, "raise block_bp or lower min_piece_bp")
        held_out = [*self.validation_blocks, *self.test_blocks]
        if len(set(held_out)) < len(held_out) or not set(held_out) < set(range(self.block_modulus)):
            raise SettingsError(
                found=f"validation_blocks = {list(self.validation_blocks)} "
                f"and test_blocks = {list(self.test_blocks)}",
                expected=f"each block once, from 0 to {self.block_modulus - 1}, and one left for train",
                remedy="change the blocks or raise block_modulus",
            )

    def _check_contigs(self) -> None:
        held_out = [*self.validation_contigs, *self.test_contigs]
        if not held_out or len(set(held_out)) < len(held_out):
            raise SettingsError(
                found=f"validation_contigs = {list(self.validation_contigs)} "
                f"and test_contigs = {list(self.test_contigs)}",
                expected="at least one contig, and each contig once",
                remedy="name the contigs to hold out, or set split to blocks or none",
            )


def _build_error(name: str, value: object, expected: str, remedy: str) -> SettingsError:
    return SettingsError(found=f"{name} = {value}", expected=expected, remedy=remedy)


class PiecePlan(NamedTuple):
    """The rows of one contig, and what became of its other bases."""

    pieces: dict[str, Intervals]
    """per split int64 [n, 2], sorted; each becomes one row"""
    unknown_bp: int
    """bp that are no A, C, G or T"""
    excluded_bp: int
    """known bp inside the cuts"""
    dropped_short_bp: int
    """known bp in stretches shorter than min_piece_bp"""


def plan_pieces(codes: Codes, *, contig: str, settings: CorpusSettings, cuts: Intervals) -> PiecePlan:
    """Decide the rows of one contig.

    Args:
        codes: uint8 [bp], base codes.
        contig: record id; decides the split when whole contigs are held out.
        settings: how to cut and split.
        cuts: int64 [n, 2], what must not be in any row (of the train split, if exclude_from is train); in
            any order.

    Returns:
        The rows; their bp and the three counts add up to the length of the contig.
    """
    known = find_known_stretches(codes)
    uncut = subtract_intervals(known, cuts)
    pieces = {}
    dropped_short_bp = kept_bp = 0
    for split, spans in compute_split_spans(len(codes), contig=contig, settings=settings).items():
        is_cut = settings.exclude_from == "all" or split == "train"
        stretches = intersect_intervals(uncut if is_cut else known, spans)
        kept_bp += int(_count_bp(stretches))
        is_short = _count_bp(stretches, axis=1) < settings.min_piece_bp
        dropped_short_bp += int(_count_bp(stretches[is_short]))
        pieces[split] = cut_evenly(stretches[~is_short], max_piece_bp=settings.max_piece_bp)
    known_bp = int(_count_bp(known))
    return PiecePlan(pieces, len(codes) - known_bp, known_bp - kept_bp, dropped_short_bp)


def compute_split_spans(length_bp: int, *, contig: str, settings: CorpusSettings) -> dict[str, Intervals]:
    """Return per split the spans of a contig that belong to it, int64 [n, 2]; together they cover it.

    >>> settings = CorpusSettings(block_bp=500, block_modulus=3, validation_blocks=(2,), test_blocks=())
    >>> {split: spans.tolist() for split, spans in
    ...     compute_split_spans(1800, contig="a", settings=settings).items()}
    {'train': [[0, 500], [500, 1000], [1500, 1800]], 'validation': [[1000, 1500]], 'test': []}
    """
    if settings.split == "blocks":
        block_bp, held_out = settings.block_bp, (settings.validation_blocks, settings.test_blocks)
    else:
        block_bp = max(1, length_bp)
        in_validation = settings.split == "contigs" and contig in settings.validation_contigs
        in_test = settings.split == "contigs" and contig in settings.test_contigs
        held_out = ((0,) if in_validation else (), (0,) if in_test else ())
    starts = np.arange(0, length_bp, block_bp, dtype=np.int64)
    spans = np.stack([starts, np.minimum(starts + block_bp, length_bp)], axis=1)
    blocks = np.arange(len(starts)) % settings.block_modulus
    is_validation, is_test = (np.isin(blocks, members) for members in held_out)
    is_in = {"train": ~(is_validation | is_test), "validation": is_validation, "test": is_test}
    return {split: spans[is_in[split]] for split in SPLITS}


def cut_evenly(stretches: Intervals, *, max_piece_bp: int) -> Intervals:
    """Cut long stretches into the fewest pieces of at most `max_piece_bp`, as even as can be.

    >>> cut_evenly(np.array([[0, 10], [20, 23]]), max_piece_bp=4).tolist()
    [[0, 3], [3, 6], [6, 10], [20, 23]]
    """
    starts, lengths_bp = stretches[:, 0], stretches[:, 1] - stretches[:, 0]
    num_pieces = -(-lengths_bp // max_piece_bp)
    rank = np.arange(num_pieces.sum()) - np.repeat(np.cumsum(num_pieces) - num_pieces, num_pieces)
    starts, lengths_bp, num_pieces = (np.repeat(a, num_pieces) for a in (starts, lengths_bp, num_pieces))
    edges = [starts + lengths_bp * (rank + step) // num_pieces for step in (0, 1)]
    return np.stack(edges, axis=1)


def _count_bp(intervals: Intervals, axis: int | None = None) -> npt.NDArray[np.int64]:
    return np.diff(intervals, axis=1).sum(axis=axis)
