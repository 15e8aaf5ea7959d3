import dataclasses
from typing import Any

import pytest

from genolm.errors import SettingsError
from genolm.tokenization.scheme import (
    CLS_ID,
    MASK_ID,
    NUM_SPECIAL_TOKENS,
    PAD_ID,
    SEP_ID,
    SPECIAL_TOKENS,
    UNK_ID,
    KmerScheme,
)


def test_special_tokens_have_the_ids_of_dnabert() -> None:
    ids = {"[PAD]": PAD_ID, "[UNK]": UNK_ID, "[CLS]": CLS_ID, "[SEP]": SEP_ID, "[MASK]": MASK_ID}
    assert ids == {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}
    assert tuple(ids) == SPECIAL_TOKENS
    assert NUM_SPECIAL_TOKENS == 5


def test_numbers_of_a_scheme() -> None:
    scheme = KmerScheme(k=5, stride=2)
    assert (scheme.name, scheme.num_kmers, scheme.vocab_size) == ("kmer_k5_s2", 1024, 1029)
    assert scheme.num_successors == 16
    assert KmerScheme(6, 1).vocab_size == 4101  # DNABERT-6


@pytest.mark.parametrize(
    ("k", "stride", "length_bp", "expected"),
    [(6, 1, 512, 507), (6, 1, 6, 1), (6, 1, 5, 0), (6, 6, 17, 2), (3, 2, 0, 0), (3, 2, 6, 2), (12, 12, 1, 0)],
)
def test_token_counts(k: int, stride: int, length_bp: int, expected: int) -> None:
    assert KmerScheme(k, stride).count_tokens(length_bp) == expected


@pytest.mark.parametrize("scheme", [KmerScheme(1, 1), KmerScheme(6, 3), KmerScheme(12, 12)])
def test_name_is_read_back(scheme: KmerScheme) -> None:
    assert KmerScheme.parse(scheme.name) == scheme


@pytest.mark.parametrize(
    "name", ["", "kmer_k6", "kmer_k6_s1 ", "kmer_k06_s1", "KMER_k6_s1", "kmer_k\u0666_s1", "bpe_4096"]
)
def test_wrong_name_says_what_is_expected(name: str) -> None:
    with pytest.raises(SettingsError, match=r"expected kmer_k<k>_s<stride> with k in 1\.\.12.*kmer_k6_s1"):
        KmerScheme.parse(name)


@pytest.mark.parametrize("k", [0, 13, 6.0, "6", True])
def test_wrong_k(k: Any) -> None:
    with pytest.raises(SettingsError, match=rf"k={k!r}; expected a whole number in 1\.\.12"):
        KmerScheme(k=k, stride=1)


@pytest.mark.parametrize("stride", [0, 7, -1, 1.0, None])
def test_wrong_stride(stride: Any) -> None:
    with pytest.raises(SettingsError, match=rf"stride={stride!r}; .*k \(k=6\); set stride to 6 or less"):
        KmerScheme(k=6, stride=stride)


def test_a_name_with_wrong_numbers_says_which() -> None:
    with pytest.raises(SettingsError, match="k=13"):
        KmerScheme.parse("kmer_k13_s1")
    with pytest.raises(SettingsError, match="stride=4"):
        KmerScheme.parse("kmer_k3_s4")


def test_a_scheme_is_a_value() -> None:
    scheme = KmerScheme(3, 1)
    assert {scheme: "found"}[KmerScheme(k=3, stride=1)] == "found"
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'k'"):
        scheme.k = 4  # type: ignore[misc]
