import gzip
import io
import logging
import re
import tracemalloc

import dnaio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genolm.errors import DataError, SettingsError
from genolm.genome import fasta, text_files
from genolm.genome.fasta import FastaBlock, FastaRecord, iter_fasta, iter_fasta_blocks
from genolm.genome.letters import check_nucleotides

TWO_RECORDS = b">a first one\nACGT\nacgt\n>b\nNRYSWKMBDHV\n"
EXPECTED = [FastaRecord("a", "first one", "ACGTacgt"), FastaRecord("b", "", "NRYSWKMBDHV")]


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
        pytest.param(gzip.compress(TWO_RECORDS, mtime=0), "x.fa.gz", id="gzip"),
        pytest.param(gzip.compress(TWO_RECORDS, mtime=0), "x.fa", id="gzip without the name"),
        pytest.param(TWO_RECORDS, "x.fa.gz", id="plain with the name of gzip"),
        pytest.param(gzip.compress(TWO_RECORDS[:20]) + gzip.compress(TWO_RECORDS[20:]), "x.gz", id="members"),
        pytest.param(make_bgzf(TWO_RECORDS) + BGZF_END, "x.gz", id="bgzip"),
        pytest.param(TWO_RECORDS.replace(b"\n", b"\r\n"), "x.fa", id="CRLF"),
        pytest.param(TWO_RECORDS.replace(b"\n", b"\r"), "x.fa", id="CR"),
        pytest.param(b"\xef\xbb\xbf \n  " + TWO_RECORDS, "x.fa", id="byte-order mark"),
        pytest.param(b"\n \n" + TWO_RECORDS.replace(b"ACGT\n", b" AC G\tT\n\n"), "x.fa", id="white space"),
        pytest.param(b"\n" * 2000 + b"  " + TWO_RECORDS, "x.fa", id="a page of blank lines first"),
        pytest.param(b"# a comment\n" + TWO_RECORDS, "x.fa", id="comment first"),
        pytest.param(TWO_RECORDS.replace(b"ACGT\n", b"A\nCGT"), "x.fa", id="ragged lines"),
        pytest.param(TWO_RECORDS.rstrip(), "x.fa", id="no last line break"),
    ],
)
@pytest.mark.parametrize("read_bytes", [1, 7, 1 << 18])
def test_the_same_records_whatever_the_packing(tmp_path, monkeypatch, content, name, read_bytes):
    monkeypatch.setattr(fasta, "_READ_BYTES", read_bytes)
    assert list(iter_fasta(write(tmp_path, content, name))) == EXPECTED


def test_random_lines_read_back_as_written(tmp_path, small_genome):
    records = list(iter_fasta(small_genome.path))
    assert {record.id: record.sequence for record in records} == small_genome.sequences
    assert [record.description for record in records] == ["generated", "generated"]


def test_blocks_have_one_length_and_the_last_says_so(tmp_path):
    path = write(tmp_path, b">a first\nACG\nTAC\n>b\nGGGG\n>c\nT\n")
    assert list(iter_fasta_blocks(path, block_bp=4)) == [
        FastaBlock("a", "first", 0, b"ACGT", False),
        FastaBlock("a", "first", 4, b"AC", True),
        FastaBlock("b", "", 0, b"GGGG", True),
        FastaBlock("c", "", 0, b"T", True),
    ]


@pytest.mark.parametrize("arguments", [{"block_bp": 0}, {"duplicates": "drop"}])
def test_unusable_arguments(tmp_path, arguments):
    with pytest.raises(SettingsError, match="block_bp of 1 or more, and one of refuse, rename, keep"):
        list(iter_fasta_blocks(write(tmp_path, TWO_RECORDS), **arguments))


