import math

import numpy as np
import pytest

from genolm.alphabet import UNKNOWN_CODE, encode_bases, reverse_complement
from genolm.corpus.builtin import find_builtin
from genolm.errors import DataError, SettingsError
from genolm.evaluation import two_sided
from genolm.evaluation.two_sided import (
    STRENGTHS,
    TwoSidedModel,
    compute_middle_chances,
    compute_two_sided_bits,
    fit_two_sided,
    select_two_sided,
)
from genolm.genome.fasta import iter_fasta
from genolm.kmer_packing import pack_windows


@pytest.fixture(scope="module")
def ecoli():
    """The first 30 kb of E. coli."""
    (record,) = iter_fasta(find_builtin("ecoli_k12_mg1655"))
    return encode_bases(record.sequence[:30_000])


def count_naively(pieces, half_bp):
    """Counts by (left, base, right) for each size, in windows of the largest one."""
    counts = [{} for _ in range(half_bp + 1)]
    for piece in [*pieces, *map(reverse_complement, pieces)]:
        for i in range(half_bp, len(piece) - half_bp):
            if UNKNOWN_CODE not in piece[i - half_bp : i + half_bp + 1]:
                for size in range(half_bp + 1):
                    key = (tuple(piece[i - size : i]), tuple(piece[i + 1 : i + 1 + size]))
                    counts[size].setdefault(key, [0] * 4)[piece[i]] += 1
    return counts


def score_naively(counts, strengths, windows, margin_bp):
    bits, bases = 0.0, 0
    for window in windows:
        for i in range(margin_bp, len(window) - margin_bp):
            if UNKNOWN_CODE in window[i - margin_bp : i + margin_bp + 1]:
                continue
            chance = 0.25
            for size, strength in enumerate(strengths):
                key = (tuple(window[i - size : i]), tuple(window[i + 1 : i + 1 + size]))
                row = counts[size].get(key, [0] * 4)
                chance = (row[window[i]] + strength * chance) / (sum(row) + strength)
            bits -= math.log2(chance)
            bases += 1
    return bits, bases


def read_as_index(codes):
    return sum(int(code) * 4**place for place, code in enumerate(reversed(codes)))


def read_as_number(text):
    return pack_windows(encode_bases(text), k=len(text)).astype(np.int64)


def test_hand_computed_chances_and_bits():
    # AGA and its other strand TCT, and ACA with TGT: each base once or twice between its neighbors.
    model = fit_two_sided(map(encode_bases, ["AGA", "AGA", "ACA"]), half_bp=1, strength=2)
    assert model.half_bp == 1
    assert model.counts[0].ravel().tolist() == [0, 0, 3, 3]
    assert model.counts[1][0, :, 0].tolist() == [0, 0, 1, 2]  # A?A: ACA, twice AGA
    assert model.counts[1][1, :, 1].tolist() == [0, 0, 2, 1]  # T?T: twice TCT, TGT
    assert model.counts[1].sum() == 6
    # p_0(G) = (3 + 2/4) / (6 + 2) = 7/16; p_1(G | A A) = (2 + 2 * 7/16) / (3 + 2) = 23/40
    assert compute_middle_chances(model, read_as_number("AGA"), margin_bp=1).tolist() == [23 / 40]
    # p_0(A) = (0 + 2/4) / 8 = 1/16, and G?G was never seen
    assert compute_middle_chances(model, read_as_number("GAG"), margin_bp=1).tolist() == [1 / 16]
    found = compute_two_sided_bits(model, [encode_bases("AGAG")], margin_bp=1)
    assert found.bases == 2
    assert found.total_bits == pytest.approx(math.log2(40 / 23) + math.log2(16))


def test_counts_and_bits_of_a_genome_equal_brute_force(ecoli, monkeypatch):
    monkeypatch.setattr(two_sided, "BATCH_BP", 700)  # pieces joined, and pieces cut
    train = [ecoli[:5_000], ecoli[6_000:6_005], ecoli[7_000:7_300], encode_bases("ACGTNACGGTCANNAC")]
    windows = [*np.split(ecoli[10_000:12_000], 10), encode_bases("ACGTACNGGTCATTACGGA"), encode_bases("ACG")]
    strengths = (3.0, 1.0, 0.5, 7.0)
    model = TwoSidedModel(fit_two_sided(train, half_bp=3).counts, strengths)
    counts = count_naively(train, 3)
    for size, level in enumerate(counts):
        assert model.counts[size].shape == (4**size, 4, 4**size)
        assert model.counts[size].sum() == sum(map(sum, level.values()))
        for (left, right), row in level.items():
            assert model.counts[size][read_as_index(left), :, read_as_index(right)].tolist() == row
    for margin_bp in (3, 5):
        found = compute_two_sided_bits(model, windows, margin_bp=margin_bp)
        bits, bases = score_naively(counts, strengths, windows, margin_bp)
        assert found.bases == bases
        assert found.total_bits == pytest.approx(bits, rel=1e-12)


@pytest.mark.parametrize("half_bp", [0, 2, 5])
def test_the_chances_of_the_four_bases_sum_to_one_and_are_those_of_the_other_strand(ecoli, half_bp):
    model = fit_two_sided([ecoli], half_bp=half_bp)
    windows = np.random.default_rng(0).integers(0, 4, (200, 13)).astype(np.uint8)

    def compute(codes):
        packed = np.concatenate([pack_windows(row, k=13) for row in codes]).astype(np.int64)
        return compute_middle_chances(model, packed, margin_bp=6)

    four = [compute(np.where(np.arange(13) == 6, np.uint8(base), windows)) for base in range(4)]
    assert min(map(np.min, four)) > 0
    np.testing.assert_allclose(sum(four), 1, rtol=1e-12)
    np.testing.assert_allclose(compute(reverse_complement(windows)), compute(windows), rtol=1e-12)


