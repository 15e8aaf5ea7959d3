"""Where on a genome negatives may lie: away from positives, and from genes or on the back of them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.alphabet import UNKNOWN_CODE, Codes, encode_bases
from genolm.corpus.negatives.annotation import CODING, Feature
from genolm.corpus.occurrences import build_sequence_index, find_occurrences
from genolm.errors import DataError
from genolm.genome.contigs import iter_contigs
from genolm.genome.intervals import (
    Interval,
    Intervals,
    find_known_stretches,
    intersect_intervals,
    merge_intervals,
    subtract_intervals,
)

EITHER, PLUS, MINUS = 0, 1, -1

Strands = npt.NDArray[np.int8]


class Room(NamedTuple):
    """Stretches of all contigs, laid one behind the other, that windows may be drawn from."""

    contigs: tuple[str, ...]
    offsets: npt.NDArray[np.int64]
    """[contigs + 1]; where each contig begins in the row of all, with a gap behind it"""
    stretches: Intervals
    """int64 [n, 2]; places in the row of all contigs, sorted and disjoint; no window crosses their ends"""
    strands: Strands
    """int8 [n]; on which strand a window of the stretch is to be read: 1, -1, or 0 for either"""


class GenomePlaces(NamedTuple):
    """What one reading of a genome tells: its contigs, their known bases, and where the positives are."""

    contigs: tuple[str, ...]
    lengths_bp: tuple[int, ...]
    known: tuple[Intervals, ...]
    """per contig, the runs of known bases"""
    positives: tuple[Intervals, ...]
    """per contig, int64 [m, 2]: the places of positives, all that were found"""
    owners: tuple[npt.NDArray[np.int64], ...]
    """per contig, int64 [m]: which positive lies there"""
    strands: tuple[Strands, ...]
    """per contig, int8 [m]: on which strand it is read; 0 where its place was given"""


def find_places(
    genome_path: Path, sequences: Sequence[str], *, places: Sequence[Interval] | None = None
) -> GenomePlaces:
    """Read a genome once, and find the positives in it.

    Args:
        genome_path: FASTA file, plain or gzipped.
        sequences: the positives; without `places` each is looked for on both strands, wherever it is.
        places: where the positives lie, if that is known.

    Raises:
        DataError: the genome is not usable, a place is not on it, or no positive occurs in it.
    """
    index = build_sequence_index(sequences) if places is None else None
    codes_of = [encode_bases(sequence) for sequence in sequences]
    rows: list[tuple[str, int, Intervals, Intervals, npt.NDArray[np.int64], Strands]] = []
    for contig in iter_contigs(genome_path):
        if index is not None:
            found, owners = find_occurrences(index, contig.codes)
        else:
            given = [i for i, place in enumerate(places or ()) if place.contig == contig.id]
            spans = [(places[i].start, places[i].end) for i in given] if places else []
            found, owners = np.array(spans, dtype=np.int64).reshape(-1, 2), np.array(given, dtype=np.int64)
        strands = np.zeros(len(owners), dtype=np.int8)
        if index is not None:
            strands[:] = [
                PLUS if _equals(contig.codes[start:end], codes_of[owner]) else MINUS
                for (start, end), owner in zip(found, owners, strict=True)
            ]
        known = find_known_stretches(contig.codes)
        rows.append((contig.id, len(contig.codes), known, found, owners, strands))
        del contig  # let go of a chromosome before the next one is read
    genome = GenomePlaces(*(tuple(column) for column in zip(*rows, strict=True)))
    _check_places(genome_path.name, genome, places)
    return genome


def build_room(
    genome: GenomePlaces,
    *,
    min_distance_bp: int,
    features: Iterable[Feature] = (),
    min_start_distance_bp: int = 0,
    kind: str = "any",
) -> Room:
    """Return where windows may lie.

    Args:
        genome: from `find_places`.
        min_distance_bp: bases between a window and any positive.
        features: of the annotation, under the genome's names of contigs.
        min_start_distance_bp: bases between a window and the first base of any gene or transcript.
        kind: any place; `intergenic`, outside all features; or `antisense`, on coding stretches and read from
            the other strand, where no feature lies on that strand.

    Raises:
        DataError: the features name no contig of the genome.
    """
    of_contig: dict[str, list[Feature]] = {}
    for feature in features:
        of_contig.setdefault(feature.contig, []).append(feature)
    if of_contig and not of_contig.keys() & set(genome.contigs):
        raise DataError(
            found=f"an annotation of {', '.join(list(of_contig)[:5])}",
            expected=f"the contigs of the genome: {', '.join(genome.contigs[:5])}",
            remedy="give the annotation of this genome, or say with --aliases FILE which names mean the same",
        )
    offsets = np.concatenate([[0], np.cumsum(np.array(genome.lengths_bp, dtype=np.int64) + 1)])
    stretches, strands = [], []
    for number, contig in enumerate(genome.contigs):
        here = of_contig.get(contig, [])
        near = [genome.positives[number] + np.array([-min_distance_bp, min_distance_bp])]
        if kind != "antisense":  # the back of a gene is near its start by nature
            near.append(_surround_starts(here, min_start_distance_bp))
        free = subtract_intervals(genome.known[number], np.concatenate(near))
        for strand, span in _choose_spans(free, here, kind=kind):
            stretches.append(span + offsets[number])
            strands.append(np.full(len(span), strand, dtype=np.int8))
    joined = np.concatenate(stretches)
    order = np.argsort(joined[:, 0], kind="stable")
    return Room(genome.contigs, offsets, joined[order], np.concatenate(strands)[order])


def _choose_spans(
    free: Intervals, features: Sequence[Feature], *, kind: str
) -> Iterable[tuple[int, Intervals]]:
    if kind == "any":
        return [(EITHER, free)]
    if kind == "intergenic":
        return [(EITHER, subtract_intervals(free, _get_spans(features)))]
    return [
        (
            read_on,
            subtract_intervals(
                intersect_intervals(free, _get_spans(features, strands=coding, kind=CODING)),
                _get_spans(features, strands=other),
            ),
        )
        for read_on, coding, other in ((MINUS, "+", "-."), (PLUS, "-", "+."))
    ]


def _get_spans(features: Sequence[Feature], *, strands: str = "+-.", kind: str | None = None) -> Intervals:
    spans = [
        (each.start, each.end)
        for each in features
        if each.strand in strands and (kind is None or each.kind == kind)
    ]
    return merge_intervals(np.array(spans, dtype=np.int64).reshape(-1, 2))


def _surround_starts(features: Sequence[Feature], distance_bp: int) -> Intervals:
    """Return what is too near to the first base of a gene or transcript."""
    begins = [
        each.begin
        for each in _drop_parts(features, strand="+") + _drop_parts(features, strand="-")
        if each.begin is not None
    ]
    starts = np.array(begins, dtype=np.int64)
    return np.stack([starts - distance_bp, starts + 1 + distance_bp], axis=1)


def _drop_parts(features: Sequence[Feature], *, strand: str) -> list[Feature]:
    """Return the features of one strand without the coding stretches of genes, whose starts are none.

    A coding stretch in no gene is a gene itself: some bacterial tables have hardly a row but those.
    """
    whole = [each for each in features if each.strand == strand and each.kind != CODING]
    coding = [each for each in features if each.strand == strand and each.kind == CODING]
    spans = _get_spans(whole)
    index = np.searchsorted(spans[:, 0], [each.start for each in coding], side="right") - 1
    ends = np.concatenate([spans[:, 1], [-1]])[index]  # of no span, at index -1, -1
    return whole + [each for each, end in zip(coding, ends.tolist(), strict=True) if each.end > end]


def _equals(codes: Codes, pattern: Codes) -> bool:
    return bool(((codes == pattern) | (pattern >= UNKNOWN_CODE)).all())


def _check_places(name: str, genome: GenomePlaces, places: Sequence[Interval] | None) -> None:
    length_of: Mapping[str, int] = dict(zip(genome.contigs, genome.lengths_bp, strict=True))
    for place in places or ():
        if place.end > length_of.get(place.contig, 0):
            raise DataError(
                found=f"a positive at {place.contig}:{place.start}-{place.end}",
                expected=f"places on the contigs of {name}: {', '.join(genome.contigs[:5])}",
                remedy="give the genome whose contigs have these names, or remove the columns of places",
            )
    if not sum(map(len, genome.positives)):
        raise DataError(
            found=f"none of the positives in {name}",
            expected="the genome that they come from, to stay away from them",
            remedy="give that genome, or make negatives by dinucleotide_shuffle or substitution",
        )
