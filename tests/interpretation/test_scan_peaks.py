"""Peaks and tracks, by hand and beside bedtools."""

import gzip
import shutil
import subprocess
import sys

import numpy as np
import pytest

from genolm.errors import SettingsError
from genolm.interpretation.scan.parts import PartsFolder
from genolm.interpretation.scan.peaks import format_bed, merge_windows
from genolm.interpretation.scan.tracks import TrackPart, iter_rows, write_bedgraph, write_bigwig


def merge(starts, values, *, window_bp=10, place_bp=4):
    return merge_windows(
        np.array(starts, dtype=np.int64),
        np.array(values, dtype=np.float32),
        window_bp=window_bp,
        place_bp=place_bp,
    )


def test_overlapping_windows_are_one_peak_with_the_place_of_the_best():
    peaks = merge([0, 5, 9, 19, 40], [0.6, 0.9, 0.9, 0.7, 1.0])
    assert peaks.starts.tolist() == [0, 19, 40]  # 9..19 and 19..29 only touch
    assert peaks.ends.tolist() == [19, 29, 50]
    assert peaks.summits.tolist() == [9, 23, 44]  # of two equals the first
    assert peaks.values.tolist() == pytest.approx([0.9, 0.7, 1.0])


def test_no_window_gives_no_peak():
    assert [len(part) for part in merge([], [])] == [0, 0, 0, 0]


def test_bed_has_six_columns_in_order_and_whole_scores():
    text = format_bed("c", [("+", merge([20], [0.5])), ("-", merge([3, 50], [0.9996, 12.0]))])
    assert text.splitlines() == [
        "c\t3\t13\tsummit_8\t1000\t-",
        "c\t20\t30\tsummit_25\t500\t+",
        "c\t50\t60\tsummit_55\t1000\t-",
    ]
    assert format_bed("c", [("+", merge([0], [-2.0]))]).split("\t")[4] == "0"


@pytest.mark.skipif(shutil.which("bedtools") is None, reason="bedtools is not installed")
def test_bedtools_merges_the_windows_to_the_same_peaks(tmp_path):
    generator = np.random.default_rng(0)
    starts = np.sort(generator.choice(5_000, size=400, replace=False))
    values = generator.random(400).astype(np.float32)
    (tmp_path / "windows.bed").write_text(
        "".join(f"c\t{s}\t{s + 10}\tw\t{v:.9g}\t+\n" for s, v in zip(starts, values, strict=True))
    )
    (tmp_path / "peaks.bed").write_text(format_bed("c", [("+", merge(starts, values))]))
    # -d -1: what only touches stays apart
    words = ["bedtools", "merge", "-d", "-1", "-s", "-c", "5", "-o", "max", "-i", "windows.bed"]
    merged = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    found = [line.split("\t") for line in (tmp_path / "peaks.bed").read_text().splitlines()]
    expected = [line.split("\t") for line in merged.splitlines()]
    assert len(expected) > 100
    assert [row[:3] for row in found] == [row[:3] for row in expected]
    assert [int(row[4]) for row in found] == [round(float(row[3]) * 1000) for row in expected]


LENGTHS_BP = {"a": 30, "b": 12}
PARTS = [
    TrackPart("a", np.array([2, 7]), np.array([0.12344, 1.0], dtype=np.float32)),
    TrackPart("a", np.array([27]), np.array([0.5], dtype=np.float32)),
    TrackPart("b", np.array([0]), np.array([0.25], dtype=np.float32)),
]
ROWS = [("a", 2, 7, 0.1234), ("a", 7, 12, 1.0), ("a", 27, 30, 0.5), ("b", 0, 5, 0.25)]


def test_a_value_holds_until_the_next_window_or_the_end_of_the_contig():
    assert list(iter_rows(PARTS, stride_bp=5, contig_lengths_bp=LENGTHS_BP)) == ROWS


def test_a_bedgraph_is_text_and_always_the_same_bytes(tmp_path):
    for name in ("one.gz", "two.gz"):
        write_bedgraph(tmp_path / name, ROWS)
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()
    lines = gzip.decompress((tmp_path / "one.gz").read_bytes()).decode().splitlines()
    assert lines == ["a\t2\t7\t0.1234", "a\t7\t12\t1.0000", "a\t27\t30\t0.5000", "b\t0\t5\t0.2500"]


def test_another_library_reads_the_bigwig(tmp_path):
    py_big_wig = pytest.importorskip("pyBigWig", reason="pyBigWig, the independent reader, is not installed")
    write_bigwig(tmp_path / "a.bw", ROWS, contig_lengths_bp=LENGTHS_BP)
    with py_big_wig.open(str(tmp_path / "a.bw")) as file:
        assert file.chroms() == LENGTHS_BP
        found = [(contig, *row) for contig in LENGTHS_BP for row in file.intervals(contig)]
    assert [row[:3] for row in found] == [row[:3] for row in ROWS]
    assert [row[3] for row in found] == pytest.approx([row[3] for row in ROWS])


def test_its_own_library_reads_the_bigwig(tmp_path):
    import pybigtools

    write_bigwig(tmp_path / "a.bw", ROWS, contig_lengths_bp=LENGTHS_BP)
    with pybigtools.open(str(tmp_path / "a.bw")) as file:
        assert dict(file.chroms()) == LENGTHS_BP
        found = [(contig, *row) for contig in LENGTHS_BP for row in file.records(contig)]
    assert [row[:3] for row in found] == [row[:3] for row in ROWS]
    assert [path.name for path in tmp_path.iterdir()] == ["a.bw"]


def test_without_pybigtools_the_message_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pybigtools", None)
    with pytest.raises(SettingsError, match=r"pip install 'genolm\[variants\]', or give --no-bigwig"):
        write_bigwig(tmp_path / "a.bw", ROWS, contig_lengths_bp=LENGTHS_BP)
    assert list(tmp_path.iterdir()) == []


def test_a_part_comes_back_unless_it_is_damaged(tmp_path):
    values = np.array([[0.5, np.nan], [1.0, 0.25]], dtype=np.float32)
    parts = PartsFolder(tmp_path)
    parts.write(3, values)
    (tmp_path / ".tmp-left-over").write_text("")
    again = PartsFolder(tmp_path)
    np.testing.assert_array_equal(again.read(3), values)
    assert again.read(2) is None
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert again.read(3) is None
    assert list(tmp_path.iterdir()) == []
