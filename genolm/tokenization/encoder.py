"""From DNA text to token ids at memory speed, with the ids of the scheme's tokenizer.json.

White space is dropped, lower case is read as upper case and U as T; a k-mer with any other letter is [UNK].
Only one thing differs from tokenizer.json: a special token written out inside the text, such as [MASK], is
six unknown letters here.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.alphabet import BASES, CODE_OF_BYTE, IUPAC_AMBIGUOUS, Codes
from genolm.errors import DataError
from genolm.kmers import UNKNOWN_KMER, compute_kmer_codes
from genolm.tokenization.scheme import CLS_ID, NUM_SPECIAL_TOKENS, PAD_ID, SEP_ID, UNK_ID, KmerScheme

WHITE_SPACE = " \t\n\r\v\f"

TokenIds = npt.NDArray[np.int32]

_CODE_TABLE = CODE_OF_BYTE.tobytes()
_WHITE_SPACE_BYTES = WHITE_SPACE.encode()
_NUCLEOTIDE_LETTERS = (BASES + "U" + IUPAC_AMBIGUOUS + (BASES + "U" + IUPAC_AMBIGUOUS).lower()).encode()


class EncodedBatch(NamedTuple):
    """Sequences padded on the right to one length, as models take them."""

    input_ids: npt.NDArray[np.int64]
    """[batch, tokens]; [PAD] behind each sequence"""
    attention_mask: npt.NDArray[np.int64]
    """[batch, tokens]; 1 on tokens, 0 on padding"""


def encode_sequence(
    sequence: str | bytes, scheme: KmerScheme, *, add_special_tokens: bool = True
) -> TokenIds:
    """Turn DNA text into token ids, the same as the scheme's tokenizer.json gives.

    Args:
        sequence: DNA text; every letter that is not ASCII (in bytes: every such byte) is one unknown base.
        scheme: how to cut it.
        add_special_tokens: put [CLS] in front and [SEP] behind.

    Returns:
        int32 [tokens].

    >>> encode_sequence("aaat", KmerScheme(k=3, stride=1)).tolist()
    [2, 5, 6, 3]
    """
    raw = sequence.encode("ascii", "replace") if isinstance(sequence, str) else sequence
    codes = np.frombuffer(raw.translate(_CODE_TABLE, _WHITE_SPACE_BYTES), dtype=np.uint8)
    ids = encode_codes(codes, scheme)
    return np.concatenate(([CLS_ID], ids, [SEP_ID]), dtype=np.int32) if add_special_tokens else ids


def encode_sequences(
    sequences: Iterable[str | bytes], scheme: KmerScheme, *, add_special_tokens: bool = True
) -> list[TokenIds]:
    """Turn many DNA texts into token ids, one int32 array each; see `encode_sequence`."""
    return [encode_sequence(each, scheme, add_special_tokens=add_special_tokens) for each in sequences]


def encode_codes(codes: Codes, scheme: KmerScheme) -> TokenIds:
    """Turn base codes into token ids, on the last axis, without [CLS] and [SEP].

    Args:
        codes: uint8 base codes, [..., length_bp]: a window of a corpus or a whole batch of them.
        scheme: how to cut them.

    Returns:
        int32 [..., tokens].

    >>> encode_codes(np.array([[0, 0, 0, 1, 4]], dtype=np.uint8), KmerScheme(k=3, stride=1)).tolist()
    [[5, 6, 1]]
    """
    ids = compute_kmer_codes(codes, k=scheme.k, stride=scheme.stride)
    ids += NUM_SPECIAL_TOKENS
    np.putmask(ids, ids == UNKNOWN_KMER + NUM_SPECIAL_TOKENS, UNK_ID)
    return ids


def pad_batch(token_ids: Sequence[TokenIds]) -> EncodedBatch:
    """Pad token ids on the right to the longest sequence of the batch.

    >>> pad_batch([np.array([2, 5, 3]), np.array([2, 3])]).input_ids.tolist()
    [[2, 5, 3], [2, 3, 0]]
    """
    lengths = np.array([ids.size for ids in token_ids], dtype=np.int64)
    is_token = np.arange(lengths.max(initial=0)) < lengths[:, None]
    input_ids = np.full(is_token.shape, PAD_ID, dtype=np.int64)
    if len(token_ids) > 0:
        input_ids[is_token] = np.concatenate(token_ids)
    return EncodedBatch(input_ids=input_ids, attention_mask=is_token.astype(np.int64))


def check_sequence(sequence: str | bytes, scheme: KmerScheme, *, name: str) -> None:
    """Refuse text that is no nucleotide sequence, or that is too short to give a token.

    White space is not counted. IUPAC ambiguity letters such as N and R pass: they become [UNK].

    Args:
        sequence: DNA text.
        scheme: how it will be cut.
        name: what the message calls the record, such as its FASTA identifier.

    Raises:
        DataError: naming the record and the first wrong letter with its position, counted from 1.
    """
    text = sequence if isinstance(sequence, str) else sequence.decode("latin-1")
    raw = text.encode("ascii", "replace").translate(None, _WHITE_SPACE_BYTES)
    # What is left after the nucleotide letters are deleted starts with the first wrong one.
    if wrong := raw.translate(None, _NUCLEOTIDE_LETTERS):
        index = raw.index(wrong[:1])
        letter = [letter for letter in text if letter not in WHITE_SPACE][index]
        raise DataError(
            found=f"{letter!r} at position {index + 1} of sequence {name!r}",
            expected=f"nucleotide letters ({BASES}, U, or {IUPAC_AMBIGUOUS})",
            remedy="remove gaps and other signs, and check that it is not a protein",
        )
    if len(raw) < scheme.k:
        raise DataError(
            found=f"sequence {name!r} of {len(raw)} bases",
            expected=f"at least {scheme.k} bases ({scheme.name})",
            remedy="remove the sequence or choose a smaller k",
        )
