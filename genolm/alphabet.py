"""Bases as numbers: A, T, C, G are 0 to 3 (the order of DNABERT's vocabularies), anything else is 4.

In this order the complement of a base is its code with the lowest bit flipped.
"""

import numpy as np
import numpy.typing as npt

BASES = "ATCG"
UNKNOWN_CODE = 4
IUPAC_AMBIGUOUS = "RYSWKMBDHVN"

Codes = npt.NDArray[np.uint8]


def _build_code_table() -> Codes:
    table = np.full(256, UNKNOWN_CODE, dtype=np.uint8)
    for code, base in enumerate(BASES):
        table[ord(base)] = table[ord(base.lower())] = code
    table[ord("U")] = table[ord("u")] = BASES.index("T")
    return table


CODE_OF_BYTE = _build_code_table()
BASE_OF_CODE = np.frombuffer((BASES + "N").encode(), dtype=np.uint8)
COMPLEMENT_OF_CODE = np.array([1, 0, 3, 2, 4], dtype=np.uint8)


def encode_bases(sequence: str | bytes) -> Codes:
    """Turn DNA text into base codes, one uint8 a letter; lower case and U are read, the rest is 4.

    >>> encode_bases("ATCGNu").tolist()
    [0, 1, 2, 3, 4, 1]
    """
    raw = sequence.encode("ascii", "replace") if isinstance(sequence, str) else sequence
    return CODE_OF_BYTE[np.frombuffer(raw, dtype=np.uint8)]


def decode_bases(codes: Codes) -> str:
    """Turn base codes into upper-case DNA text.

    >>> decode_bases(encode_bases("acgun"))
    'ACGTN'
    """
    return BASE_OF_CODE[codes].tobytes().decode("ascii")


def reverse_complement(codes: Codes) -> Codes:
    """Return the other strand, read in its own direction; works on the last axis.

    >>> decode_bases(reverse_complement(encode_bases("AACGN")))
    'NCGTT'
    """
    return COMPLEMENT_OF_CODE[codes[..., ::-1]]
