import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genolm.alphabet import (
    BASE_OF_CODE,
    BASES,
    CODE_OF_BYTE,
    COMPLEMENT_OF_CODE,
    IUPAC_AMBIGUOUS,
    UNKNOWN_CODE,
    decode_bases,
    encode_bases,
    reverse_complement,
)

COMPLEMENT_LETTERS = str.maketrans("ACGTN", "TGCAN")


def test_order_is_that_of_dnabert_vocabularies() -> None:
    assert encode_bases("ATCG").tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("text", ["acgtu", b"acgtu", "ACGTU", b"AcGtU"])
def test_either_case_text_or_bytes_and_u(text: str | bytes) -> None:
    codes = encode_bases(text)
    assert codes.dtype == np.uint8
    assert codes.tolist() == [0, 2, 3, 1, 1]


def test_every_other_byte_is_unknown() -> None:
    known = set(b"ACGTUacgtu")
    assert all((CODE_OF_BYTE[byte] == UNKNOWN_CODE) == (byte not in known) for byte in range(256))
    assert set(encode_bases(IUPAC_AMBIGUOUS)) == {UNKNOWN_CODE}


def test_letter_outside_ascii_is_one_unknown_base() -> None:
    assert encode_bases("A\u00e9\U0001f9ecT").tolist() == [0, 4, 4, 1]


def test_empty_text() -> None:
    assert encode_bases("").size == 0
    assert decode_bases(encode_bases("")) == ""


def test_complement_flips_the_lowest_bit_of_a_base() -> None:
    assert COMPLEMENT_OF_CODE[:4].tolist() == [code ^ 1 for code in range(4)]
    assert "".join(BASES[code] for code in COMPLEMENT_OF_CODE[:4]) == "TAGC"
    assert chr(BASE_OF_CODE[COMPLEMENT_OF_CODE[UNKNOWN_CODE]]) == "N"


def test_reverse_complement_of_a_batch_works_on_the_last_axis() -> None:
    batch = np.stack([encode_bases("AACGN"), encode_bases("TTTTC")])
    assert [decode_bases(row) for row in reverse_complement(batch)] == ["NCGTT", "GAAAA"]


@given(st.text(alphabet="ACGTN", max_size=50))
def test_round_trips_and_reverse_complement_of_strings(sequence: str) -> None:
    codes = encode_bases(sequence)
    assert decode_bases(codes) == sequence
    assert decode_bases(reverse_complement(codes)) == sequence.translate(COMPLEMENT_LETTERS)[::-1]
    assert reverse_complement(reverse_complement(codes)).tolist() == codes.tolist()
