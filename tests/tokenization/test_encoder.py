import re

import numpy as np
import pytest

from genolm.alphabet import IUPAC_AMBIGUOUS, encode_bases
from genolm.errors import DataError
from genolm.tokenization.encoder import (
    check_sequence,
    encode_codes,
    encode_sequence,
    encode_sequences,
    pad_batch,
)
from genolm.tokenization.scheme import KmerScheme

K3 = KmerScheme(k=3, stride=1)
K6 = KmerScheme(k=6, stride=1)


@pytest.mark.parametrize(
    ("text", "scheme", "expected"),
    [
        ("AAAAAA", K6, [2, 5, 3]),
        ("GGGGGG", K6, [2, 4100, 3]),
        ("ATCGATC", K6, [2, 5 + int("012301", 4), 5 + int("123012", 4), 3]),
        ("AAATN", K3, [2, 5, 6, 1, 3]),
        ("AAATC", KmerScheme(k=3, stride=2), [2, 5, 11, 3]),
        ("AAATCG", KmerScheme(k=3, stride=2), [2, 5, 11, 3]),
        ("AAAAA", K6, [2, 3]),
        ("", K3, [2, 3]),
    ],
)
def test_ids_computed_by_hand(text: str, scheme: KmerScheme, expected: list[int]) -> None:
    ids = encode_sequence(text, scheme)
    assert ids.dtype == np.int32
    assert ids.tolist() == expected
    assert encode_sequence(text.encode(), scheme).tolist() == expected
    bare_ids = encode_sequence(text, scheme, add_special_tokens=False)
    assert bare_ids.dtype == np.int32
    assert bare_ids.tolist() == expected[1:-1]


def test_white_space_case_and_u_make_no_difference() -> None:
    plain = encode_sequence("ACGTACGTT", K6)
    assert encode_sequence(" acG\tU\nACg\r\ntu\v\f", K6).tolist() == plain.tolist()


def test_letter_outside_ascii_is_one_unknown_base() -> None:
    assert encode_sequence("AAA\u00e9AAA", K3).tolist() == [2, 5, 1, 1, 1, 5, 3]
    assert encode_sequence("AAA\U0001f9ecAAA", K3).tolist() == encode_sequence("AAANAAA", K3).tolist()


def test_many_sequences_are_encoded_one_by_one() -> None:
    encoded = encode_sequences(iter(["AAAT", b"GG", ""]), K3)
    assert [ids.tolist() for ids in encoded] == [[2, 5, 6, 3], [2, 3], [2, 3]]
    bare = encode_sequences(["AAAT", "GG"], K3, add_special_tokens=False)
    assert [ids.tolist() for ids in bare] == [[5, 6], []]


@pytest.mark.parametrize("scheme", [K3, K6, KmerScheme(6, 4), KmerScheme(1, 1)])
def test_codes_of_a_batch_give_the_ids_of_the_text(scheme: KmerScheme) -> None:
    texts = ["ACGTNACGTTTACGATC", "NNNNNNNNNNNNNNNNN", "GGGGGGGGGGGGGGGGG"]
    codes = np.stack([encode_bases(text) for text in texts])
    before = codes.copy()
    ids = encode_codes(codes, scheme)
    assert ids.dtype == np.int32
    assert ids.shape == (3, scheme.count_tokens(17))
    for row, text in zip(ids, texts, strict=True):
        assert row.tolist() == encode_sequence(text, scheme, add_special_tokens=False).tolist()
    np.testing.assert_array_equal(codes, before)


def test_padding_goes_to_the_right() -> None:
    batch = pad_batch(encode_sequences(["AAAT", "A", "GGG"], K3))
    assert batch.input_ids.tolist() == [[2, 5, 6, 3], [2, 3, 0, 0], [2, 68, 3, 0]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]]
    assert batch.input_ids.dtype == batch.attention_mask.dtype == np.int64


def test_padding_of_nothing() -> None:
    assert pad_batch([]).input_ids.shape == (0, 0)
    no_tokens = pad_batch([np.empty(0, dtype=np.int32)] * 2)
    assert no_tokens.input_ids.shape == no_tokens.attention_mask.shape == (2, 0)


@pytest.mark.parametrize(
    "text", ["ACGTU", "acg", b"ACG", "A C\nG", "NNN", IUPAC_AMBIGUOUS, IUPAC_AMBIGUOUS.lower()]
)
def test_usable_sequences_pass(text: str | bytes) -> None:
    check_sequence(text, K3, name="good")


@pytest.mark.parametrize(
    "letter", [*"EFIJLOPQXZefilpqz", "5", "*", "-", ".", "?", "\x00", "\u00e9", "\u00a0"]
)
def test_wrong_letter_is_named_with_its_place(letter: str) -> None:
    # The first wrong letter is meant, and white space does not count.
    text = f"ACN ryT\nU{letter}-{letter}"
    with pytest.raises(
        DataError, match=re.escape(f"{letter!r} at position 8 of sequence 'chr 1'; expected nuc")
    ):
        check_sequence(text, K3, name="chr 1")


def test_wrong_byte_is_named_with_its_place() -> None:
    with pytest.raises(DataError, match="found '\u00e9' at position 4 of sequence 'x'"):
        check_sequence(b"ACG\xe9\xe8", K3, name="x")


@pytest.mark.parametrize(("text", "num_bases"), [("", 0), (" \n", 0), ("AC GTA\n", 5)])
def test_sequence_shorter_than_k_is_named(text: str, num_bases: int) -> None:
    message = rf"sequence 'tiny' of {num_bases} bases; expected at least 6 bases \(kmer_k6_s1\)"
    with pytest.raises(DataError, match=message):
        check_sequence(text, K6, name="tiny")
    check_sequence(text + "A" * (6 - num_bases), K6, name="long enough")