@st.composite
def fasta_texts(draw):
    """FASTA text as people write it, and the ids in it; at least one record has letters."""
    ids = draw(st.lists(st.text("ab|._1", min_size=1, max_size=6), min_size=1, max_size=5, unique=True))
    line_ends = st.sampled_from(draw(st.sampled_from([["\n"], ["\r\n"], ["\r"], ["\n", "\r\n"]])))
    lines = []
    for number, record_id in enumerate(ids):
        description = draw(st.text("> xy", max_size=8)).strip()
        lines.append(f">{record_id} {description}".strip())
        widths = st.text("ACGTNRYSWKMBDHVacgtnryswkmbdhv", max_size=12)
        lines += draw(st.lists(widths, max_size=5)) + ([] if number else ["A"])
    text = "".join(line + draw(line_ends) for line in lines)
    return text if draw(st.booleans()) else text.rstrip()


@settings(max_examples=300, deadline=None)
@given(text=fasta_texts(), block_bp=st.integers(1, 9), read_bytes=st.integers(1, 9))
def test_same_records_as_dnaio_wherever_the_blocks_fall(tmp_path_factory, text, block_bp, read_bytes):
    path = write(tmp_path_factory.mktemp("random"), text)
    with dnaio.FastaReader(io.BytesIO(text.encode())) as reader:
        expected = [(record.name, record.sequence) for record in reader if record.sequence]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fasta, "_READ_BYTES", read_bytes)
        blocks = list(iter_fasta_blocks(path, block_bp=block_bp))
    letters = {}
    for block in blocks:
        name = " ".join([block.id, block.description]).strip()
        assert block.start == len(letters.setdefault(name, ""))
        assert len(block.letters) == block_bp or (block.is_last and 0 < len(block.letters) < block_bp)
        letters[name] += block.letters.decode()
    assert [(" ".join(name.split(maxsplit=1)), text) for name, text in expected] == list(letters.items())
    assert sum(block.is_last for block in blocks) == len(expected)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), block_bp=st.integers(1, 30), letter=st.sampled_from(["-", "5", "@", "E", "\0"]))
def test_position_is_right_in_every_block(tmp_path_factory, data, block_bp, letter):
    before = data.draw(st.lists(st.text("ACGT\n\r ", max_size=15)).map("".join))
    text = f">good\nACGT\n>bad\n{before}{letter}AC\n"
    position = len("".join(before.split())) + 1
    with pytest.raises(DataError, match=f"at position {position} of record 'bad' in x.fa"):
        list(iter_fasta_blocks(write(tmp_path_factory.mktemp("random"), text), block_bp=block_bp))


def make_gzip_of_random_dna():
    return gzip.compress(
        b">a\n" + np.random.default_rng(0).choice(list(b"ACGT"), 50_000).astype("u1").tobytes(), mtime=0
    )


