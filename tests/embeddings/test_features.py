import numpy as np
import pytest
from made_up_dna import make_dna
from small_corpora import cut, make_vectors

from genolm.embeddings import features
from genolm.embeddings.features import build_embedding_matrix, compute_embedding_profiles
from genolm.errors import SettingsError
from genolm.kmers import build_kmer_names
from genolm.tokenization.encoder import encode_sequence
from genolm.tokenization.scheme import KmerScheme

KMERS = {k: build_kmer_names(k) for k in (1, 2, 3)}


@pytest.mark.parametrize("ks", [(3,), (2, 3)])
def test_a_profile_is_the_mean_of_the_vectors_of_all_kmers(ks, monkeypatch):
    monkeypatch.setattr(features, "_BLOCK_SEQUENCES", 2)
    vectors = make_vectors([name for k in ks for name in KMERS[k]][:-5], size=6, ks=ks)
    texts = [make_dna(length, seed=length) for length in (30, 3, 100)] + ["acgNNacguT", "AACGGNTTGC"]
    found = compute_embedding_profiles(texts, vectors)
    assert (found.shape, found.dtype) == ((5, 6), np.float32)
    for text, row in zip(texts, found, strict=True):
        clean = text.upper().replace("U", "T")
        rows = [
            vectors.row_of_word[word] for k in ks for word in cut(clean, k) if word in vectors.row_of_word
        ]
        np.testing.assert_allclose(row, vectors.vectors[rows].mean(axis=0), atol=1e-6)


def test_a_sequence_without_a_known_kmer_has_the_mean_vector():
    vectors = make_vectors(["AA", "AT"], [[1, 0], [3, 2]])
    found = compute_embedding_profiles(["", "NNN", "GGG", "AAT"], vectors)
    assert found.tolist() == [[2, 1]] * 4
    assert compute_embedding_profiles(["AAA"], vectors).tolist() == [[1, 0]]
    assert compute_embedding_profiles([], vectors).shape == (0, 2)


@pytest.mark.parametrize("stride", [1, 3])
def test_token_ids_of_a_model_find_the_vectors_of_their_kmers(stride):
    vectors, scheme = make_vectors(KMERS[3], size=5), KmerScheme(k=3, stride=stride)
    matrix = build_embedding_matrix(vectors, scheme, size=5)
    assert (matrix.shape, matrix.dtype) == ((scheme.vocab_size, 5), np.float32)
    text = make_dna(60, seed=1)
    ids = encode_sequence(text, scheme, add_special_tokens=False)
    np.testing.assert_array_equal(matrix[ids], vectors.vectors[vectors.find_rows(cut(text, 3, stride))])
    np.testing.assert_allclose(matrix[:5], np.tile(vectors.vectors.mean(axis=0), (5, 1)), atol=1e-6)


def test_a_kmer_without_a_vector_gets_the_mean():
    vectors = make_vectors(["AA", "TT"], [[1, 0], [3, 4]], ks=(2,))
    matrix = build_embedding_matrix(vectors, KmerScheme(k=2, stride=1))
    expected = {"AA": [1, 0], "TT": [3, 4]}
    assert matrix[5:].tolist() == [expected.get(name, [2, 2]) for name in KMERS[2]]


def test_a_longer_kmer_gets_the_mean_of_the_shorter_ones_in_it():
    vectors = make_vectors(KMERS[2], size=3)
    matrix = build_embedding_matrix(vectors, KmerScheme(k=3, stride=1))
    for name, row in zip(KMERS[3], matrix[5:], strict=True):
        parts = vectors.vectors[vectors.find_rows(cut(name, 2))]
        np.testing.assert_allclose(row, parts.mean(axis=0), atol=1e-6)


def test_the_longest_shorter_kmers_are_taken():
    words = ["A", "T", "AT", "ATC"]
    vectors = make_vectors(words, [[1], [2], [10], [100]])
    matrix = build_embedding_matrix(vectors, KmerScheme(k=3, stride=3))
    row_of = dict(zip(KMERS[3], matrix[5:, 0].tolist(), strict=True))
    assert row_of["ATC"] == 100  # its own
    assert row_of["CAT"] == 10  # AT
    assert row_of["CAA"] == 1  # A twice
    assert row_of["TTA"] == pytest.approx(5 / 3)
    assert row_of["GGC"] == row_of["CCC"] == 113 / 4  # nothing known
    assert matrix[0, 0] == 113 / 4


def test_what_does_not_fit_is_refused():
    vectors = make_vectors(KMERS[3], size=5, scheme="kmer_k3_s1")
    with pytest.raises(
        SettingsError, match=r"size 5 for an embedding of size 8; .* train vectors with --size 8"
    ):
        build_embedding_matrix(vectors, KmerScheme(k=3, stride=1), size=8)
    with pytest.raises(SettingsError, match="vectors of kmer_k3_s1 for tokens of 2 bases"):
        build_embedding_matrix(vectors, KmerScheme(k=2, stride=1))
