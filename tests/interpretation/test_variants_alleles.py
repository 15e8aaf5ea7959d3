"""Alleles in their place: windows by hand, REF, contig names, and why an allele is skipped."""

import pytest

from genolm.alphabet import decode_bases, encode_bases
from genolm.interpretation.variants.alleles import (
    AllelePair,
    build_contig_names,
    build_pair,
    check_reference,
)
from genolm.interpretation.variants.records import VariantRecord
from genolm.interpretation.variants.settings import VariantSettings

#        1234567890123456
CONTIG = "AACCGGTTACGTNACG"
SETTINGS = VariantSettings(window_bp=5)


def make_record(position: int, ref: str, alt: str = "A", contig: str = "chr1") -> VariantRecord:
    return VariantRecord(contig, position, ".", ref, (alt,), None)


@pytest.mark.parametrize(
    ("position", "ref", "alt", "windows"),
    [
        (5, "G", "T", ("CCGGT", "CCTGT")),
        (5, "GGT", "G", ("CCGGT", "CCGTA")),  # the deletion draws in the A behind
        (5, "G", "GAA", ("CCGGT", "CCGAA")),  # the insertion pushes GT out
        (5, "G", "", ("CCGGT", "CCGTT")),
        (5, "GG", "TA", ("CCGGT", "CCTAT")),
        (3, "C", "G", ("AACCG", "AAGCG")),  # the first window of the contig
    ],
    ids=["substitution", "deletion", "insertion", "table deletion", "two bases", "first"],
)
def test_the_windows_of_both_alleles_have_the_same_place_and_length(position, ref, alt, windows):
    pair = build_pair(encode_bases(CONTIG), make_record(position, ref), alt, SETTINGS)
    assert isinstance(pair, AllelePair)
    assert (decode_bases(pair.ref_window), decode_bases(pair.alt_window)) == windows
    assert (pair.place_bp, pair.changed_bp) == (2, max(len(ref), len(alt)))


def test_the_offset_moves_the_variant_in_the_window():
    settings = VariantSettings(window_bp=5, offset_bp=0)
    pair = build_pair(encode_bases(CONTIG), make_record(1, "A"), "T", settings)
    assert (decode_bases(pair.ref_window), decode_bases(pair.alt_window)) == ("AACCG", "TACCG")


@pytest.mark.parametrize(
    ("position", "ref", "alt", "reason"),
    [
        (2, "A", "C", "window past the end of the contig"),
        (15, "C", "A", "window past the end of the contig"),
        (14, "AC", "A", "window past the end of the contig"),  # the deletion would need one base more
        (11, "G", "A", "unknown base in the window"),
        (10, "CG", "C", "unknown base in the window"),  # only the window of ALT reaches the N
        (9, "A", "N", "unknown base in the window"),
        (5, "GGTT", "G", "allele too long for the window"),
        (5, "G", "GAAA", "allele too long for the window"),
    ],
)
def test_an_allele_without_two_whole_windows_is_skipped_with_the_reason(position, ref, alt, reason):
    assert build_pair(encode_bases(CONTIG), make_record(position, ref), alt, SETTINGS) == reason


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (make_record(3, "CCG"), ""),
        (make_record(3, "ccg"), ""),
        (make_record(3, "CCG", contig="1"), ""),
        (make_record(13, "N"), ""),
        (make_record(3, "CCT"), "REF differs from the genome"),
        (make_record(3, "C", contig="chr2"), "unknown contig"),
        (make_record(17, "A"), "position past the end of the contig"),
        (make_record(16, "GA"), "position past the end of the contig"),
        (make_record(0, "A"), "position past the end of the contig"),
        (make_record(3, ""), "allele with other letters than bases"),
        (make_record(3, "<X>"), "allele with other letters than bases"),
    ],
    ids=range(11),
)
def test_ref_is_compared_with_the_genome(record, reason):
    contigs = {"chr1": encode_bases(CONTIG)}
    assert check_reference(record, contigs, build_contig_names(contigs)) == reason


def test_a_contig_is_found_by_its_other_names():
    names = build_contig_names(["1", "chrX", "MT"])
    assert {name: names.get(name) for name in ("chr1", "1", "X", "chrM", "M", "chrMT", "2")} == {
        "chr1": "1",
        "1": "1",
        "X": "chrX",
        "chrM": "MT",
        "M": "MT",
        "chrMT": "MT",
        "2": None,
    }


def test_a_name_that_the_genome_has_is_never_another_contig():
    names = build_contig_names(["1", "chr1", "MT", "chrM"])
    assert names == {each: each for each in ("1", "chr1", "MT", "chrM")} | {"M": "chrM", "chrMT": "chrM"}
