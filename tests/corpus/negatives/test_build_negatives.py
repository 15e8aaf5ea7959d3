"""Negatives of every method for positives on a small generated genome."""

from collections import Counter

import numpy as np
import pytest
from small_annotation import FEATURES, PLACES, SPLITS, STRANDS, cut, gap_bp

from genolm.alphabet import encode_bases
from genolm.corpus.negatives.annotation import Feature
from genolm.corpus.negatives.build import NegativeSettings, Positives, build_negatives
from genolm.corpus.negatives.windows import compute_gc_bins
from genolm.errors import DataError, SettingsError
from genolm.genome.intervals import Interval

WINDOW_METHODS = ["gc_matched", "intergenic", "antisense_coding"]


@pytest.fixture
def positives(small_genome):
    sequences = [cut(small_genome.sequences, *each) for each in zip(PLACES, STRANDS, strict=True)]
    return Positives(sequences, SPLITS, [f"p{number}" for number in range(6)])


@pytest.fixture
def build(small_genome, positives):
    def run(method, positives=positives, seed=0, **settings):
        chosen = NegativeSettings(
            **{"method": method, "negatives_per_positive": 8, "gc_bin_width": 0.1} | settings
        )
        return build_negatives(
            positives, settings=chosen, seed=seed, genome_path=small_genome.path, features=FEATURES
        )

    return run


def get_windows(result):
    return [
        (row, Interval(row.contig, int(row.start), int(row.end)))
        for row in result.rows
        if row.label == "negative"
    ]


def find_nearest(place):
    """The split of the positive whose middle is nearest, of those on the contig."""
    here = [
        (abs(other.start + other.end - place.start - place.end), split)
        for other, split in zip(PLACES, SPLITS, strict=True)
        if other.contig == place.contig
    ]
    return min(here)[1]


@pytest.mark.parametrize("method", WINDOW_METHODS)
def test_windows_are_pieces_of_the_genome_apart_from_positives_and_each_other(small_genome, build, method):
    windows = get_windows(build(method, min_distance_bp=70))
    assert len(windows) > 20
    for row, place in windows:
        assert row.sequence == cut(small_genome.sequences, place, row.strand)
        assert set(row.sequence) <= set("ACGT")
        assert row.id == f"{place.contig}:{place.start}-{place.end}({row.strand})"
    for _, place in windows:
        others = [each for each in PLACES if each.contig == place.contig]
        assert all(gap_bp(place[1:], other[1:]) >= 70 for other in others)
    for number, (_, one) in enumerate(windows):
        for _, other in windows[number + 1 :]:
            assert one.contig != other.contig or gap_bp(one[1:], other[1:]) >= 0


@pytest.mark.parametrize("method", WINDOW_METHODS)
def test_each_split_has_its_number_and_its_neighborhood(build, method):
    result = build(method, gc_bin_width=1.0)
    counts = Counter((row.split, row.label) for row in result.rows)
    assert counts == {
        ("train", "positive"): 4,
        ("test", "positive"): 2,
        ("train", "negative"): 32,
        ("test", "negative"): 16 if method != "antisense_coding" else counts["test", "negative"],
    }
    assert result.missing == 48 - len(get_windows(result))
    near_border = 81  # cells, not windows, are given to splits
    for row, place in get_windows(result):
        moved = [
            place._replace(start=place.start + by, end=place.end + by) for by in (-near_border, near_border)
        ]
        assert row.split in {find_nearest(each) for each in (place, *moved)}


@pytest.mark.parametrize("distance_bp", [0, 200])
def test_intergenic_windows_touch_no_gene_and_no_start(build, distance_bp):
    windows = get_windows(build("intergenic", min_start_distance_bp=distance_bp))
    assert {row.strand for row, _ in windows} == {"+", "-"}
    for _, place in windows:
        for feature in FEATURES:
            if feature.contig == place.contig:
                assert gap_bp(place[1:], (feature.start, feature.end)) >= 0
                if feature.begin is not None and feature.kind != "CDS":
                    assert gap_bp(place[1:], (feature.begin, feature.begin + 1)) >= distance_bp


def test_antisense_windows_lie_on_coding_sequence_alone(build):
    windows = get_windows(build("antisense_coding"))
    assert {row.strand for row, _ in windows} == {"+", "-"}
    for row, place in windows:
        here = [
            each
            for each in FEATURES
            if each.contig == place.contig and gap_bp(place[1:], (each.start, each.end)) < 0
        ]
        assert any(
            each.kind == "CDS" and each.start <= place.start and place.end <= each.end for each in here
        )
        assert {each.strand for each in here} == {"-" if row.strand == "+" else "+"}


def test_gc_distributions_are_those_of_the_positives(build, positives):
    result = build("gc_matched", negatives_per_positive=4)
    codes = [encode_bases(row.sequence) for row in result.rows]
    bins = compute_gc_bins(codes, width=0.1)
    wanted = Counter(zip(SPLITS, bins[:6].tolist(), strict=True))
    found = Counter(zip([row.split for row in result.rows[6:]], bins[6:].tolist(), strict=True))
    assert result.missing == 0
    assert found == {kind: 4 * number for kind, number in wanted.items()}
    assert len(set(bins.tolist())) > 1


