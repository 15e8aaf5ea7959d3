"""Negatives for positives, by any of the methods, as one table of both."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np

from genolm.alphabet import decode_bases, encode_bases
from genolm.corpus.negatives.annotation import Feature, rename_contigs
from genolm.corpus.negatives.room import MINUS, PLUS, GenomePlaces, Room, build_room, find_places
from genolm.corpus.negatives.shuffle import shuffle_dinucleotides
from genolm.corpus.negatives.substitution import substitute_parts
from genolm.corpus.negatives.windows import Wanted, compute_gc_bins, draw_matching_windows
from genolm.errors import SettingsError
from genolm.genome.intervals import Interval

logger = logging.getLogger(__name__)

Method = Literal["dinucleotide_shuffle", "gc_matched", "intergenic", "substitution", "antisense_coding"]
GENOME_METHODS = ("gc_matched", "intergenic", "antisense_coding")
ANNOTATION_METHODS = ("intergenic", "antisense_coding")

_KINDS = {"gc_matched": "any", "intergenic": "intergenic", "antisense_coding": "antisense"}
_STRAND_SIGNS = {PLUS: "+", MINUS: "-"}


@dataclass(frozen=True, kw_only=True)
class NegativeSettings:
    """How negatives are made."""

    method: Method
    """shuffled or partly replaced positives; or windows of a genome: of the same GC content, between genes,
    or on the back of coding sequence"""
    negatives_per_positive: int = 1
    min_distance_bp: int = 150
    """bp between a window of the genome and any positive"""
    min_start_distance_bp: int = 150
    """bp between a window of the genome and the first base of any annotated gene or transcript; not asked of
    antisense_coding"""
    gc_bin_width: float = 0.02
    """of gc_matched: width of a bin of the GC fraction"""

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            SettingsError: a setting is out of its range.
        """
        if self.method not in get_args(Method):
            raise SettingsError(
                found=f"the method '{self.method}'",
                expected=f"one of {', '.join(get_args(Method))}",
                remedy="use one of these",
            )
        for name, smallest in (
            ("negatives_per_positive", 1),
            ("min_distance_bp", 0),
            ("min_start_distance_bp", 0),
        ):
            if getattr(self, name) < smallest:
                raise SettingsError(
                    found=f"{name} = {getattr(self, name)}",
                    expected=f"{smallest} or more",
                    remedy=f"raise {name}",
                )
        if not 0 < self.gc_bin_width <= 1:
            raise SettingsError(
                found=f"gc_bin_width = {self.gc_bin_width}",
                expected="above 0, at most 1",
                remedy="choose 0.02",
            )


class Positives(NamedTuple):
    """The positives; the fields run in parallel."""

    sequences: list[str]
    splits: list[str]
    """all empty where there is no split"""
    ids: list[str]
    places: list[Interval] | None = None
    """where they lie, if that is known; else they are looked for in the genome"""
    strands: list[str] | None = None


class Record(NamedTuple):
    """A row of the table; an empty text where a place is not known."""

    sequence: str
    label: str
    split: str
    id: str
    contig: str = ""
    start: str = ""
    """0-based"""
    end: str = ""
    """behind the last base"""
    strand: str = ""


class NegativeSet(NamedTuple):
    """Positives and negatives, and how many could not be had."""

    rows: list[Record]
    missing: int
    """negatives for which the genome had no window of the kind"""
    not_found: int
    """positives that do not occur in the genome"""


def build_negatives(
    positives: Positives,
    *,
    settings: NegativeSettings,
    labels: tuple[str, str] = ("positive", "negative"),
    seed: int = 0,
    genome_path: Path | None = None,
    features: Sequence[Feature] = (),
    aliases: Mapping[str, str] | None = None,
) -> NegativeSet:
    """Make negatives, and put them behind the positives.

    A shuffled or replaced negative has the split of its positive, a window that of the positive nearest to
    it; each split gets as many as it has positives, times `negatives_per_positive`.

    Args:
        positives: what they are made for.
        settings: how they are made.
        labels: of positives and negatives.
        seed: 0 or more.
        genome_path: the genome of the positives; for windows.
        features: its annotation; needed for intergenic and antisense_coding, and for gc_matched it keeps the
            windows away from starts.
        aliases: which names mean the same contig, from `genolm.genome.promoters.read_contig_aliases`.

    Raises:
        SettingsError: the method needs a genome or an annotation, and there is none.
        DataError: the positives are not in the genome, are too short to be cut into parts, or the annotation
            is that of another genome.
    """
    _check_inputs(settings, genome_path, features)
    own = [
        Record(sequence, labels[0], split, name, *_get_place(positives, number))
        for number, (sequence, split, name) in enumerate(
            zip(positives.sequences, positives.splits, positives.ids, strict=True)
        )
    ]
    if genome_path is None or settings.method not in GENOME_METHODS:
        return NegativeSet(own + _transform(positives, settings, labels[1], seed), 0, 0)
    genome = find_places(genome_path, positives.sequences, places=positives.places)
    room = build_room(
        genome,
        min_distance_bp=settings.min_distance_bp,
        features=rename_contigs(features, genome.contigs, aliases=aliases or {}),
        min_start_distance_bp=settings.min_start_distance_bp,
        kind=_KINDS[settings.method],
    )
    drawn = _draw(
        positives, settings, labels[1], genome_path=genome_path, genome=genome, room=room, seed=seed
    )
    num_found = len({int(owner) for owners in genome.owners for owner in owners})
    result = NegativeSet(
        rows=(own if positives.places else _add_found_places(own, genome)) + drawn,
        missing=settings.negatives_per_positive * len(own) - len(drawn),
        not_found=len(own) - num_found,
    )
    _log_warnings(result, len(own))
    return result


