from itertools import combinations

import numpy as np
import pytest
from kmer_sets import flip, list_kmers
from made_up_dna import make_dna

from genolm.corpus.audit.near_duplicates import find_near_duplicates, find_near_pairs


def find_by_force(sequences, *, k, min_shared):
    kmers = [list_kmers(text, k) for text in sequences]
    return [
        (i, j)
        for (i, a), (j, b) in combinations(enumerate(kmers), 2)
        if min(len(a), len(b)) >= 16 and len(a & b) >= min_shared * min(len(a), len(b)) - 1e-9
    ]


def make_relatives(*, seed):
    """Records of 30 to 90 bp: shifted windows, changed copies, pieces, on either strand, and strangers."""
    generator = np.random.default_rng(seed)
    genome = make_dna(1_500, seed=seed) + "CA" * 40
    sequences = []
    for _ in range(150):
        start, length_bp = generator.integers(0, len(genome) - 30), generator.integers(30, 90)
        text = list(genome[start : start + length_bp])
        for place in generator.integers(0, len(text), generator.integers(0, 3)):
            text[place] = generator.choice(list("ACGTN"))
        sequence = "".join(text)
        sequences.append(flip(sequence) if generator.random() < 0.5 else sequence)
    return sequences


@pytest.mark.parametrize(("k", "min_shared"), [(12, 0.8), (12, 0.5), (6, 0.8), (12, 1.0)])
def test_the_pairs_are_those_of_brute_force(k, min_shared):
    sequences = make_relatives(seed=k)
    expected = find_by_force(sequences, k=k, min_shared=min_shared)
    found = find_near_pairs(sequences, k=k, min_shared=min_shared, max_records_per_kmer=1_000)
    assert len(expected) > 20
    assert not found.is_capped
    assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == expected


@pytest.mark.parametrize(("shift_bp", "is_near"), [(14, True), (15, False)])
def test_the_threshold_is_exact(make_data, shift_bp, is_near):
    """Windows of 81 bp have 70 12-mers; 14 bp apart they share 56 of them, 80 %."""
    dna = make_dna(200, seed=5)
    found = find_near_duplicates(make_data([dna[:81], dna[shift_bp : shift_bp + 81]], [0, 1]))
    assert found.pairs == found.pairs_across_classes == is_near
    assert found.pairs_across_splits == 0


def test_pairs_are_counted_by_split_and_class(make_data):
    dna, other = make_dna(80, seed=1), make_dna(80, seed=2)
    sequences = [dna, dna[1:], other, other[2:], make_dna(80, seed=3)]
    data = make_data(sequences, [0, 0, 0, 1, 1], ["train", "test", "train", "train", "test"])
    found = find_near_duplicates(data)
    assert (found.pairs, found.pairs_across_splits, found.pairs_across_classes) == (2, 1, 1)
    assert [(each.split, each.shared) for each in found.sharing.splits] == [("test", 1)]
    assert found.sharing.count("any_other") == 4


def test_short_records_and_repeats_pair_with_none(make_data):
    short, repeat = make_dna(26, seed=1), "CA" * 40
    found = find_near_duplicates(make_data([short, short, repeat, repeat, "A"], [0, 0, 0, 1, 1]))
    assert found.pairs == 0


def test_a_large_family_is_capped_but_found(make_data):
    """300 copies with a change each: every record is in a pair, though not every pair is listed."""
    dna, generator = make_dna(120, seed=4), np.random.default_rng(0)
    places = generator.integers(0, 120, 300)
    sequences = [dna[:place] + "ACGT"[place % 4] + dna[place + 1 :] for place in places]
    found = find_near_duplicates(make_data(sequences, [0, 1] * 150, ["train", "test", "test"] * 100))
    assert found.is_capped
    assert 300 < found.pairs < 300 * 299 / 2
    assert found.sharing.count("any_other") == 300
    assert found.sharing.count("other_split") == found.sharing.count("other_class") == 300
