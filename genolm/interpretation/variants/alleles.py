"""Alleles in their place: contigs under other names, REF against the genome, the windows of both alleles."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from genolm.alphabet import UNKNOWN_CODE, Codes, encode_bases
from genolm.interpretation.variants.records import VariantRecord
from genolm.interpretation.variants.settings import VariantSettings

UNKNOWN_CONTIG = "unknown contig"
PAST_END = "position past the end of the contig"
REF_MISMATCH = "REF differs from the genome"
NO_ALTERNATIVE = "no alternative allele"
SYMBOLIC = "symbolic allele"
NO_BASES = "allele with other letters than bases"
UNKNOWN_BASE = "unknown base in the window"
TOO_LONG = "allele too long for the window"
NEAR_END = "window past the end of the contig"

_MITOCHONDRIA = ("chrM", "MT", "chrMT", "M")
_LETTERS = frozenset("ACGTUNacgtunRYSWKMBDHVryswkmbdhv")


class AllelePair(NamedTuple):
    """The windows of REF and of one alternative allele: the same place, the same length."""

    ref_window: Codes
    """uint8 [bp]"""
    alt_window: Codes
    """uint8 [bp]; what an insertion pushes out at the right end is lost, and a deletion draws in"""
    place_bp: int
    """of the first base of the alleles in the window"""
    changed_bp: int
    """bases of the longer allele"""


def build_contig_names(contigs: Iterable[str]) -> dict[str, str]:
    """Return under which name the genome has a contig, by each name that a file may give it.

    With and without "chr" is the same, and so are chrM, MT, chrMT and M. A name that the genome itself has
    always means that contig.

    >>> names = build_contig_names(["chr1", "chrM"])
    >>> names["1"], names["MT"], names["chr1"]
    ('chr1', 'chrM', 'chr1')
    """
    names: dict[str, str] = {}
    own = list(contigs)
    for contig in own:
        names.setdefault(contig.removeprefix("chr") if contig.startswith("chr") else f"chr{contig}", contig)
        if contig in _MITOCHONDRIA:
            names |= dict.fromkeys(_MITOCHONDRIA, contig)
    return names | {contig: contig for contig in own}


def check_reference(record: VariantRecord, contigs: Mapping[str, Codes], names: Mapping[str, str]) -> str:
    """Return why a record has no place in the genome: unknown contig, past the end, REF mismatch; else ""."""
    if record.contig not in names:
        return UNKNOWN_CONTIG
    if not set(record.ref) <= _LETTERS or not record.ref:
        return NO_BASES
    codes = contigs[names[record.contig]]
    start = record.position_1based - 1
    if start < 0 or start + len(record.ref) > len(codes):
        return PAST_END
    return (
        ""
        if np.array_equal(codes[start : start + len(record.ref)], encode_bases(record.ref))
        else REF_MISMATCH
    )


def check_alternative(alt: str) -> str:
    """Return why an alternative allele is no sequence, else "".

    >>> [check_alternative(alt) for alt in ("A", "<DEL>", "*", "N[chr2:1[", "A?")]
    ['', 'symbolic allele', 'symbolic allele', 'symbolic allele', 'allele with other letters than bases']
    """
    if alt == "*" or set(alt) & set("<>[]"):
        return SYMBOLIC
    return "" if set(alt) <= _LETTERS else NO_BASES


def build_pair(codes: Codes, record: VariantRecord, alt: str, settings: VariantSettings) -> AllelePair | str:
    """Cut the windows of both alleles out of a contig, or say why that is not possible.

    Args:
        codes: uint8 [bp], of the contig.
        record: with a REF that agrees with it.
        alt: the alternative allele, of bases.
        settings: the length of the window, and where the variant stands in it.
    """
    changed_bp = max(len(record.ref), len(alt))
    if changed_bp > settings.window_bp - settings.place_bp:
        return TOO_LONG
    position = record.position_1based - 1
    start = position - settings.place_bp
    behind = position + len(record.ref)
    tail_bp = settings.window_bp - settings.place_bp - len(alt)
    if start < 0 or max(start + settings.window_bp, behind + tail_bp) > len(codes):
        return NEAR_END
    ref_window = np.asarray(codes[start : start + settings.window_bp])
    alt_window = np.concatenate([codes[start:position], encode_bases(alt), codes[behind : behind + tail_bp]])
    if (ref_window >= UNKNOWN_CODE).any() or (alt_window >= UNKNOWN_CODE).any():
        return UNKNOWN_BASE
    return AllelePair(ref_window, alt_window, settings.place_bp, changed_bp)