def _draw(
    positives: Positives,
    settings: NegativeSettings,
    label: str,
    *,
    genome_path: Path,
    genome: GenomePlaces,
    room: Room,
    seed: int,
) -> list[Record]:
    """Return windows of the genome."""
    splits = sorted(set(positives.splits))
    codes = [encode_bases(sequence) for sequence in positives.sequences]
    width = settings.gc_bin_width if settings.method == "gc_matched" else None
    windows = draw_matching_windows(
        genome_path,
        genome,
        room,
        wanted=Wanted(
            lengths_bp=np.array([len(each) for each in codes], dtype=np.int64),
            gc_bins=compute_gc_bins(codes, width=width) if width else np.zeros(len(codes), dtype=np.int64),
            splits=np.array([splits.index(each) for each in positives.splits], dtype=np.int64),
        ),
        copies=settings.negatives_per_positive,
        gc_bin_width=width,
        seed=seed,
    )
    return [
        Record(
            sequence=decode_bases(window),
            label=label,
            split=splits[split],
            id=f"{contig}:{start}-{start + len(window)}({strand})",
            contig=contig,
            start=str(start),
            end=str(start + len(window)),
            strand=strand,
        )
        for contig, start, strand, window, split in zip(*windows, strict=True)
    ]


def _transform(positives: Positives, settings: NegativeSettings, label: str, seed: int) -> list[Record]:
    """Return shuffled or partly replaced positives."""
    make = shuffle_dinucleotides if settings.method == "dinucleotide_shuffle" else substitute_parts
    codes = [encode_bases(sequence) for sequence in positives.sequences]
    rows = []
    for copy in range(settings.negatives_per_positive):
        made = make(codes, seed=seed, first_index=copy * len(codes))
        ending = f"|{settings.method}_{copy + 1}"
        rows += [
            Record(decode_bases(each), label, split, name + ending)
            for each, split, name in zip(made, positives.splits, positives.ids, strict=True)
        ]
    own = set(positives.sequences)
    num_same = sum(row.sequence in own for row in rows)
    if num_same:
        logger.warning(
            "%d negatives are equal to a positive: a sequence such as AAAA has no other order; remove "
            "them, for the labels contradict each other",
            num_same,
        )
    return rows


def _get_place(positives: Positives, number: int) -> tuple[str, ...]:
    if positives.places is None:
        return ()
    contig, start, end = positives.places[number]
    return contig, str(start), str(end), positives.strands[number] if positives.strands else ""


def _add_found_places(rows: list[Record], genome: GenomePlaces) -> list[Record]:
    """Write into each positive the first place where it was found."""
    rows, is_done = list(rows), set()
    for contig, spans, owners, strands in zip(
        genome.contigs, genome.positives, genome.owners, genome.strands, strict=True
    ):
        for index in np.argsort(spans[:, 0], kind="stable"):
            owner = int(owners[index])
            if owner not in is_done:
                is_done.add(owner)
                start, end = spans[index].tolist()
                strand = _STRAND_SIGNS[int(strands[index])]
                rows[owner] = rows[owner]._replace(
                    contig=contig, start=str(start), end=str(end), strand=strand
                )
    return rows


def _check_inputs(settings: NegativeSettings, genome_path: Path | None, features: Sequence[Feature]) -> None:
    needs = (
        ("a genome", settings.method in GENOME_METHODS and genome_path is None, "--genome FASTA"),
        (
            "an annotation",
            settings.method in ANNOTATION_METHODS and not features,
            "--annotation FILE (GFF3, GTF or GenBank)",
        ),
    )
    for what, is_missing, option in needs:
        if is_missing:
            raise SettingsError(
                found=f"the method {settings.method} without {what}", expected=what, remedy=f"give {option}"
            )


def _log_warnings(result: NegativeSet, num_positives: int) -> None:
    if result.not_found:
        logger.warning(
            "%d of %d positives do not occur in the genome: a negative may lie on or near one of them",
            result.not_found,
            num_positives,
        )
    if result.missing:
        logger.warning(
            "%d negatives too few: the genome has no room for more of the kind; lower min_distance_bp or "
            "min_start_distance_bp, or widen gc_bin_width",
            result.missing,
        )