GZIPPED = make_gzip_of_random_dna()
EMPTY = "found the empty file x.fa; expected FASTA; check the download or the export"
NO_SEQUENCE = (
    "found {} record(s) and no sequence in x.fa; expected at least one record with a sequence; "
    "check that the download or the export was complete"
)
NO_HEADER = "found no header: x.fa begins with '{}'; expected FASTA, whose first line begins with '>'; {}"
BARE = "this looks like a bare sequence: put a line such as '>my_sequence' before it"
TABLE = "this looks like a table: save it as FASTA, or give it where a CSV or TSV file is expected"
TRUNCATED = (
    "found a gzip file that ends too early (x.fa); expected a complete gzip file; "
    "download the file again: the last transfer was cut off"
)
DAMAGED = (
    "found a damaged gzip file (x.fa: {}); expected gzip data whose checksum fits; download the file again"
)
NO_ID = (
    "found a record without an id (record {} of x.fa); expected a name after each '>', and a line break "
    "behind it; name the record, for instance '>contig_1'"
)
BAD_ID = (
    "found the id {} (record 1 of x.fa); expected printable characters; "
    "save the file as plain UTF-8 text, or rename the record"
)
UTF16 = "found UTF-16 text (x.fa); expected FASTA; save it as UTF-8 text"
T_AND_U = (
    "found {} and {} in x.fa; expected DNA, written with T, or RNA, written with U; "
    "check where the records come from, and write one of the two letters throughout"
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", EMPTY),
        (b" \n\n", EMPTY),
        (gzip.compress(b"", mtime=0), EMPTY),
        (
            b"<!DOCTYPE html>\n<html>502</html>",
            "found an HTML or XML page (x.fa); expected FASTA; "
            "download the file again: a server often sends an error page instead",
        ),
        (
            b"@read1\nACGT\n+\nIIII\n",
            "found FASTQ reads (x.fa); expected FASTA; convert them to FASTA, for instance with seqtk seq -A",
        ),
        (b"ACGTACGT\nNNNN\n", NO_HEADER.format("ACGTACGT", BARE)),
        (b"# a comment\nACGT\n", NO_HEADER.format("ACGT", BARE)),
        (b"#" * (2 << 20) + b"\nACGT\n", NO_HEADER.format("#" * 30, "check that this is the right file")),
        (b"sequence,label\nACGT,1\n", NO_HEADER.format("sequence,label", TABLE)),
        (b"ACGT\t1\n", NO_HEADER.format("ACGT?1", TABLE)),
        (b"\x1a'AC\0", NO_HEADER.format("?'AC?", "check that this is the right file")),
        (
            b"LOCUS       U00096 4641652 bp\n",
            "found a GenBank record (x.fa); expected FASTA; download or convert it as FASTA",
        ),
        (
            b"PK\x03\x04rest",
            "found a zip or Excel file (x.fa); expected FASTA; unpack it, or save the sheet as CSV",
        ),
        (">a\nACGT\n".encode("utf-16"), UTF16),
        (b"\xfe\xff" + ">a\nACGT\n".encode("utf-16-be"), UTF16),
        (">a\nACGT\n".encode("utf-16-le"), BAD_ID.format(r"'\x00a\x00'")),
        (
            gzip.compress(gzip.compress(TWO_RECORDS, mtime=0), mtime=0),
            "found a file compressed twice (x.fa); expected FASTA; decompress it once with gunzip",
        ),
        (b">a\n>b\n", NO_SEQUENCE.format(2)),
        (b">only a header", NO_SEQUENCE.format(1)),
        (b"# a comment alone\n", NO_SEQUENCE.format(0)),
        (b">a\nACGT\n>\nACGT\n", NO_ID.format(2)),
        (b">  \nACGT\n", NO_ID.format(1)),
        (b">a\x1bb\nACGT\n", BAD_ID.format(r"'a\x1bb'")),
        (b">a\x80\nACGT\n", BAD_ID.format(r"'a\x80'")),
        (
            b">a\nACGT\n>" + b"b" * (1 << 21),
            "found a header of more than 1 MB (record 2 of x.fa); expected a name after each '>', "
            "and a line break behind it; check the line ends",
        ),
        (
            b">a\nACGT\n>a again\nACGT\n",
            "found the record id 'a' twice in x.fa; expected one record per id; "
            "remove the copy, or have it renamed with --duplicate-ids rename",
        ),
        (
            b">a\nACGu\nACGTU\n",
            T_AND_U.format("T (at position 8 of record 'a')", "U (at position 4 of record 'a')"),
        ),
        (
            b">a\nACGU\n>b\nAC\n>c\nACt\n",
            T_AND_U.format("U (at position 4 of record 'a')", "T (at position 3 of record 'c')"),
        ),
        (GZIPPED[: len(GZIPPED) // 2], TRUNCATED),
        (GZIPPED[:-4], TRUNCATED),
        (make_bgzf(TWO_RECORDS), TRUNCATED),
        (make_bgzf(TWO_RECORDS[:23]) + make_bgzf(TWO_RECORDS[23:]), TRUNCATED),
    ],
)
def test_damaged_or_foreign_file_is_one_clear_error(tmp_path, content, message):
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        list(iter_fasta(write(tmp_path, content)))


def test_damaged_gzip_is_told_by_its_checksum(tmp_path):
    crc = int.from_bytes(GZIPPED[-8:-4], "little")
    for content, fault in [
        (GZIPPED[:-8] + bytes([GZIPPED[-8] ^ 1]) + GZIPPED[-7:], f"CRC check failed {crc ^ 1} != {crc}"),
        (GZIPPED[:900] + bytes(byte ^ 255 for byte in GZIPPED[900:960]) + GZIPPED[960:], "Error -3"),
    ]:
        message = re.escape(DAMAGED.format(fault)).replace(re.escape(fault), f"{re.escape(fault)}[^;]*")
        with pytest.raises(DataError, match=f"^{message}$"):
            list(iter_fasta(write(tmp_path, content)))


def test_gzip_bomb_is_refused_before_the_disk_or_the_memory_is_full(tmp_path):
    path = write(tmp_path, gzip.compress(b">a\n") + gzip.compress(b"A" * 1_000_000) * 300)
    message = (
        "found a gzip file that unpacks to more than 200 times its size (x.fa); "
        "expected text that gzip makes 3 to 5 times smaller, as it does DNA; "
        "check where the file comes from; if it is right, unpack it with gunzip"
    )
    sizes_bp = []
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        sizes_bp.extend(len(block.letters) for block in iter_fasta_blocks(path))
    assert 200_000_000 < sum(sizes_bp) < 256_000_000


def test_gzip_may_be_large_or_dense_but_not_both(tmp_path, monkeypatch):
    dense = write(tmp_path, gzip.compress(b">a\n" + b"N" * 1_000_000))
    assert [len(block.letters) for block in iter_fasta_blocks(dense)] == [1_000_000]
    monkeypatch.setattr(text_files, "_MAX_UNPACKED_BYTES", 1000)
    large = write(tmp_path, GZIPPED, "large.gz")
    assert [len(block.letters) for block in iter_fasta_blocks(large)] == [50_000]
    with pytest.raises(DataError, match="unpacks to more than 200 times its size"):
        list(iter_fasta_blocks(dense))


LETTERS = "nucleotide letters (A, C, G, T, U, N or another IUPAC code)"
GAPS = (LETTERS, "remove the gaps and stops - . *, for instance with --strip-gaps")
PROTEIN = (
    "DNA or RNA, where this letter does not occur",
    "this looks like protein: give the nucleotide sequence",
)
NUMBERS = (
    "letters alone: FASTA has no position numbers, as GenBank has",
    "remove the numbers, or download the record as FASTA",
)
BINARY = (LETTERS, "the file is damaged or no plain text: export or download it again")
SLIP = (LETTERS, "correct the letter, or write N for an unknown or masked base")


@pytest.mark.parametrize(
    ("sequence", "found", "advice"),
    [
        pytest.param("AC-GT", "'-' at position 3", GAPS, id="gap"),
        pytest.param(".ACGT", "'.' at position 1", GAPS, id="dot"),
        pytest.param("ACGT*", "'*' at position 5", GAPS, id="stop"),
        pytest.param("MKVLAAGIVGLLLAQPSFE*", "'L' at position 4", PROTEIN, id="protein"),
        pytest.param("--" + "ACGT" * 50 + "q", "'q' at position 203", PROTEIN, id="protein by one letter"),
        pytest.param("ACGT" * 4 + "JJ", "'J' at position 17", PROTEIN, id="protein by its share"),
        pytest.param("ACG" + "ACGT" * 4 + "J", "'J' at position 20", SLIP, id="no more than the share"),
        pytest.param("ACGTXXXX", "'X' at position 5", SLIP, id="masked with X"),
        pytest.param("ACGT>b", "'>' at position 5", SLIP, id="header without its line break"),
        pytest.param("  1 acgt acgt\n  9 acgt", "'1' at position 1", NUMBERS, id="GenBank"),
        pytest.param("ACG\nTAC\nG4T-", "'4' at position 8", NUMBERS, id="digit"),
        pytest.param("ACG\u00e9E", "the byte 0xc3 at position 4", BINARY, id="no ASCII"),
        pytest.param("AC\0GT", "the byte 0x00 at position 3", BINARY, id="NUL"),
        pytest.param("AC\u00a0GT", "the byte 0xc2 at position 3", BINARY, id="no-break space"),
    ],
)
def test_foreign_letter_is_named_with_its_place(tmp_path, sequence, found, advice):
    path = write(tmp_path, f">good\nACGT\n>bad\n{sequence}\n")
    message = f"found {found} of record 'bad' in x.fa; expected {advice[0]}; {advice[1]}"
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        list(iter_fasta(path))


@pytest.mark.parametrize("block_bp", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
def test_a_record_starts_at_the_start_of_a_line_alone(tmp_path, block_bp):
    path = write(tmp_path, b">a\nACGT>b\nAC\n")
    with pytest.raises(DataError, match="'>' at position 5 of record 'a'"):
        list(iter_fasta_blocks(path, block_bp=block_bp))


def test_position_is_right_beyond_the_first_block(tmp_path):
    path = write(tmp_path, b">a\n" + b"A" * ((1 << 24) + 5) + b"\n-")
    with pytest.raises(DataError, match=f"'-' at position {(1 << 24) + 6} of record 'a' in x.fa"):
        list(iter_fasta_blocks(path))


def test_foreign_letter_in_a_text_is_found_beyond_the_first_block():
    sequence = "A" * ((1 << 24) + 5) + "-"
    with pytest.raises(DataError, match=f"'-' at position {len(sequence)} of here"):
        check_nucleotides(sequence, where="here")


def read_with_log(path, caplog, **arguments):
    """The (id, sequence) pairs, and the (level, message) pairs of the log."""
    with caplog.at_level(logging.INFO, logger="genolm.genome"):
        records = [(record.id, record.sequence) for record in iter_fasta(path, **arguments)]
    return records, [(entry.levelname, entry.message) for entry in caplog.records]


@pytest.mark.parametrize(
    ("content", "records", "notice"),
    [
        (b">a\nACgu\n>b\nUU\n", [("a", "ACgt"), ("b", "TT")], "x.fa is RNA: U is read as T"),
        (b"\xef\xbb\xbf>a\nAC\n", [("a", "AC")], "x.fa: the UTF-8 byte-order mark is dropped"),
        (
            b">a\xe9 b\nAC\n>c \xe9\nG\n",
            [("a\u00e9", "AC"), ("c", "G")],
            "x.fa: headers that are no UTF-8 are read as Latin-1, the first is that of 'a\u00e9'",
        ),
    ],
)
def test_what_is_changed_is_told_once(tmp_path, caplog, content, records, notice):
    assert read_with_log(write(tmp_path, content), caplog) == (records, [("INFO", notice)])


def test_header_in_utf8_keeps_its_letters_and_the_id_is_the_first_word(tmp_path, caplog):
    path = write(tmp_path, ">gi|1|ref|NC_1.1|\tH\u00f6mo  sapiens \nAC\n>\u00e9 >x\nG\n")
    assert list(iter_fasta(path)) == [
        FastaRecord("gi|1|ref|NC_1.1|", "H\u00f6mo  sapiens", "AC"),
        FastaRecord("\u00e9", ">x", "G"),
    ]
    assert not caplog.records


def test_empty_records_are_skipped_and_counted(tmp_path, caplog):
    path = write(tmp_path, b">a\nACGT\n>empty\n>b\nAC\n>also empty\n \n")
    message = "x.fa: 2 record(s) without a sequence are skipped, the first is 'empty'"
    assert read_with_log(path, caplog) == ([("a", "ACGT"), ("b", "AC")], [("WARNING", message)])


def test_gaps_are_removed_on_demand_and_counted(tmp_path, caplog):
    path = write(tmp_path, b">a\n-AC.g*\n>b\n- -\n>c\nA-\n")
    records, log = read_with_log(path, caplog, strip_gaps=True)
    assert records == [("a", "ACg"), ("c", "A")]
    assert log == [
        ("INFO", "x.fa: 6 gap letters (- . *) are removed"),
        ("WARNING", "x.fa: 1 record(s) without a sequence are skipped, the first is 'b'"),
    ]


@pytest.mark.parametrize("block_bp", [1, 2, 5, 100])
def test_positions_count_the_gaps_that_are_removed(tmp_path, block_bp):
    path = write(tmp_path, b">a\nA-C.G\nA-@T\n")
    with pytest.raises(DataError, match="'@' at position 8 of record 'a'"):
        list(iter_fasta_blocks(path, block_bp=block_bp, strip_gaps=True))
    path = write(tmp_path, b">a\n--A-C.U\nA-T\n")
    with pytest.raises(DataError, match=r"U \(at position 7 of .*T \(at position 10 of|T .*10 of.*U .*7 of"):
        list(iter_fasta_blocks(path, block_bp=block_bp, strip_gaps=True))


@pytest.mark.parametrize(
    ("ids", "renamed"),
    [
        ("a a a", "a a_2 a_3"),
        ("a a_2 a", "a a_2 a_3"),
        ("a a a_2 a a_2", "a a_2 a_2_2 a_3 a_2_3"),
        ("a_2_2 a_2 a a", "a_2_2 a_2 a a_3"),
    ],
)
def test_repeated_ids_are_renamed_and_never_collide(tmp_path, caplog, ids, renamed):
    path = write(tmp_path, "".join(f">{name} x\nA\n" for name in ids.split()))
    records, log = read_with_log(path, caplog, duplicates="rename")
    pairs = list(zip(ids.split(), renamed.split(), strict=True))
    assert [name for name, _ in records] == [new for _, new in pairs]
    changed = [(old, new) for old, new in pairs if old != new]
    first = "the first from '{}' to '{}'".format(*changed[0])
    assert log == [("INFO", f"x.fa: {len(changed)} repeated ids are renamed, {first}")]


def test_ids_may_repeat_where_the_caller_says_so(tmp_path, caplog):
    path = write(tmp_path, b">a\nAC\n>a\nGT\n")
    assert read_with_log(path, caplog, duplicates="keep") == ([("a", "AC"), ("a", "GT")], [])


class PeakMemory:
    """Traces memory while the block runs; `peak_bytes` is the most that was held at once."""

    def __enter__(self):
        tracemalloc.start()
        return self

    def __exit__(self, *_):
        self.peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()


def write_long_line(folder, start, length_mb):
    path = folder / "x.fa"
    with path.open("wb") as file:
        file.write(start)
        for _ in range(length_mb):
            file.write(b"ACGTACGTAC" * 100_000)
    return path


def test_one_line_of_200_mb_costs_the_memory_of_a_block(tmp_path):
    path = write_long_line(tmp_path, b">a\n", 200)
    with PeakMemory() as memory:
        total_bp = sum(len(block.letters) for block in iter_fasta_blocks(path, block_bp=1 << 22))
    assert total_bp == 200_000_000
    assert memory.peak_bytes < 4 << 22


@pytest.mark.parametrize(("start", "message"), [(b">", "a header of more than 1 MB"), (b"# ", "no header")])
def test_a_header_or_comment_without_end_costs_little_memory(tmp_path, start, message):
    path = write_long_line(tmp_path, start, 30)
    with PeakMemory() as memory, pytest.raises(DataError, match=message):
        list(iter_fasta_blocks(path))
    assert memory.peak_bytes < 8 << 20


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DataError, match=r"found no file at .*nothing\.fa; expected a file that exists"):
        list(iter_fasta(tmp_path / "nothing.fa"))
    with pytest.raises(DataError, match="found a folder at"):
        list(iter_fasta(tmp_path))
