"""Which records belong together: by similarity, place or name."""

import numpy as np
import pytest
from made_up_dna import make_dna
from planted_duplicates import find_plainly, flip, plant_duplicates

from genolm.corpus.splitting.assignment import assign_groups
from genolm.corpus.splitting.groups import ClusterSettings, build_groups, group_by_blocks, number_groups
from genolm.errors import SettingsError
from genolm.genome.intervals import Interval


def link_plainly(num_records, pairs):
    """Components by relabeling until nothing changes."""
    label = list(range(num_records))
    for _ in range(num_records):
        before = list(label)
        for i, j in pairs:
            label[i] = label[j] = min(label[i], label[j])
        if label == before:
            break
    return label


def same_partition(one, other):
    return len(set(one)) == len(set(other)) == len(set(zip(one, other, strict=True)))


@pytest.mark.parametrize("identity", [0.3, 0.5, 0.9])
def test_groups_are_the_components_of_the_plain_comparison(identity):
    sequences = plant_duplicates(seed=3)
    groups = build_groups(sequences, settings=ClusterSettings(identity=identity))
    expected = link_plainly(len(sequences), find_plainly(sequences, 12, identity))
    assert same_partition(groups.tolist(), expected)
    assert 10 < len(set(expected)) < len(sequences)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_pair_across_splits_is_above_the_threshold(seed):
    sequences = plant_duplicates(seed=seed, num_families=40)
    labels = np.arange(len(sequences)) % 2
    groups = build_groups(sequences, settings=ClusterSettings(identity=0.5))
    fractions = {"train": 0.7, "validation": 0.1, "test": 0.2}
    splits = assign_groups(groups, labels, fractions=fractions, seed=seed)
    similar = find_plainly(sequences, 12, 0.5)
    assert len(similar) > 200
    assert [pair for pair in similar if splits[pair[0]] != splits[pair[1]]] == []


def test_a_chain_is_one_group():
    text = make_dna(400, seed=1)
    tiles = [text[start : start + 80] for start in range(0, 320, 25)]
    tiles[3] = flip(tiles[3])
    assert build_groups(tiles, settings=ClusterSettings()).tolist() == [0] * len(tiles)
    assert len(set(build_groups(tiles, settings=ClusterSettings(identity=0.9)))) == len(tiles)


def test_groups_are_numbered_by_their_first_record():
    assert number_groups(["z", "a", "z", "b"]).tolist() == [0, 1, 0, 2]
    assert number_groups([]).tolist() == []


def test_blocks_and_whole_contigs():
    places = [
        Interval("b", 990, 1_009),
        Interval("a", 10, 30),
        Interval("b", 1_020, 1_040),
        Interval("b", 0, 9),
    ]
    assert group_by_blocks(places, block_bp=1_000).tolist() == [0, 1, 2, 0]
    assert group_by_blocks(places, block_bp=0).tolist() == [0, 1, 0, 0]
    assert group_by_blocks([], block_bp=10).tolist() == []


def test_blocks_join_where_records_overlap_and_only_there():
    crossing = [Interval("a", 960, 1_010), Interval("a", 1_009, 1_060), Interval("a", 5_000, 5_050)]
    assert group_by_blocks(crossing, block_bp=1_000).tolist() == [0, 0, 1]
    touching = [Interval("a", 960, 1_009), Interval("a", 1_009, 1_060)]
    assert group_by_blocks(touching, block_bp=1_000).tolist() == [0, 1]
    other_contig = [Interval("a", 960, 1_010), Interval("b", 1_009, 1_060)]
    assert group_by_blocks(other_contig, block_bp=1_000).tolist() == [0, 1]


@pytest.mark.parametrize("seed", range(5))
def test_no_base_is_in_two_groups_of_blocks(seed):
    generator = np.random.default_rng(seed)
    starts = generator.integers(0, 20_000, size=60)
    lengths = generator.integers(1, 400, size=60)
    contigs = generator.choice(["a", "b"], size=60)
    places = [
        Interval(str(contig), int(start), int(start + length))
        for contig, start, length in zip(contigs, starts, lengths, strict=True)
    ]
    groups = group_by_blocks(places, block_bp=1_500).tolist()
    links = [
        (i, j)
        for i, one in enumerate(places)
        for j, other in enumerate(places)
        if one.contig == other.contig
        and (
            max(one.start, other.start) < min(one.end, other.end)
            or (one.start + one.end) // 2 // 1_500 == (other.start + other.end) // 2 // 1_500
        )
    ]
    assert same_partition(groups, link_plainly(60, links))
    assert len(set(groups)) > 4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"identity": 0}, "identity = 0; expected above 0"),
        ({"identity": 1.5}, "identity = 1.5; expected above 0, at most 1"),
        ({"kmer_bp": 0}, "kmer_bp = 0; expected 1 to 32"),
        ({"kmer_bp": 33}, "kmer_bp = 33; expected 1 to 32"),
        ({"engine": "blast"}, "the program 'blast'; expected own or mmseqs"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(SettingsError, match=message):
        ClusterSettings(**wrong)


def test_a_negative_block_is_refused():
    with pytest.raises(SettingsError, match="block_bp = -1; expected 0 or more"):
        group_by_blocks([Interval("a", 0, 9)], block_bp=-1)
