"""Where negatives may lie."""

import numpy as np
import pytest
from small_annotation import PLACES, STRANDS, cut

from genolm.corpus.negatives.annotation import Feature
from genolm.corpus.negatives.room import MINUS, PLUS, GenomePlaces, build_room, find_places
from genolm.errors import DataError
from genolm.genome.intervals import Interval


def make_places(known, positives, lengths=(1_000, 1_000)):
    """A genome of contigs a and b."""
    return GenomePlaces(
        contigs=("a", "b")[: len(known)],
        lengths_bp=lengths[: len(known)],
        known=tuple(np.array(each).reshape(-1, 2) for each in known),
        positives=tuple(np.array(each, dtype=np.int64).reshape(-1, 2) for each in positives),
        owners=tuple(np.arange(len(each)) for each in positives),
        strands=tuple(np.ones(len(each), dtype=np.int8) for each in positives),
    )


ONE = make_places([[[0, 400], [500, 1_000]]], [[[100, 150]]])


def test_positives_are_found_on_both_strands_and_in_every_copy(small_genome):
    sequences = [cut(small_genome.sequences, *each) for each in zip(PLACES, STRANDS, strict=True)]
    found = find_places(small_genome.path, sequences)
    assert found.contigs == ("contig_a", "contig_b")
    assert found.lengths_bp == (40_000, 20_000)
    assert found.known[0].tolist() == [[0, 10_000], [10_700, 30_000], [30_001, 40_000]]
    seen = {
        owner: (contig, *span, strand)
        for contig, spans, owners, strands in zip(
            found.contigs, found.positives, found.owners, found.strands, strict=True
        )
        for span, owner, strand in zip(spans.tolist(), owners.tolist(), strands.tolist(), strict=True)
    }
    assert seen == {
        number: (*place, PLUS if strand == "+" else MINUS)
        for number, (place, strand) in enumerate(zip(PLACES, STRANDS, strict=True))
    }


def test_given_places_are_taken_as_they_are(small_genome):
    found = find_places(small_genome.path, ["ACGT"] * 6, places=PLACES)
    assert found.positives[1].tolist() == [[1_930, 2_011], [15_000, 15_081]]
    assert found.owners[1].tolist() == [4, 5]


def test_room_is_what_is_known_and_far_from_positives():
    room = build_room(ONE, min_distance_bp=20)
    assert room.stretches.tolist() == [[0, 80], [170, 400], [500, 1_000]]
    assert room.strands.tolist() == [0, 0, 0]


def test_starts_are_the_first_bases_of_genes_and_transcripts():
    features = [
        Feature("a", 200, 300, "+", "gene"),
        Feature("a", 240, 300, "+", "CDS"),  # the start of an exon is none
        Feature("a", 600, 700, "-", "tRNA"),
        Feature("a", 230, 260, "-", "CDS"),  # in no gene of its strand: a gene itself
    ]
    room = build_room(ONE, min_distance_bp=0, features=features, min_start_distance_bp=10)
    assert room.stretches.tolist() == [
        [0, 100],
        [150, 190],
        [211, 249],
        [270, 400],
        [500, 689],
        [710, 1_000],
    ]
    cds_alone = [Feature("a", 850, 900, "+", "CDS"), Feature("a", 900, 950, ".", "gene")]
    room = build_room(ONE, min_distance_bp=0, features=cds_alone, min_start_distance_bp=10)
    assert room.stretches.tolist() == [[0, 100], [150, 400], [500, 840], [861, 1_000]]


def test_between_genes_nothing_annotated_is_left():
    features = [Feature("a", 200, 300, "+", "gene"), Feature("a", 250, 390, ".", "pseudogene")]
    room = build_room(ONE, min_distance_bp=0, features=features, min_start_distance_bp=30, kind="intergenic")
    assert room.stretches.tolist() == [[0, 100], [150, 170], [390, 400], [500, 1_000]]


def test_the_back_of_coding_sequence_is_read_from_the_other_strand():
    features = [
        Feature("a", 150, 350, "+", "gene"),
        Feature("a", 160, 350, "+", "CDS"),
        Feature("a", 300, 380, "-", "CDS"),
        Feature("a", 600, 700, "-", "CDS"),
        Feature("a", 690, 695, ".", "ncRNA"),
    ]
    room = build_room(ONE, min_distance_bp=20, features=features, kind="antisense")
    assert room.stretches.tolist() == [[170, 300], [350, 380], [600, 690], [695, 700]]
    assert room.strands.tolist() == [MINUS, PLUS, PLUS, PLUS]


def test_contigs_lie_one_behind_the_other_with_a_gap():
    genome = make_places([[[0, 1_000]], [[0, 500]]], [[[0, 10]], []], lengths=(1_000, 500))
    room = build_room(genome, min_distance_bp=0)
    assert room.offsets.tolist() == [0, 1_001, 1_502]
    assert room.stretches.tolist() == [[10, 1_000], [1_001, 1_501]]


def test_an_annotation_of_another_genome_is_refused():
    with pytest.raises(DataError, match=r"an annotation of chrX; expected the contigs of the genome: a; "):
        build_room(ONE, min_distance_bp=0, features=[Feature("chrX", 0, 9, "+", "gene")])


def test_positives_of_another_genome_are_refused(small_genome):
    with pytest.raises(DataError, match=r"none of the positives in small.fa.gz"):
        find_places(small_genome.path, ["ACGTTGCA" * 5])
    with pytest.raises(
        DataError, match=r"a positive at contig_b:19990-20071; expected places on the contigs"
    ):
        find_places(small_genome.path, ["A"], places=[Interval("contig_b", 19_990, 20_071)])
    with pytest.raises(DataError, match=r"a positive at chr1:5-9; .*: contig_a, contig_b"):
        find_places(small_genome.path, ["A"], places=[Interval("chr1", 5, 9)])
