from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from made_up_dna import make_dna
from small_corpora import complement, cut, make_bases

from genolm.embeddings.sentences import SentencePlan, SentenceReader, WordStream, plan_sentences
from genolm.embeddings.vocabulary import build_vocabulary, count_words, name_words
from genolm.embeddings.word_scheme import MixedScheme, get_word_lengths
from genolm.errors import DataError
from genolm.tokenization.scheme import KmerScheme

ROWS = [make_dna(length, seed=length) for length in (103, 7, 2, 40, 64)]


def read_epoch(rows, scheme, *, epoch=0, max_words=10, reverse=False, seed=0):
    """All sentences of the plan in its order, as lists of words."""
    bases = make_bases(rows)
    plan = plan_sentences(bases, scheme, max_words=max_words)
    reader = SentenceReader(bases, scheme, plan)
    generator = np.random.default_rng(seed)
    ks = get_word_lengths(scheme)
    return [
        [name_words(np.array([word]), ks)[0] for word in piece]
        for number in range(len(plan.copies))
        for piece in reader.read_sentence(number, epoch=epoch, reverse=reverse, generator=generator)
    ]


def test_sentences_are_the_rows_cut_into_overlapping_words():
    assert read_epoch(["AACGTTA", "GG", "CCC"], KmerScheme(k=3, stride=1), max_words=3) == [
        ["AAC", "ACG"],
        ["CGT", "GTT", "TTA"],
        ["CCC"],
    ]
    assert read_epoch(["AACGTTA"], KmerScheme(k=3, stride=1), reverse=True) == [cut("TAACGTT", 3)]


@pytest.mark.parametrize(("k", "stride"), [(3, 1), (3, 3), (4, 2), (5, 3)])
def test_every_place_is_read_once_in_as_many_epochs_as_the_stride_has_bases(k, stride):
    scheme = KmerScheme(k=k, stride=stride)
    for reverse in (False, True):
        epochs = [read_epoch(ROWS, scheme, epoch=e, reverse=reverse) for e in range(stride)]
        words = Counter(word for epoch in epochs for sentence in epoch for word in sentence)
        texts = [complement(row) for row in ROWS] if reverse else ROWS
        assert words == Counter(word for text in texts for word in cut(text, k))


@pytest.mark.parametrize("scheme", [MixedScheme(k_min=3, k_max=5), MixedScheme(k_min=2, k_max=6, stride=2)])
def test_mixed_words_begin_at_every_stride_and_have_every_length(scheme):
    row = make_dna(4_000, seed=5)
    sentences = read_epoch([row], scheme, max_words=700)
    words = [word for sentence in sentences for word in sentence]
    if scheme.stride == 1:
        for start, word in enumerate(words):
            assert row[start : start + len(word)] == word
        assert len(words) == 4_000 - scheme.k_max + 1
    else:
        for left, right in pairwise(sentences[0]):
            assert right.startswith(left[2:]) or left[2:].startswith(right)
    lengths = Counter(map(len, words))
    assert set(lengths) == set(get_word_lengths(scheme))
    expected = len(words) / len(lengths)
    assert all(abs(count - expected) < 5 * expected**0.5 for count in lengths.values())
    assert read_epoch([row], scheme, max_words=700, seed=1) != sentences
    assert read_epoch([row], scheme, max_words=700) == sentences


def test_disjoint_words_follow_each_other_without_a_gap():
    row = make_dna(2_000, seed=6)
    scheme = MixedScheme(k_min=3, k_max=8, stride=0)
    sentences = read_epoch([row], scheme, max_words=100)
    assert len(sentences) == 7  # 1,993 places, up to 300 of them each
    assert all("".join(sentence) in row for sentence in sentences)
    assert {len(word) for sentence in sentences for word in sentence} == set(range(3, 9))
    assert sum(map(len, map("".join, sentences))) > 1_950
    starts = {row.index("".join(read_epoch([row], scheme, max_words=9_999, seed=s)[0])) for s in range(20)}
    assert starts == {0, 1, 2}


@pytest.mark.parametrize(
    "scheme",
    [
        KmerScheme(k=3, stride=1),
        KmerScheme(k=3, stride=2),
        MixedScheme(k_min=3, k_max=4),
        MixedScheme(k_min=3, k_max=4, stride=0),
        MixedScheme(k_min=1, k_max=2, stride=0),
    ],
)
@pytest.mark.parametrize("max_words", [2, 7])
def test_no_sentence_has_too_many_words(scheme, max_words):
    rows = [make_dna(length, seed=length) for length in range(7, 60)]
    lengths = [
        len(sentence)
        for seed in range(5)
        for sentence in read_epoch(rows, scheme, max_words=max_words, seed=seed)
    ]
    assert max(lengths) == max_words


