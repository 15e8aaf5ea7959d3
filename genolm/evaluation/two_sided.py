"""Counts of bases between their neighbors: what a masked language model of DNA must beat, in bits per base.

A base is predicted from the m bases to its left and the m to its right, by counts on both strands. Where a
context was seldom seen, its counts lean on those of the next smaller one (interpolation with a prior of fixed
strength: MacKay and Bauman Peto 1995, "A hierarchical Dirichlet language model"; with strengths chosen on
held-out sequence, as Jelinek and Mercer 1980 do).

The model sees every neighbor of the one base that it is asked for. A masked language model that hides several
bases in a row, and others nearby, is shown fewer of them, so this floor knows more of the near neighbors than
that model does; what it lacks is all that lies further away.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.alphabet import UNKNOWN_CODE, Codes, reverse_complement
from genolm.errors import SettingsError
from genolm.evaluation.markov import MarkovBits
from genolm.kmer_packing import all_in_windows, pack_windows

MAX_HALF_BP = 6  # 4^13 counts of 4 bytes are 268 MB; one base more on each side would be 4.3 GB
STRENGTHS = tuple(4.0**power for power in range(8))
BATCH_BP = 1 << 20

Counts = npt.NDArray[np.integer]
Windows = npt.NDArray[np.int64]
Chances = npt.NDArray[np.float64]


class TwoSidedModel(NamedTuple):
    """Counts of a base between its neighbors, for each number of neighbors from 0 to half_bp."""

    counts: tuple[Counts, ...]
    """[4^m, 4, 4^m] for m = 0, 1, ...: bases to the left, the base, bases to the right; both strands"""
    strengths: tuple[float, ...]
    """how many counts the chances of the next smaller context are worth, for each m; above 0"""

    @property
    def half_bp(self) -> int:
        """Bases that it sees on each side."""
        return len(self.counts) - 1


class TwoSidedSelection(NamedTuple):
    """The model that is best on validation, and the validation bits per base of every size tried."""

    model: TwoSidedModel
    bits_per_base_by_half: dict[int, float]


def fit_two_sided(pieces: Iterable[Codes], *, half_bp: int, strength: float = 16.0) -> TwoSidedModel:
    """Count every base between its neighbors, on both strands.

    Args:
        pieces: stretches of DNA, each uint8 base codes [length_bp]; a window of 2 * half_bp + 1 bases never
            crosses two pieces, nor an unknown base (code 4).
        half_bp: bases on each side, 0..6.
        strength: of every size of context, above 0.

    Returns:
        A `TwoSidedModel`; the smaller contexts are counted in the same windows.

    Raises:
        SettingsError: half_bp or strength out of range.

    >>> from genolm.alphabet import encode_bases
    >>> model = fit_two_sided([encode_bases("AGA")], half_bp=1)
    >>> model.counts[0].ravel().tolist()  # A, T, C, G: the G, and the C opposite
    [0, 0, 1, 1]
    >>> int(model.counts[1][0, 3, 0]), int(model.counts[1][1, 2, 1])  # AGA and TCT
    (1, 1)
    """
    _check_half_bp(half_bp, expected_from=0)
    if strength <= 0:
        raise SettingsError(
            found=f"strength={strength}", expected="a number above 0", remedy="set strength=16"
        )
    # Half the memory for the large tables, where hundreds of gigabases would be needed to overflow a cell.
    counts = np.zeros(4 ** (2 * half_bp + 1), dtype=np.uint32 if half_bp > 4 else np.int64)
    for codes in _iter_batches(pieces, overlap_bp=2 * half_bp):
        for strand in (codes, reverse_complement(codes)):
            np.add.at(counts, _pack_known_windows(strand, half_bp), counts.dtype.type(1))
    levels: list[Counts] = [counts.reshape(4**half_bp, 4, 4**half_bp)]
    for size in range(half_bp, 0, -1):
        inner = 4 ** (size - 1)
        levels.append(levels[-1].reshape(4, inner, 4, inner, 4).sum(axis=(0, 4), dtype=np.int64))
    return TwoSidedModel(tuple(levels[::-1]), (float(strength),) * len(levels))


def compute_two_sided_bits(
    model: TwoSidedModel, windows: Iterable[Codes], *, margin_bp: int = MAX_HALF_BP
) -> MarkovBits:
    """Score every base of the windows that has margin_bp known bases on each side.

    The bases scored depend on the windows and margin_bp alone, not on the model's size.

    Args:
        model: from `fit_two_sided` or `select_two_sided`.
        windows: uint8 base codes [length_bp] each.
        margin_bp: bases at each end of a window that are context only: model.half_bp..6.

    Returns:
        A `MarkovBits`: the summed cost in bits, and the number of bases.

    Raises:
        SettingsError: margin_bp is out of range.
    """
    _check_half_bp(margin_bp, expected_from=model.half_bp)
    total_bits, bases = 0.0, 0
    for packed in _iter_windows(windows, margin_bp):
        total_bits -= float(np.log2(compute_middle_chances(model, packed, margin_bp=margin_bp)).sum())
        bases += len(packed)
    return MarkovBits(total_bits, bases)


def compute_middle_chances(model: TwoSidedModel, packed: Windows, *, margin_bp: int) -> Chances:
    """Return P(base | neighbors) of the base in the middle of each window, float64 [n].

    From the inside out: p_m = (count_m + strength_m * p_(m-1)) / (total_m + strength_m), and p_(-1) is 1/4.

    Args:
        model: from `fit_two_sided` or `select_two_sided`.
        packed: int64 [n], windows of 2 * margin_bp + 1 base codes read as numbers of base 4.
        margin_bp: bases on each side of the middle one, at least model.half_bp.

    >>> from genolm.alphabet import encode_bases
    >>> model = fit_two_sided([encode_bases("AGA")], half_bp=0, strength=2)
    >>> compute_middle_chances(model, np.arange(4), margin_bp=0).tolist()  # (2, 2, 1, 1) and 2 * 1/4 each
    [0.3125, 0.3125, 0.1875, 0.1875]
    """
    chances = np.full(len(packed), 0.25)
    for counts, strength in zip(model.counts, model.strengths, strict=True):
        count, total = _find_counts(counts, packed, margin_bp)
        chances = (count + strength * chances) / (total + strength)
    return chances


def select_two_sided(
    train_pieces: Iterable[Codes], validation_windows: Iterable[Codes], *, max_half_bp: int = MAX_HALF_BP
) -> TwoSidedSelection:
    """Choose how many bases on each side, and the strength of each size, by validation bits per base.

    The strengths are chosen one after the other from the smallest context to the largest, out of
    `STRENGTHS`; then the size with the fewest bits per base, on a tie the smallest. All are scored on the
    same bases, those with max_half_bp known bases on each side.

    Args:
        train_pieces: uint8 base codes [length_bp] each; counted.
        validation_windows: as above; scored.
        max_half_bp: the largest size to try, 0..6.

    Returns:
        A `TwoSidedSelection`.

    Raises:
        SettingsError: max_half_bp is out of range.
        DataError: no validation base has max_half_bp known bases on each side.
    """
    windows = list(validation_windows)
    counts = fit_two_sided(train_pieces, half_bp=max_half_bp).counts
    model = TwoSidedModel((), ())
    by_half: dict[int, float] = {}
    for half_bp, level in enumerate(counts):
        scores = _try_strengths(model, level, windows, margin_bp=max_half_bp)
        strength = min(scores, key=lambda tried: scores[tried].total_bits)
        model = TwoSidedModel((*model.counts, level), (*model.strengths, strength))
        by_half[half_bp] = scores[strength].bits_per_base
    best_half_bp = min(by_half, key=by_half.__getitem__)
    best = TwoSidedModel(model.counts[: best_half_bp + 1], model.strengths[: best_half_bp + 1])
    return TwoSidedSelection(best, by_half)


def _try_strengths(
    model: TwoSidedModel, level: Counts, windows: Sequence[Codes], *, margin_bp: int
) -> dict[float, MarkovBits]:
    """Score the windows with the model and one more size of context on top, for each of STRENGTHS."""
    total_bits, bases = dict.fromkeys(STRENGTHS, 0.0), 0
    for packed in _iter_windows(windows, margin_bp):
        below = compute_middle_chances(model, packed, margin_bp=margin_bp)
        count, total = _find_counts(level, packed, margin_bp)
        for strength in STRENGTHS:
            total_bits[strength] -= float(np.log2((count + strength * below) / (total + strength)).sum())
        bases += len(packed)
    return {strength: MarkovBits(bits, bases) for strength, bits in total_bits.items()}


def _find_counts(counts: Counts, packed: Windows, margin_bp: int) -> tuple[Chances, Chances]:
    """Return how often the middle base stands between its nearest neighbors, and how often any does, [n]."""
    contexts = len(counts)
    left = (packed >> 2 * (margin_bp + 1)) % contexts
    middle = (packed >> 2 * margin_bp) % 4
    right = (packed % 4**margin_bp) // (4**margin_bp // contexts)
    found = counts[left, :, right].astype(np.float64)
    return found[np.arange(len(found)), middle], found.sum(axis=1)


def _iter_windows(pieces: Iterable[Codes], half_bp: int) -> Iterator[Windows]:
    """Yield the windows of 2 * half_bp + 1 known bases of all pieces, int64 [n], a few at a time."""
    for codes in _iter_batches(pieces, overlap_bp=2 * half_bp):
        yield _pack_known_windows(codes, half_bp).astype(np.int64)


def _pack_known_windows(codes: Codes, half_bp: int) -> npt.NDArray[np.unsignedinteger]:
    """Read every window of 2 * half_bp + 1 known bases as a number of base 4."""
    width = 2 * half_bp + 1
    if len(codes) < width:
        return np.empty(0, dtype=np.uint8)
    return pack_windows(codes, k=width)[all_in_windows(codes < UNKNOWN_CODE, k=width)]


def _iter_batches(pieces: Iterable[Codes], *, overlap_bp: int) -> Iterator[Codes]:
    """Yield base codes [n], about BATCH_BP at a time.

    Short pieces are joined by an unknown base, which no window crosses; a long one is cut into parts that
    overlap, so that each window of overlap_bp + 1 bases is in exactly one part.
    """
    batch: list[Codes] = []
    separator = np.full(1, UNKNOWN_CODE, dtype=np.uint8)
    batch_bp = 0
    for piece in pieces:
        for start in range(0, len(piece), BATCH_BP):
            part = piece[max(start - overlap_bp, 0) : start + BATCH_BP]
            batch += [part, separator]
            batch_bp += len(part)
            if batch_bp >= BATCH_BP:
                yield np.concatenate(batch)
                batch, batch_bp = [], 0
    if batch:
        yield np.concatenate(batch)


def _check_half_bp(half_bp: int, *, expected_from: int) -> None:
    if not expected_from <= half_bp <= MAX_HALF_BP:
        raise SettingsError(
            found=f"{half_bp} bases on each side",
            expected=f"{expected_from}..{MAX_HALF_BP}",
            remedy="choose a number between 2 and 6 for the model, and a margin that is not smaller",
        )
