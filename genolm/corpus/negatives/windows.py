"""Windows from the room that a genome has for negatives, as long as the positives and split like them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.alphabet import BASES, UNKNOWN_CODE, Codes, reverse_complement
from genolm.corpus.negatives.room import EITHER, MINUS, PLUS, GenomePlaces, Room
from genolm.genome.contigs import iter_contigs

_CANDIDATES_PER_WINDOW = 100
_MAX_CANDIDATE_BP = 1 << 29
_GC_CODES = (BASES.index("G"), BASES.index("C"))

Integers = npt.NDArray[np.int64]


class Windows(NamedTuple):
    """Windows in the order of the genome; the fields run in parallel."""

    contigs: list[str]
    starts: list[int]
    """0-based, on the + strand"""
    strands: list[str]
    """+ or -"""
    codes: list[Codes]
    """uint8 base codes, read on that strand"""
    splits: list[int]
    """index of the split"""


class Wanted(NamedTuple):
    """What the positives ask for; the arrays run in parallel."""

    lengths_bp: Integers
    """[n]"""
    gc_bins: Integers
    """[n]; all 0 where the GC content does not matter"""
    splits: Integers
    """[n]; index of the split"""


def draw_matching_windows(
    genome_path: Path,
    genome: GenomePlaces,
    room: Room,
    *,
    wanted: Wanted,
    copies: int,
    gc_bin_width: float | None,
    seed: int,
) -> Windows:
    """Draw for each positive a window of its length, split and GC bin, none that overlaps another.

    Each stretch of the room is laid out in as many cells as it has room for, as long as the longest positive,
    from a random place on, and a window begins at a random place of a cell; so a stretch that is shorter than
    the longest positive is not used. A cell belongs to the split of the positive that lies nearest. Of all
    cells, in random order, the first that fit are taken.

    Args:
        genome_path: FASTA file that `genome` tells of; it is read once more.
        genome: where the positives lie.
        room: where windows may lie.
        wanted: of each positive, what its windows shall have.
        copies: windows for each positive.
        gc_bin_width: width of a GC bin as a fraction; None: the GC content does not matter.
        seed: of all choices.

    Returns:
        At most copies * n windows; fewer where the room does not have enough of a kind.
    """
    generator = np.random.default_rng(seed)
    cell_bp = int(wanted.lengths_bp.max())
    cells, strands = _lay_cells(room, cell_bp, generator)
    order = generator.permutation(len(cells))
    lengths = wanted.lengths_bp[generator.permutation(len(order)) % len(wanted.lengths_bp)]
    splits = _find_nearest_splits(cells[order] + cell_bp // 2, genome, room, wanted.splits)
    if gc_bin_width is None:
        keep = _take_first(splits, lengths, np.zeros_like(lengths), wanted=wanted, copies=copies)
    else:
        num_wanted = copies * len(wanted.splits)
        limit = max(num_wanted, min(_CANDIDATES_PER_WINDOW * num_wanted, _MAX_CANDIDATE_BP // cell_bp))
        keep = np.arange(min(limit, len(order)))
    order, lengths, splits = order[keep], lengths[keep], splits[keep]
    starts = cells[order] + generator.integers(0, cell_bp - lengths + 1)
    strands = np.where(
        strands[order] == EITHER, generator.choice([PLUS, MINUS], size=len(order)), strands[order]
    )
    codes = _read_codes(genome_path, room, starts, lengths)
    keep = np.arange(len(codes))
    if gc_bin_width is not None:
        bins = compute_gc_bins(codes, width=gc_bin_width)
        keep = _take_first(splits, lengths, bins, wanted=wanted, copies=copies)
    keep = keep[np.argsort(starts[keep])]
    contig_of = np.searchsorted(room.offsets, starts, side="right") - 1
    return Windows(
        contigs=[room.contigs[contig_of[each]] for each in keep],
        starts=(starts - room.offsets[contig_of])[keep].tolist(),
        strands=["+" if strands[each] == PLUS else "-" for each in keep],
        codes=[codes[each] if strands[each] == PLUS else reverse_complement(codes[each]) for each in keep],
        splits=splits[keep].tolist(),
    )


def compute_gc_bins(sequences: Sequence[Codes], *, width: float) -> Integers:
    """Return the bin of the GC fraction of each sequence: int64 [n], floor(GC / width).

    Unknown bases do not count; a fraction of 1 belongs to the bin below it.

    >>> from genolm.alphabet import encode_bases
    >>> codes = [encode_bases(text) for text in ("AAAA", "ACGT", "GGGN")]
    >>> compute_gc_bins(codes, width=0.25).tolist()
    [0, 2, 3]
    """
    bins = np.zeros(len(sequences), dtype=np.int64)
    for number, codes in enumerate(sequences):
        num_gc = int(np.isin(codes, _GC_CODES).sum())
        num_known = int((codes < UNKNOWN_CODE).sum())
        # A fraction on the border of two bins belongs to the upper one, whatever the rounding.
        bins[number] = int(min(num_gc / max(num_known, 1), 1 - 1e-9) / width + 1e-9)
    return bins


def _lay_cells(
    room: Room, cell_bp: int, generator: np.random.Generator
) -> tuple[Integers, npt.NDArray[np.int8]]:
    """Return starts and strands of cells that lie side by side in each stretch, from a random place on."""
    free_bp = room.stretches[:, 1] - room.stretches[:, 0] - cell_bp
    fits = free_bp >= 0
    begins, free_bp, strands = room.stretches[fits, 0], free_bp[fits], room.strands[fits]
    number = free_bp // cell_bp + 1
    first = generator.integers(0, free_bp % cell_bp + 1)
    within = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    return np.repeat(begins + first, number) + within * cell_bp, np.repeat(strands, number)


def _find_nearest_splits(
    middles: Integers, genome: GenomePlaces, room: Room, splits_of_positives: Integers
) -> Integers:
    """Return the split of the nearest positive of the contig; without one there, of a contig beside it."""
    apart = room.offsets[:-1] + np.arange(len(room.contigs)) * room.offsets[-1]
    contig_of = np.searchsorted(room.offsets, middles, side="right") - 1
    middles = middles + (apart - room.offsets[:-1])[contig_of]
    center = np.concatenate(
        [spans.mean(axis=1) + offset for spans, offset in zip(genome.positives, apart, strict=True)]
    )
    order = np.argsort(center, kind="stable")
    center, owners = center[order], np.concatenate(genome.owners)[order]
    right = np.clip(np.searchsorted(center, middles), 1, max(len(center) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(center) - 1)
    is_left = middles - center[left] <= center[right] - middles
    return splits_of_positives[owners[np.where(is_left, left, right)]]


def _take_first(
    splits: Integers, lengths: Integers, bins: Integers, *, wanted: Wanted, copies: int
) -> Integers:
    """Return the indices of the candidates that come first of their kind, as many as are wanted."""
    asked = np.stack([wanted.splits, wanted.lengths_bp, wanted.gc_bins], axis=1)
    found = np.stack([splits, lengths, bins], axis=1)
    _, kinds = np.unique(np.concatenate([asked, found]), axis=0, return_inverse=True)
    kinds = kinds.ravel()
    needs = copies * np.bincount(kinds[: len(asked)], minlength=int(kinds.max()) + 1)
    kind = kinds[len(asked) :]
    order = np.argsort(kind, kind="stable")
    number = np.bincount(kind, minlength=len(needs))
    rank = np.empty(len(kind), dtype=np.int64)
    rank[order] = np.arange(len(kind)) - np.repeat(np.cumsum(number) - number, number)
    return np.flatnonzero(rank < needs[kind])


def _read_codes(genome_path: Path, room: Room, starts: Integers, lengths: Integers) -> list[Codes]:
    """Read the windows from the genome, on the + strand."""
    codes: list[Codes] = [np.empty(0, dtype=np.uint8)] * len(starts)
    contig_of = np.searchsorted(room.offsets, starts, side="right") - 1
    for number, contig in enumerate(iter_contigs(genome_path)):
        for index in np.flatnonzero(contig_of == number):
            start = starts[index] - room.offsets[number]
            codes[index] = contig.codes[start : start + lengths[index]].copy()
        del contig
    return codes