@pytest.mark.parametrize("scheme", [KmerScheme(k=3, stride=1), MixedScheme(k_min=3, k_max=3)])
def test_an_unknown_base_splits_a_sentence(scheme):
    assert [each for each in read_epoch(["AACGNTTATNNACG"], scheme, max_words=50) if each] == [
        ["AAC", "ACG"],
        ["TTA", "TAT"],
        ["ACG"],
    ]


def test_a_corpus_without_room_for_a_word_is_refused():
    with pytest.raises(DataError, match="rows of at most 4 bp; expected a row of at least 5 bp"):
        plan_sentences(make_bases(["ACGT", "AC"]), KmerScheme(k=5, stride=1), max_words=10)


def test_an_epoch_reads_every_sentence_once_in_an_order_of_its_own():
    plan = plan_sentences(make_bases(ROWS), KmerScheme(k=3, stride=1), max_words=5)
    orders = [plan.draw_order(np.random.default_rng(seed)) for seed in range(20)]
    for order in orders:
        assert sorted(order) == list(range(plan.num_readings)) == list(range(len(plan.copies)))
    assert len({tuple(order) for order in orders}) == 20


def test_weights_and_bases_per_epoch_say_how_often_a_sentence_is_read():
    rows = [make_dna(302, seed=1), make_dna(302, seed=2)]
    bases, scheme = make_bases(rows, weights=[1.0, 3.0]), KmerScheme(k=3, stride=1)
    plan = plan_sentences(bases, scheme, max_words=3)
    assert plan.num_readings == 200
    assert set(plan.copies[:100]) == {0.5}
    assert set(plan.copies[100:]) == {1.5}
    counts = np.bincount(plan.draw_order(np.random.default_rng(0)), minlength=200)
    assert (counts[:100].sum(), counts[100:].sum()) == (50, 150)
    assert set(counts[100:]) == {1, 2}
    plan = plan_sentences(make_bases(rows), scheme, max_words=3, bp_per_epoch=60)
    order = plan.draw_order(np.random.default_rng(0))
    assert (plan.num_readings, len(order), len(set(order))) == (20, 20, 20)
    assert max(np.diff(np.sort(order))) == 10  # evenly spread
    assert plan_sentences(make_bases(rows), scheme, max_words=3, bp_per_epoch=10**9).num_readings == 200


def test_rounding_loses_no_sentence():
    class Lowest:
        permutation = staticmethod(list)

        def random(self):
            return 0.0

    plan = SentencePlan(windows=None, copies=np.full(10, 0.1), num_readings=1)
    assert np.cumsum(plan.copies)[-1] < 1
    assert plan.draw_order(Lowest()) == [9]


def make_stream(rows, *, k=3, both_strands=True, seed=0, min_count=1):
    bases, scheme = make_bases(rows), KmerScheme(k=k, stride=1)
    plan = plan_sentences(bases, scheme, max_words=8)
    vocabulary = build_vocabulary(
        bases, ks=(k,), both_strands=both_strands, canonical=False, min_count=min_count
    )
    reader = SentenceReader(bases, scheme, plan)
    return WordStream(reader, plan, vocabulary, epochs=2, both_strands=both_strands, seed=seed)


def test_the_stream_gives_all_words_of_both_strands_and_shares_the_objects():
    stream = make_stream(ROWS)
    epochs = [list(stream), list(stream)]
    expected = count_words(make_bases(ROWS), ks=(3,), both_strands=True)
    for sentences in epochs:
        words = [word for sentence in sentences for word in sentence]
        assert sorted(Counter(words).values()) == sorted(expected[expected > 0])
        assert len(sentences) == stream.sentences_per_epoch
        assert len({id(word) for word in words}) == len(set(words))
    assert epochs[0] != epochs[1]
    assert stream.num_words == 2 * expected.sum()
    again = make_stream(ROWS)
    assert [list(again), list(again)] == epochs
    assert list(make_stream(ROWS, seed=1)) != epochs[0]


def test_rare_words_are_left_out_of_their_sentences():
    stream = make_stream(["AAAAAACAAAAA"], both_strands=False, min_count=2)
    assert list(stream) == [["AAA"] * 4, ["AAA"] * 3]


def test_an_error_ends_the_stream_and_is_kept():
    stream = make_stream(ROWS)
    sentences = iter(stream)
    next(sentences)
    stream._reader.read_sentence = None
    assert len(list(sentences)) <= 1
    assert isinstance(stream.error, TypeError)
    assert list(stream) == []
