import gzip
import logging

import numpy as np
import pytest

from genolm.errors import DataError
from genolm.genome.fasta import FastaRecord, check_nucleotides, iter_fasta

TWO_RECORDS = b">a first one\nACGT\nacgu\n>b\nNRYSWKMBDHV\n"
EXPECTED = [FastaRecord("a", "first one", "ACGTacgu"), FastaRecord("b", "", "NRYSWKMBDHV")]


def write(folder, content, name="x.fa"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def make_bgzf(text):
    """One bgzip block per call, without the empty block that ends a file."""
    block = gzip.compress(text, mtime=0)
    body = block[10:]
    size = len(body) + 18 - 1
    return b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0" + size.to_bytes(2, "little") + body


BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        pytest.param(TWO_RECORDS, "x.fa", id="plain"),
        pytest.param(gzip.compress(TWO_RECORDS), "x.fa.gz", id="gzip"),
        pytest.param(gzip.compress(TWO_RECORDS), "x.fa", id="gzip without the name"),
        pytest.param(TWO_RECORDS, "x.fa.gz", id="plain with the name of gzip"),
        pytest.param(gzip.compress(TWO_RECORDS[:20]) + gzip.compress(TWO_RECORDS[20:]), "x.gz", id="members"),
        pytest.param(make_bgzf(TWO_RECORDS) + BGZF_END, "x.gz", id="bgzip"),
        pytest.param(TWO_RECORDS.replace(b"\n", b"\r\n"), "x.fa", id="CRLF"),
        pytest.param(TWO_RECORDS.replace(b"\n", b"\r"), "x.fa", id="CR"),
        pytest.param(b"\xef\xbb\xbf" + TWO_RECORDS, "x.fa", id="byte-order mark"),
        pytest.param(b"\n\n" + TWO_RECORDS.replace(b"ACGT\n", b"AC GT\n\n"), "x.fa", id="white space"),
        pytest.param(TWO_RECORDS.rstrip(), "x.fa", id="no last line break"),
    ],
)
def test_the_same_records_whatever_the_packing(tmp_path, content, name):
    assert list(iter_fasta(write(tmp_path, content, name))) == EXPECTED


def test_random_lines_read_back_as_written(tmp_path, small_genome):
    records = list(iter_fasta(small_genome.path))
    assert {record.id: record.sequence for record in records} == small_genome.sequences
    assert [record.description for record in records] == ["generated", "generated"]


GZIPPED = gzip.compress(
    b">a\n" + np.random.default_rng(0).choice(list(b"ACGT"), 50_000).astype("u1").tobytes()
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found the empty file x.fa; expected FASTA; check the download"),
        (b" \n\n", "empty file"),
        (gzip.compress(b""), "empty file"),
        (b"<!DOCTYPE html>\n<html>502</html>", "HTML or XML page .*download the file again"),
        (b"@read1\nACGT\n+\nIIII\n", "FASTQ reads .*convert them to FASTA"),
        (b"ACGTACGT\n", "no header: x.fa begins with 'ACGTACGT'.*'>'"),
        (b"# a comment\nACGT\n", r"Expected '>' at beginning of record"),
        (b"LOCUS       U00096 4641652 bp\n", "GenBank record"),
        (b"PK\x03\x04rest", "zip or Excel"),
        (">a\nACGT\n".encode("utf-16"), "UTF-16 text .*save it as UTF-8"),
        (gzip.compress(gzip.compress(TWO_RECORDS)), "compressed twice"),
        (b">a\n>b\n", "2 record.s. and no sequence"),
        (b">only a header", "1 record.s. and no sequence"),
        (b">a\nACGT\n>\nACGT\n", "record without an id"),
        (b">a\nACGT\n>a again\nACGT\n", "record id 'a' twice"),
        (b">a\xe9\nACGT\n", "not UTF-8 text"),
        (GZIPPED[: len(GZIPPED) // 2], "ends too early .*download the file again"),
        (GZIPPED[:-8] + bytes([GZIPPED[-8] ^ 1]) + GZIPPED[-7:], "damaged gzip file .*CRC"),
        (GZIPPED[:900] + bytes(byte ^ 255 for byte in GZIPPED[900:960]) + GZIPPED[960:], "damaged gzip file"),
        (make_bgzf(TWO_RECORDS), "ends too early"),
    ],
)
def test_damaged_or_foreign_file_is_one_clear_error(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as caught:
        list(iter_fasta(write(tmp_path, content)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("sequence", "found"),
    [
        ("ACGTE", "'E' at position 5"),
        ("MKVLAAGIVGLLLAQPSFE", "'L' at position 4"),
        ("AC-GT", "'-' at position 3"),
        (".ACGT", "'.' at position 1"),
        ("ACGT*", r"'\*' at position 5"),
        ("ACG\nTAC\nG4T", "'4' at position 8"),
        ("ACGé", "'é' at position 4"),
        ("AC\0GT", "at position 3"),
    ],
)
def test_foreign_letter_is_named_with_its_place(tmp_path, sequence, found):
    path = write(tmp_path, f">good\nACGT\n>bad\n{sequence}\n")
    with pytest.raises(DataError, match=f"{found} of record 'bad' in x.fa"):
        list(iter_fasta(path))


def test_foreign_letter_is_found_beyond_the_first_block():
    sequence = "A" * ((1 << 24) + 5) + "-"
    with pytest.raises(DataError, match=f"'-' at position {len(sequence)} of here"):
        check_nucleotides(sequence, where="here")


def test_empty_record_is_skipped_with_a_warning(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        records = list(iter_fasta(write(tmp_path, b">a\nACGT\n>empty\n>b\nAC\n")))
    assert [record.id for record in records] == ["a", "b"]
    assert caplog.messages == ["x.fa: record 'empty' has no sequence and is skipped"]


def test_ids_may_repeat_where_the_caller_says_so(tmp_path):
    path = write(tmp_path, b">a\nAC\n>a\nGT\n")
    assert [record.sequence for record in iter_fasta(path, unique_ids=False)] == ["AC", "GT"]


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DataError, match=r"found no file at .*nothing\.fa; expected a file that exists"):
        list(iter_fasta(tmp_path / "nothing.fa"))
    with pytest.raises(DataError, match="found a folder at"):
        list(iter_fasta(tmp_path))
