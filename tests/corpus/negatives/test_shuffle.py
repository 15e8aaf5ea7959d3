"""Dinucleotide shuffles: counts kept exactly, and every other order equally likely."""

from collections import Counter
from itertools import pairwise, permutations

import numpy as np
import pytest
from made_up_dna import make_dna

from genolm.alphabet import decode_bases, encode_bases
from genolm.corpus.negatives import shuffle
from genolm.corpus.negatives.shuffle import shuffle_dinucleotides


def shuffle_texts(texts, **options):
    codes = [encode_bases(text) for text in texts]
    return [decode_bases(each) for each in shuffle_dinucleotides(codes, **options)]


def count_pairs(text):
    return Counter(pairwise(text))


TEXTS = [
    *(make_dna(length, seed=length) for length in (0, 1, 2, 3, 5, 81, 251, 1_000)),
    "AAAAAAAAAAAAAAAC",
    "ATATATATATCGCGCGCG",
    "ANNNACGTNNA",
    "G" * 50,
    "A" * 99 + "CA" + "T" * 30,
    "ACACACTG",
]


@pytest.mark.parametrize("seed", range(5))
def test_pairs_ends_and_lengths_are_kept(seed):
    shuffled = shuffle_texts(TEXTS, seed=seed)
    assert [count_pairs(text) for text in shuffled] == [count_pairs(text) for text in TEXTS]
    assert [(text[:1], text[-1:], len(text)) for text in shuffled] == [
        (text[:1], text[-1:], len(text)) for text in TEXTS
    ]
    changed = [text for text, new in zip(TEXTS, shuffled, strict=True) if text != new]
    assert {len(text) for text in changed} >= {81, 251, 1_000}


@pytest.mark.parametrize("text", ["ACATAGA", "ACGTAGGA", "AACAGNA", "ACCATTAC"])
def test_every_order_of_the_same_pairs_is_equally_likely(text):
    pairs = count_pairs(text)
    possible = {
        word for word in map("".join, permutations(text)) if count_pairs(word) == pairs and word[0] == text[0]
    }
    draws = 400 * len(possible)
    found = Counter(shuffle_texts([text] * draws, seed=11))
    assert set(found) == possible
    assert len(possible) > 2
    # each count is binomial with a mean of 400: five standard deviations
    assert max(abs(number - 400) for number in found.values()) < 5 * 20


def test_a_sequence_does_not_depend_on_its_company(monkeypatch):
    together = shuffle_texts(TEXTS, seed=3)
    alone = [shuffle_texts([text], seed=3, first_index=index)[0] for index, text in enumerate(TEXTS)]
    monkeypatch.setattr(shuffle, "_BATCH_EDGES", 100)
    assert alone == together == shuffle_texts(TEXTS, seed=3)
    assert shuffle_texts(TEXTS, seed=4) != together
    assert shuffle_texts(TEXTS[5:6] * 2, seed=3)[0] != shuffle_texts(TEXTS[5:6] * 2, seed=3)[1]


def test_nothing_becomes_nothing():
    assert shuffle_dinucleotides([], seed=0) == []
    assert shuffle_texts(["", ""], seed=0) == ["", ""]


def test_the_trees_of_exits_are_as_many_as_cayley_counts():
    for root in range(5):
        trees = shuffle._list_trees(root)
        assert len(trees) == 5**3  # labeled trees of 5 vertices
        assert len(np.unique(trees, axis=0)) == 5**3
        assert (trees[:, root] == root).all()
