"""From DNA text to token ids at memory speed, with the ids of the scheme's tokenizer.json.

White space is dropped, lower case is read as upper case and U as T; a k-mer with any other letter is [UNK].
Only one thing differs from tokenizer.json: a special token written out inside the text, such as [MASK], is
six unknown letters here.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from genolm.alphabet import BASE_OF_CODE, BASES, CODE_OF_BYTE, IUPAC_AMBIGUOUS, Codes
from genolm.errors import DataError, SettingsError
from genolm.kmer_compiled import Engine
from genolm.kmer_packing import Numbering, fill_kmer_numbers
from genolm.tokenization.scheme import CLS_ID, NUM_SPECIAL_TOKENS, PAD_ID, SEP_ID, UNK_ID, KmerScheme
from genolm.tokenization.tokens import BpeTokens, Tokens

WHITE_SPACE = " \t\n\r\v\f"

TokenIds: TypeAlias = npt.NDArray[np.integer[Any]]

_CODE_TABLE = CODE_OF_BYTE.tobytes()
_WHITE_SPACE_BYTES = WHITE_SPACE.encode()
_NUCLEOTIDE_LETTERS = (BASES + "U" + IUPAC_AMBIGUOUS + (BASES + "U" + IUPAC_AMBIGUOUS).lower()).encode()

_LARGEST_ID = {np.dtype(dtype): int(np.iinfo(dtype).max) for dtype in (np.uint16, np.int32, np.int64)}
# Below this a look-up in a table is faster than the dozen calls of numpy that do without one.
_SHORT_TEXT_BP = 1 << 14
_GROUP_BP = 1 << 18
_PART_BP = 1 << 20


class EncodedBatch(NamedTuple):
    """Sequences padded on the right to one length, as models take them."""

    input_ids: npt.NDArray[np.int64]
    """[batch, tokens]; [PAD] behind each sequence"""
    attention_mask: npt.NDArray[np.int64]
    """[batch, tokens]; 1 on tokens, 0 on padding"""


def encode_sequence(
    sequence: str | bytes,
    scheme: KmerScheme,
    *,
    add_special_tokens: bool = True,
    dtype: npt.DTypeLike = np.int32,
    out: TokenIds | None = None,
    engine: Engine = "auto",
) -> TokenIds:
    """Turn DNA text into token ids, the same as the scheme's tokenizer.json gives.

    Args:
        sequence: DNA text; every letter that is not ASCII (in bytes: every such byte) is one unknown base.
        scheme: how to cut it.
        add_special_tokens: put [CLS] in front and [SEP] behind.
        dtype: type of the ids: uint16 (up to k = 7), int32 or int64.
        out: where to write; one-dimensional, with room for the ids (white space in a long text counted),
            which decides their type. Memory that is used again spares the time of asking for more.
        engine: `auto` takes numba for long texts where it is installed, else numpy.

    Returns:
        integers [tokens], of the type asked for; the filled part of `out` where that is given.

    Raises:
        SettingsError: the type is too narrow or none of the three, `out` is too short, or the engine is not
            usable.

    >>> encode_sequence("aaat", KmerScheme(k=3, stride=1)).tolist()
    [2, 5, 6, 3]
    """
    codes = _read_codes(sequence) if len(sequence) < _SHORT_TEXT_BP else None
    length_bp = len(sequence) if codes is None else codes.size
    shape = (scheme.count_tokens(length_bp) + (2 if add_special_tokens else 0),)
    ids = _make_ids(shape, scheme, dtype) if out is None else _check_out(out, scheme)[: shape[0]]
    if ids.shape != shape:
        raise SettingsError(
            found=f"out of shape {ids.shape}", expected=f"room for {shape[0]} ids", remedy="make out longer"
        )
    inner = ids[1:-1] if add_special_tokens else ids
    if codes is not None:
        fill_kmer_numbers(codes, inner, _number(scheme), engine=engine)
    elif not _fill_from_text(sequence, inner, scheme, engine=engine):
        bare = _encode_ascii(sequence).translate(None, _WHITE_SPACE_BYTES)
        return encode_sequence(
            bare, scheme, add_special_tokens=add_special_tokens, dtype=dtype, out=out, engine=engine
        )
    if add_special_tokens:
        ids[0], ids[-1] = CLS_ID, SEP_ID
    return ids


def encode_sequences(
    sequences: Iterable[str | bytes],
    scheme: Tokens,
    *,
    add_special_tokens: bool = True,
    dtype: npt.DTypeLike = np.int32,
) -> list[TokenIds]:
    """Turn many DNA texts into token ids of k-mers or BPE, one array each; see `encode_sequence`.

    Short texts are encoded together, and their ids are parts of one array.
    """
    if isinstance(scheme, BpeTokens):
        kind = _check_dtype(np.dtype(dtype), scheme)
        whole = [np.array(scheme.encode(_read_bases(each)), dtype=kind) for each in sequences]
        return whole if add_special_tokens else [ids[1:-1] for ids in whole]
    encoded: list[TokenIds] = []
    for group in _iter_groups(sequences):
        if len(group) == 1:
            encoded.append(
                encode_sequence(group[0], scheme, add_special_tokens=add_special_tokens, dtype=dtype)
            )
        else:
            encoded += _encode_group(group, scheme, add_special_tokens=add_special_tokens, dtype=dtype)
    return encoded


def encode_codes(
    codes: Codes,
    scheme: KmerScheme,
    *,
    dtype: npt.DTypeLike = np.int32,
    out: TokenIds | None = None,
    engine: Engine = "auto",
) -> TokenIds:
    """Turn base codes into token ids, on the last axis, without [CLS] and [SEP].

    Args:
        codes: uint8 base codes, [..., length_bp]: a window of a corpus or a whole batch of them.
        scheme: how to cut them.
        dtype: type of the ids: uint16 (up to k = 7), int32 or int64.
        out: where to write, [..., tokens]; it decides the type of the ids.
        engine: `auto` takes numba for large inputs where it is installed, else numpy.

    Returns:
        integers [..., tokens], of the type asked for; `out` where that is given.

    Raises:
        SettingsError: the type is too narrow or none of the three, `out` has another shape, or the engine is
            not usable.

    >>> encode_codes(np.array([[0, 0, 0, 1, 4]], dtype=np.uint8), KmerScheme(k=3, stride=1)).tolist()
    [[5, 6, 1]]
    """
    shape = (*codes.shape[:-1], scheme.count_tokens(codes.shape[-1]))
    ids = _make_ids(shape, scheme, dtype) if out is None else _check_out(out, scheme)
    if ids.shape != shape:
        raise SettingsError(
            found=f"out of shape {ids.shape}", expected=f"shape {shape}", remedy="change its shape"
        )
    fill_kmer_numbers(codes, ids, _number(scheme), engine=engine)
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


def _number(scheme: KmerScheme) -> Numbering:
    return Numbering(scheme.k, scheme.stride, offset=NUM_SPECIAL_TOKENS, unknown=UNK_ID)


def _read_bases(text: str | bytes) -> str:
    """Return the text as A, C, G, T and N."""
    return BASE_OF_CODE[_read_codes(text)].tobytes().decode("ascii")


def _make_ids(shape: tuple[int, ...], scheme: KmerScheme, dtype: npt.DTypeLike) -> TokenIds:
    return np.empty(shape, dtype=_check_dtype(np.dtype(dtype), scheme))


def _check_out(out: TokenIds, scheme: KmerScheme) -> TokenIds:
    _check_dtype(out.dtype, scheme)
    return out


def _check_dtype(dtype: "np.dtype[Any]", scheme: Tokens) -> "np.dtype[Any]":
    """Refuse a type that cannot hold every id of the scheme."""
    if _LARGEST_ID.get(dtype, 0) < scheme.vocab_size - 1:
        raise SettingsError(
            found=f"ids of type {dtype} for {scheme.name}",
            expected=f"uint16, int32 or int64, with room for {scheme.vocab_size} ids",
            remedy="take int32",
        )
    return dtype


def _encode_ascii(text: str | bytes) -> bytes:
    return text.encode("ascii", "replace") if isinstance(text, str) else text


def _read_codes(text: str | bytes) -> Codes:
    return np.frombuffer(_encode_ascii(text).translate(_CODE_TABLE, _WHITE_SPACE_BYTES), dtype=np.uint8)


def _fill_from_text(text: str | bytes, ids: TokenIds, scheme: KmerScheme, *, engine: Engine) -> bool:
    """Write the ids of a long text, part by part; stop and return False where there is white space."""
    numbering = _number(scheme)
    num_tokens = max(_PART_BP // scheme.stride, 1)
    letters = None if isinstance(text, str) else np.frombuffer(text, dtype=np.uint8)
    for first in range(0, ids.size, num_tokens):
        part = ids[first : first + num_tokens]
        start = first * scheme.stride
        place = slice(start, start + (part.size - 1) * scheme.stride + scheme.k)
        # A part of a str is copied while it is in the processor's cache, not the whole of it beforehand.
        piece = np.frombuffer(_encode_ascii(text[place]), np.uint8) if letters is None else letters[place]
        if _has_white_space(piece):
            return False
        fill_kmer_numbers(piece, part, numbering, from_text=True, engine=engine, total_bp=len(text))
    return True


def _has_white_space(letters: npt.NDArray[np.uint8]) -> bool:
    if letters.min(initial=255) > ord(" "):
        return False
    return len(letters.tobytes().translate(None, _WHITE_SPACE_BYTES)) < letters.size


def _iter_groups(sequences: Iterable[str | bytes]) -> Iterator[list[str | bytes]]:
    """Yield runs of sequences that are worth one pass together."""
    group: list[str | bytes] = []
    size_bp = 0
    for sequence in sequences:
        group.append(sequence)
        size_bp += len(sequence)
        if size_bp >= _GROUP_BP:
            yield group
            group, size_bp = [], 0
    if group:
        yield group


def _encode_group(
    group: Sequence[str | bytes], scheme: KmerScheme, *, add_special_tokens: bool, dtype: npt.DTypeLike
) -> list[TokenIds]:
    """Encode sequences in one pass, joined by unknown letters so that each begins on a whole token.

    Between two of them stand tokens enough for the [SEP] of one and the [CLS] of the next.
    """
    raw = [each.encode("ascii", "replace") if isinstance(each, str) else each for each in group]
    if _has_white_space(np.frombuffer(b"".join(raw), dtype=np.uint8)):
        raw = [each.translate(None, _WHITE_SPACE_BYTES) for each in raw]
    stride = scheme.stride
    lengths_bp = np.fromiter(map(len, raw), dtype=np.int64, count=len(raw))
    rests = -lengths_bp % stride
    start, gap, end = b"N" * 2 * stride, b"N" * (2 * stride + int(rests[0])), b"N" * (3 * stride + scheme.k)
    if (rests == rests[0]).all():
        middle = gap.join(raw)
    else:
        middle = b"".join(
            [each + b"N" * (2 * stride + rest) for each, rest in zip(raw, rests.tolist(), strict=True)]
        )
    ids = encode_sequence(start + middle + end, scheme, add_special_tokens=False, dtype=dtype)
    slots = (lengths_bp + rests) // stride + 2
    firsts = 2 + np.cumsum(slots) - slots
    ends = firsts + np.maximum((lengths_bp - scheme.k) // stride + 1, 0)
    if add_special_tokens:
        firsts -= 1
        ids[firsts], ids[ends] = CLS_ID, SEP_ID
        ends += 1
    return [ids[i:j] for i, j in zip(firsts.tolist(), ends.tolist(), strict=True)]