def test_both_strands_give_one_model(ecoli):
    forward, backward = (fit_two_sided([codes], half_bp=3) for codes in (ecoli, reverse_complement(ecoli)))
    for ahead, back in zip(forward.counts, backward.counts, strict=True):
        np.testing.assert_array_equal(ahead, back)


def test_a_model_that_has_seen_nothing_is_uniform_and_scores_two_bits():
    window = encode_bases("ACGTNACGGT" * 20)  # between two N are 9 bases, 3 of which have 3 on each side
    found = compute_two_sided_bits(fit_two_sided([], half_bp=3), [window], margin_bp=3)
    assert found == (2.0 * 19 * 3, 19 * 3)


def test_every_size_is_scored_on_the_same_bases(ecoli):
    windows = [ecoli[:20], ecoli[20:33], ecoli[40:52], encode_bases("ACGTACGNACGTACGTACGTTT")]
    for half_bp in (0, 2, 4):
        assert compute_two_sided_bits(fit_two_sided([ecoli], half_bp=half_bp), windows).bases == 8 + 1 + 0 + 2


def test_the_selection_is_the_best_strength_of_each_size_from_the_inside_out(ecoli):
    train, windows = [ecoli[:25_000]], np.split(ecoli[25_000:], 10)
    found = select_two_sided(iter(train), iter(windows), max_half_bp=3)
    counts = fit_two_sided(train, half_bp=3).counts
    chosen = ()
    for size in range(4):
        bits = {}
        for strength in STRENGTHS:
            model = TwoSidedModel(counts[: size + 1], (*chosen, strength))
            bits[strength] = compute_two_sided_bits(model, windows, margin_bp=3).bits_per_base
        chosen = (*chosen, min(bits, key=bits.get))
        assert found.bits_per_base_by_half[size] == pytest.approx(min(bits.values()), rel=1e-12)
    assert len(found.bits_per_base_by_half) == 4
    best = min(found.bits_per_base_by_half, key=found.bits_per_base_by_half.get)
    assert found.model.half_bp == best
    assert found.model.strengths == chosen[: best + 1]


def test_what_two_neighbors_say_together_and_neither_alone_is_found():
    """The middle one of three is their exclusive-or; its strand is not known, which leaves one bit of two."""
    outer = np.random.default_rng(1).integers(0, 4, (12_000, 2))
    separator = np.full(12_000, UNKNOWN_CODE)
    triplets = np.column_stack([outer[:, 0], outer[:, 0] ^ outer[:, 1], outer[:, 1], separator])
    train, held_out = np.split(triplets.astype(np.uint8).ravel(), 2)
    found = select_two_sided([train], [held_out], max_half_bp=1)
    assert found.model.half_bp == 1
    assert found.bits_per_base_by_half == pytest.approx({0: 2, 1: 1}, abs=0.01)


def test_random_dna_costs_two_bits_whatever_the_size():
    generator = np.random.default_rng(0)
    train, held_out = (generator.integers(0, 4, 100_000).astype(np.uint8) for _ in range(2))
    found = select_two_sided([train], [held_out], max_half_bp=5)
    assert list(found.bits_per_base_by_half) == list(range(6))
    for bits_per_base in found.bits_per_base_by_half.values():
        assert bits_per_base == pytest.approx(2, abs=2e-3)


def test_the_largest_size_equals_brute_force_and_counts_as_the_next_smaller_one_does(ecoli):
    train, windows = ecoli[:4_000], [ecoli[3_900:4_200]]
    large, small = (fit_two_sided([train], half_bp=half_bp, strength=2) for half_bp in (6, 5))
    assert large.counts[6].dtype == np.uint32
    assert large.counts[6].sum() == 2 * (4_000 - 12)
    missing = small.counts[5] - large.counts[5]  # one window at each end, on both strands
    assert missing.min() == 0
    assert missing.sum() == 4
    found = compute_two_sided_bits(large, windows)
    bits, bases = score_naively(count_naively([train], 6), (2.0,) * 7, windows, 6)
    assert found.bases == bases == 300 - 12
    assert found.total_bits == pytest.approx(bits, rel=1e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"half_bp": 7}, r"found 7 bases on each side; expected 0\.\.6"),
        ({"half_bp": -1}, r"found -1 bases on each side; expected 0\.\.6"),
        ({"half_bp": 1, "strength": 0}, "found strength=0; expected a number above 0"),
    ],
)
def test_bad_model_settings_are_refused(settings, message):
    with pytest.raises(SettingsError, match=message):
        fit_two_sided([], **settings)


def test_bad_scoring_and_selection_are_refused():
    piece = encode_bases("ACGTACGT")
    with pytest.raises(SettingsError, match=r"found 1 bases on each side; expected 2\.\.6"):
        compute_two_sided_bits(fit_two_sided([piece], half_bp=2), [piece], margin_bp=1)
    with pytest.raises(DataError, match="found 0 scored bases"):
        select_two_sided([piece], [piece], max_half_bp=4)
