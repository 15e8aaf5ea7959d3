"""Pairs that share k-mers, against a plain count on strings."""

import numpy as np
import pytest
from made_up_dna import make_dna
from planted_duplicates import find_plainly, flip, plain_kmers, plant_duplicates

from genolm.corpus.splitting import similar_pairs
from genolm.corpus.splitting.similar_pairs import find_similar_pairs
from genolm.errors import SettingsError


def as_dict(pairs):
    ends = zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
    return {(min(pair), max(pair)): share for pair, share in zip(ends, pairs.share.tolist(), strict=True)}


@pytest.mark.parametrize("common_records", [256, 20, 5, 1])
@pytest.mark.parametrize(("k", "min_share"), [(12, 0.5), (12, 0.25), (8, 1.0), (5, 0.3)])
def test_all_pairs_are_found_and_no_other(monkeypatch, common_records, k, min_share):
    monkeypatch.setattr(similar_pairs, "COMMON_RECORDS", common_records)
    monkeypatch.setattr(similar_pairs, "_BLOCK_PRODUCTS", 500)
    sequences = plant_duplicates(seed=k)
    sequences = list({min(text, flip(text)): text for text in sequences}.values())  # copies: see below
    pairs = find_similar_pairs(sequences, k=k, min_share=min_share)
    assert len(as_dict(pairs)) == len(pairs.first) > 50  # each once
    assert as_dict(pairs) == pytest.approx(find_plainly(sequences, k, min_share))


def test_repeats_and_low_complexity_do_not_fool_the_count(monkeypatch):
    monkeypatch.setattr(similar_pairs, "COMMON_RECORDS", 3)
    tails = ["".join(word * 20) for word in ("A", "AG", "CCT")]
    sequences = [tails[i % 3] + make_dna(5 * (i % 7), seed=i) for i in range(42)]
    sequences = [f"{text}{'C' * index}" for index, text in enumerate(sequences)]  # no two are equal
    assert as_dict(find_similar_pairs(sequences, k=6, min_share=0.5)) == find_plainly(sequences, 6, 0.5)


def test_the_share_is_that_of_the_smaller_record():
    long = make_dna(100, seed=0)
    pairs = find_similar_pairs([long, long[30:60]], k=12, min_share=1.0)
    assert as_dict(pairs) == {(0, 1): 1.0}
    half = long[:21] + make_dna(21, seed=9)  # 10 of its 31 12-mers are those of `long`
    assert as_dict(find_similar_pairs([long, half], k=12, min_share=10 / 31)) == {(0, 1): 10 / 31}
    assert as_dict(find_similar_pairs([long, half], k=12, min_share=10.1 / 31)) == {}


def test_a_threshold_that_is_met_exactly_counts():
    first, second = "ACGTTGCATCCAGA", "TTTTTTTTTTTTTT"
    ten = first[:13] + "G"  # k = 5: 9 of 10 in common
    assert as_dict(find_similar_pairs([first, ten, second], k=5, min_share=0.9)) == {(0, 1): 0.9}


def test_copies_on_either_strand_and_without_any_kmer():
    text = make_dna(50, seed=3)
    sequences = ["ACN", text, flip(text).lower(), text, "NGT", "NNNN", "AC"]
    pairs = find_similar_pairs(sequences, k=12, min_share=0.5)
    assert as_dict(pairs) == {(1, 2): 1.0, (1, 3): 1.0, (0, 4): 1.0}


def test_an_unknown_base_ends_a_kmer():
    text = make_dna(40, seed=4)
    broken = text[:20] + "N" + text[21:]
    # k-mers of 12 that avoid place 20: 9 before and 8 behind
    assert as_dict(find_similar_pairs([text, broken], k=12, min_share=0.5)) == {(0, 1): 1.0}
    assert len(plain_kmers(broken, 12)) == 17


@pytest.mark.parametrize("sequences", [[], ["ACGT"], ["AC", "GG"], ["N", "NN"]])
def test_nothing_to_compare(sequences):
    assert as_dict(find_similar_pairs(sequences, k=12, min_share=0.5)) == {}


@pytest.mark.parametrize("min_share", [0, -0.1, 1.01])
def test_a_share_out_of_range_is_refused(min_share):
    with pytest.raises(SettingsError, match=f"identity = {min_share}; expected above 0, at most 1"):
        find_similar_pairs(["ACGT"], k=3, min_share=min_share)


def test_memory_is_bounded_by_blocks(monkeypatch):
    monkeypatch.setattr(similar_pairs, "_BLOCK_PRODUCTS", 100)
    sequences = [make_dna(30, seed=seed % 5) + make_dna(20, seed=seed) for seed in range(40)]
    profiles = similar_pairs._build_profiles(sequences, k=12)
    blocks = list(similar_pairs._iter_products(profiles.rare, np.arange(40)))
    assert len(blocks) > 5
    assert np.array_equal(np.unique(np.concatenate([rows for rows, _, _ in blocks])), np.arange(40))
