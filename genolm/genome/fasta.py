"""FASTA read once, strictly: every damaged or foreign file is one clear `DataError`."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import dnaio
import dnaio.exceptions
from xopen import xopen

from genolm.alphabet import BASES, IUPAC_AMBIGUOUS
from genolm.errors import DataError

logger = logging.getLogger(__name__)

_UPPER_LETTERS = BASES + "U" + IUPAC_AMBIGUOUS
NUCLEOTIDE_LETTERS = (_UPPER_LETTERS + _UPPER_LETTERS.lower()).encode()

_GZIP_MAGIC = b"\x1f\x8b"
_BGZF_EXTRA = b"\x06\x00BC\x02\x00"  # the extra field at byte 10 of every BGZF block
_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_SNIFF_BYTES = 512
_BUFFER_BYTES = 1 << 17
_CHECK_BP = 1 << 24

# What people hand over instead of text: the first bytes, their name, the remedy.
_FOREIGN_STARTS = (
    (_GZIP_MAGIC, "a file compressed twice", "decompress it once with gunzip"),
    (b"BZh", "a bzip2 file", "decompress it with bunzip2, or compress it with gzip"),
    (b"\xfd7zXZ", "an xz file", "decompress it with unxz, or compress it with gzip"),
    (b"\x28\xb5\x2f\xfd", "a zstandard file", "decompress it with unzstd, or compress it with gzip"),
    (b"PK\x03\x04", "a zip or Excel file", "unpack it, or save the sheet as CSV"),
    (b"\xff\xfe", "UTF-16 text", "save it as UTF-8 text"),
    (b"\xfe\xff", "UTF-16 text", "save it as UTF-8 text"),
    (b"<", "an HTML or XML page", "download the file again: a server often sends an error page instead"),
    (b"@", "FASTQ reads", "convert them to FASTA, for instance with seqtk seq -A"),
    (b"LOCUS ", "a GenBank record", "download or convert it as FASTA"),
)


class FastaRecord(NamedTuple):
    """One sequence of a FASTA file: the first word of its header, the rest of the header, its letters."""

    id: str
    description: str
    sequence: str


def iter_fasta(path: Path, *, unique_ids: bool = True) -> Iterator[FastaRecord]:
    """Read the records of a FASTA file one by one, plain or gzipped (told by content, not by name).

    The case of the letters is kept (lower case is soft-masked); white space inside a sequence is dropped.
    A record without a sequence is skipped with a warning, as long as another record has one.

    Args:
        path: the file.
        unique_ids: refuse an id that comes twice.

    Raises:
        DataError: the file is missing, empty, damaged, not FASTA, without any sequence, or holds a letter
            that is no nucleotide code, an empty id, or (with `unique_ids`) an id twice.
    """
    seen: set[str] = set()
    num_empty = num_full = 0
    with open_by_content(path) as stream:
        _check_start(path, read_start(stream))
        for header, sequence in _iter_raw_records(path, stream):
            record = _build_record(path, header, sequence)
            if unique_ids and record.id in seen:
                raise DataError(
                    found=f"the record id '{record.id}' twice in {path.name}",
                    expected="one record per id",
                    remedy="rename one of the records or remove the copy",
                )
            seen.add(record.id)
            if not record.sequence:
                num_empty += 1
                logger.warning("%s: record '%s' has no sequence and is skipped", path.name, record.id)
                continue
            num_full += 1
            yield record
            del record, sequence  # let go of a chromosome before the next one is read
    if not num_full:
        raise DataError(
            found=f"{num_empty} record(s) and no sequence in {path.name}",
            expected="at least one record with a sequence",
            remedy="check that the download or the export was complete",
        )


@contextmanager
def open_by_content(path: Path) -> Iterator[io.BufferedReader]:
    """Open a plain or gzipped file for reading; the first bytes decide, never the name.

    Raises:
        DataError: the file is missing, a folder, or (while it is read) a damaged gzip stream.
    """
    if not path.is_file():
        raise DataError(
            found=f"a folder at {path}" if path.is_dir() else f"no file at {path}",
            expected="a file that exists",
            remedy="check the path",
        )
    with path.open("rb") as plain:
        head = plain.read(18)
        if not head.startswith(_GZIP_MAGIC):
            plain.seek(0)
            yield plain
            return
        if head[10:16] == _BGZF_EXTRA:
            _check_bgzf_end(path, plain)
    with xopen(path, "rb", format="gz", threads=0) as unzipped:
        yield io.BufferedReader(_GzipGuard(unzipped, path), _BUFFER_BYTES)


def read_start(stream: io.BufferedReader) -> bytes:
    """Return the first bytes without white space, not consumed; a UTF-8 byte-order mark is dropped."""
    if stream.peek(3).startswith(b"\xef\xbb\xbf"):
        stream.read(3)
    return stream.peek(_SNIFF_BYTES)[:_SNIFF_BYTES].lstrip()


def check_text_start(path: Path, start: bytes, *, expected: str) -> None:
    """Refuse an empty file and the usual foreign formats, each by its name.

    Raises:
        DataError: naming what the file is instead of `expected`.
    """
    if not start:
        raise DataError(
            found=f"the empty file {path.name}", expected=expected, remedy="check the download or the export"
        )
    for magic, what, remedy in _FOREIGN_STARTS:
        if start.startswith(magic):
            raise DataError(found=f"{what} ({path.name})", expected=expected, remedy=remedy)


def check_nucleotides(sequence: str, *, where: str) -> None:
    """Refuse letters that are no nucleotide code (A C G T U, N and the other IUPAC codes, either case).

    Raises:
        DataError: naming the letter, its 1-based position and `where`.
    """
    for start in range(0, len(sequence), _CHECK_BP):
        block = sequence[start : start + _CHECK_BP]
        raw = block.encode("ascii", "replace")
        foreign = raw.translate(None, delete=NUCLEOTIDE_LETTERS)
        if foreign:
            position = min(raw.index(letter) for letter in set(foreign))
            raise DataError(
                found=f"'{block[position]}' at position {start + position + 1} of {where}",
                expected="nucleotide letters (A, C, G, T, U, N or another IUPAC code)",
                remedy="remove gaps, digits and stops, and check that this is DNA or RNA, not protein",
            )


class _GzipGuard(io.RawIOBase):
    """A decompressed stream whose faults are `DataError`s; each back end of xopen has its own errors."""

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self._stream = stream
        self._path = path

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            chunk = self._stream.read(len(buffer))
        except EOFError as error:
            raise _build_truncation_error(self._path) from error
        except Exception as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk failed, not the data
            raise DataError(
                found=f"a damaged gzip file ({self._path.name}: {error})",
                expected="gzip data whose checksum fits",
                remedy="download the file again",
            ) from error
        buffer[: len(chunk)] = chunk
        return len(chunk)


def _build_truncation_error(path: Path) -> DataError:
    return DataError(
        found=f"a gzip file that ends too early ({path.name})",
        expected="a complete gzip file",
        remedy="download the file again: the last transfer was cut off",
    )


def _check_bgzf_end(path: Path, file: BinaryIO) -> None:
    """Refuse a bgzip file cut between two blocks: it decompresses without any fault."""
    length_bytes = file.seek(0, io.SEEK_END)
    file.seek(max(0, length_bytes - len(_BGZF_END)))
    if file.read() != _BGZF_END:
        raise _build_truncation_error(path)


def _check_start(path: Path, start: bytes) -> None:
    check_text_start(path, start, expected="FASTA")
    if not start.startswith((b">", b"#")):
        first_line = start.splitlines()[0][:30].decode("utf-8", "replace")
        raise DataError(
            found=f"no header: {path.name} begins with '{first_line}'",
            expected="FASTA, whose first line begins with '>'",
            remedy="put a line such as '>my_sequence' before the sequence",
        )


def _iter_raw_records(path: Path, stream: BinaryIO) -> Iterator[tuple[str, str]]:
    """Yield (header, sequence); dnaio splits the records, the checks of the letters are ours."""
    reader: Any = dnaio.FastaReader(
        str(path),
        opener=lambda *_: stream,
        sequence_class=lambda header, sequence, _: (header, sequence),
    )
    try:
        with reader:
            yield from reader
    except UnicodeDecodeError as error:
        raise DataError(
            found=f"bytes in {path.name} that are not UTF-8 text",
            expected="FASTA as plain text",
            remedy="save the file as UTF-8, for instance with iconv -f latin1 -t utf-8",
        ) from error
    except dnaio.exceptions.FastaFormatError as error:
        raise DataError(
            found=f"{path.name}: {error}", expected="FASTA", remedy="repair or download the file again"
        ) from error


def _build_record(path: Path, header: str, sequence: str) -> FastaRecord:
    words = header.split(maxsplit=1)
    if not words:
        raise DataError(
            found=f"a record without an id in {path.name}",
            expected="a name after each '>'",
            remedy="name the record, for instance '>contig_1'",
        )
    if " " in sequence or "\t" in sequence:
        sequence = "".join(sequence.split())
    check_nucleotides(sequence, where=f"record '{words[0]}' in {path.name}")
    return FastaRecord(words[0], words[1].strip() if len(words) > 1 else "", sequence)
