import numpy as np
import pytest
from kmer_sets import flip, list_kmers
from scipy.sparse import csr_matrix

from genolm.corpus.kmer_matrix import build_kmer_matrix, cap_columns
from genolm.errors import SettingsError


def make_texts(*, seed):
    """60 texts of 0 to 60 letters, some of which are pieces of others or have an N."""
    generator = np.random.default_rng(seed)
    texts = ["".join(generator.choice(list("ACGT"), size=size)) for size in generator.integers(0, 60, 40)]
    for text in texts[:20]:
        piece = flip(text[3:50])
        texts.append(piece[:10] + "N" + piece[11:] if len(piece) % 2 else piece)
    return texts


@pytest.mark.parametrize("k", [3, 5, 12, 16, 31])
def test_pairs_share_what_python_sets_share(k):
    texts = make_texts(seed=k)
    expected = [list_kmers(text, k) for text in texts]
    matrix = build_kmer_matrix(texts, k=k)
    assert matrix.k == k
    assert matrix.num_distinct.tolist() == [len(kmers) for kmers in expected]
    common = (matrix.shared @ matrix.shared.T).toarray()
    np.fill_diagonal(common, 0)
    wanted = np.array([[len(a & b) if a is not b else 0 for b in expected] for a in expected])
    assert wanted.sum() > 0
    np.testing.assert_array_equal(common, wanted)


def test_no_kmer_crosses_records():
    matrix = build_kmer_matrix(["AAC", "CGT", "ACCG"], k=4)
    assert matrix.num_distinct.tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    "texts", [["ACG", "AC"], ["NNNNNNNNNNNNN", "A"], ["ACGT"]], ids=["short", "N", "one"]
)
def test_nothing_to_share(texts):
    matrix = build_kmer_matrix(texts, k=12)
    assert matrix.shared.shape == (len(texts), 0)
    assert matrix.num_distinct.tolist() == [0] * len(texts)


def test_k_out_of_range():
    with pytest.raises(SettingsError, match=r"found k=33; expected k in 1\.\.32"):
        build_kmer_matrix(["ACGT"], k=33)


def test_capped_columns_keep_the_same_few_records():
    dense = np.zeros((50, 4), dtype=np.int32)
    dense[:, 0] = dense[:, 1] = 1
    dense[:3, 2] = 1
    capped = cap_columns(csr_matrix(dense), max_records=5).toarray()
    assert capped.sum(axis=0).tolist() == [5, 5, 3, 0]
    np.testing.assert_array_equal(capped[:, 0], capped[:, 1])
    np.testing.assert_array_equal(capped[:, 2], dense[:, 2])
    assert not capped[:5, 0].all()  # drawn, not the first ones


def test_columns_below_the_cap_stay():
    matrix = csr_matrix(np.eye(3, dtype=np.int32))
    np.testing.assert_array_equal(cap_columns(matrix, max_records=1).toarray(), np.eye(3))