def test_a_bin_that_the_genome_lacks_stays_short_and_is_told(build, small_genome, positives, caplog):
    odd = Positives(["GC" * 30, *positives.sequences[1:]], SPLITS, positives.ids, PLACES, STRANDS)
    result = build("gc_matched", positives=odd, negatives_per_positive=1, gc_bin_width=0.05)
    assert result.missing == 1
    assert "1 negatives too few" in caplog.text


def test_lengths_are_those_of_the_positives(build, positives):
    texts = [text[: 40 + 8 * number] for number, text in enumerate(positives.sequences)]
    result = build("intergenic", positives=positives._replace(sequences=texts), negatives_per_positive=5)
    lengths = Counter((row.label, row.split, len(row.sequence)) for row in result.rows)
    for number, split in enumerate(SPLITS):
        assert lengths["negative", split, 40 + 8 * number] == 5


def test_positives_get_the_places_where_they_were_found(build):
    for row, place, strand in zip(build("intergenic").rows, PLACES, STRANDS, strict=False):
        assert (row.contig, row.start, row.end, row.strand) == (
            place.contig,
            str(place.start),
            str(place.end),
            strand,
        )


def test_given_places_are_kept_and_avoided(build, positives):
    placed = positives._replace(places=PLACES, strands=["+"] * 6)
    result = build("gc_matched", positives=placed)
    assert [row.strand for row in result.rows[:6]] == ["+"] * 6
    assert (result.rows[5].contig, result.rows[5].start) == ("contig_b", "15000")
    assert result.not_found == 0


def test_positives_that_are_not_in_the_genome_are_told(build, positives, caplog):
    foreign = positives._replace(sequences=["ACGTTGCAAC" * 8, *positives.sequences[1:]])
    result = build("intergenic", positives=foreign)
    assert result.not_found == 1
    assert result.rows[0].contig == ""
    assert "1 of 6 positives do not occur in the genome" in caplog.text


@pytest.mark.parametrize("method", ["dinucleotide_shuffle", "substitution"])
def test_made_up_negatives_follow_their_positive(build, positives, method):
    result = build(method, negatives_per_positive=2)
    assert [row.split for row in result.rows] == SPLITS * 3
    assert [row.label for row in result.rows] == ["positive"] * 6 + ["negative"] * 12
    assert result.rows[6].id == f"p0|{method}_1"
    assert result.rows[12].id == f"p0|{method}_2"
    assert {row.contig for row in result.rows} == {""}
    for own, first, second in zip(result.rows[:6], result.rows[6:12], result.rows[12:], strict=True):
        assert len({own.sequence, first.sequence, second.sequence}) == 3
        if method == "dinucleotide_shuffle":
            assert Counter(own.sequence) == Counter(first.sequence) == Counter(second.sequence)


def test_a_negative_that_cannot_differ_is_told(build, caplog):
    flat = Positives(["A" * 40, "ACGTTGCATGCCATAG"], ["", ""], ["x", "y"])
    rows = build("dinucleotide_shuffle", positives=flat, negatives_per_positive=1).rows
    assert rows[2].sequence == "A" * 40
    assert "1 negatives are equal to a positive" in caplog.text


@pytest.mark.parametrize("method", [*WINDOW_METHODS, "dinucleotide_shuffle", "substitution"])
def test_the_seed_decides(build, method):
    assert build(method) == build(method)
    assert build(method).rows != build(method, seed=1).rows


def test_gc_bins_on_their_borders():
    codes = [encode_bases("G" * gc + "A" * (10 - gc)) for gc in range(11)]
    assert compute_gc_bins(codes, width=0.1).tolist() == [*range(10), 9]
    assert compute_gc_bins([encode_bases("NN"), np.empty(0, dtype=np.uint8)], width=0.1).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "easy"}, "the method 'easy'; expected one of dinucleotide_shuffle, gc_matched"),
        ({"negatives_per_positive": 0}, "negatives_per_positive = 0; expected 1 or more"),
        ({"min_distance_bp": -1}, "min_distance_bp = -1; expected 0 or more"),
        ({"min_start_distance_bp": -1}, "min_start_distance_bp = -1; expected 0 or more"),
        ({"gc_bin_width": 0}, "gc_bin_width = 0; expected above 0"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(SettingsError, match=message):
        NegativeSettings(**{"method": "gc_matched"} | wrong)


def test_what_a_method_needs_is_asked_for(positives, small_genome):
    for method in WINDOW_METHODS:
        with pytest.raises(SettingsError, match=f"method {method} without a genome; .*--genome FASTA"):
            build_negatives(positives, settings=NegativeSettings(method=method))
    for method in WINDOW_METHODS[1:]:
        with pytest.raises(
            SettingsError, match=f"method {method} without an annotation; .*--annotation FILE"
        ):
            build_negatives(
                positives, settings=NegativeSettings(method=method), genome_path=small_genome.path
            )


def test_names_of_contigs_go_through_the_table_of_names(positives, small_genome):
    renamed = [Feature(each.contig.upper(), *each[1:]) for each in FEATURES]
    settings = NegativeSettings(method="antisense_coding")

    def run(features, aliases=None):
        return build_negatives(
            positives, settings=settings, genome_path=small_genome.path, features=features, aliases=aliases
        )

    with pytest.raises(DataError, match="an annotation of CONTIG_A, CONTIG_B"):
        run(renamed)
    names = {name: name.lower() for each in "ab" for name in (f"contig_{each}", f"CONTIG_{each.upper()}")}
    assert run(renamed, names) == run(FEATURES)
