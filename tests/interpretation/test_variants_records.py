"""VCF files and tables of variants, and every one that is none in one line."""

import gzip
import sys

import pysam
import pytest

from genolm.errors import DataError, SettingsError
from genolm.interpretation.variants.records import is_vcf, iter_table, load_pysam, open_vcf

HEADER = "##fileformat=VCFv4.2\n##contig=<ID=1>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


def test_a_vcf_gives_its_records_plain_and_bgzip(tmp_path):
    text = HEADER + "1\t5\trs1\tAC\tA,<DEL>\t.\t.\t.\n1\t9\t.\tG\t.\t.\t.\t.\n"
    (tmp_path / "plain.vcf").write_text(text)
    with pysam.BGZFile(str(tmp_path / "packed.txt"), "w") as packed:
        packed.write(text.encode())
    for name in ("plain.vcf", "packed.txt"):
        assert is_vcf(tmp_path / name)
        with open_vcf(tmp_path / name) as (_, records):
            found = [record[:5] for record in records]
        assert found == [("1", 5, "rs1", "AC", ("A", "<DEL>")), ("1", 9, ".", "G", ())]


@pytest.mark.parametrize("delimiter", [",", "\t"], ids=["csv", "tsv"])
def test_a_table_gives_its_rows(tmp_path, delimiter):
    lines = [["Chrom", "note", "POS", "ref", "ALT"], ["chr1", "x", "7", "C", "-"], ["2", "", "1", "A", "T,G"]]
    if delimiter == ",":
        lines[2][4] = '"T,G"'
    path = tmp_path / "table"
    path.write_text("\n".join(delimiter.join(line) for line in lines) + "\n\n")
    assert not is_vcf(path)
    found = [record[:5] for record in iter_table(path)]
    assert found == [("chr1", 7, ".", "C", ("",)), ("2", 1, ".", "A", ("T", "G"))]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.vcf", "1\t5\t.\tA\tC\t.\t.\t.\n", r"a VCF without its header \(a.vcf\); expected a first line"),
        ("a.txt", "##contig=<ID=1>\n", r"a VCF without its header \(a.txt\)"),
        ("a.vcf", "", r"the empty file a.vcf; expected VCF, CSV or TSV"),
        ("a.vcf", "<html>", r"an HTML or XML page \(a.vcf\)"),
        ("a.bcf", "BCF\x02\x02", r"a BCF file \(a.bcf\); expected VCF; convert it: bcftools view"),
    ],
    ids=["lines alone", "meta alone", "empty", "html", "bcf"],
)
def test_a_file_that_is_no_vcf_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        is_vcf(tmp_path / name)


def test_a_vcf_of_plain_gzip_is_refused(tmp_path):
    (tmp_path / "a.vcf.gz").write_bytes(gzip.compress(HEADER.encode()))
    assert is_vcf(tmp_path / "a.vcf.gz")
    with (
        pytest.raises(DataError, match=r"a VCF compressed by gzip \(a.vcf.gz\); .* one compressed by bgzip"),
        open_vcf(tmp_path / "a.vcf.gz"),
    ):
        pass


def test_a_vcf_header_without_columns_is_refused(tmp_path):
    (tmp_path / "a.vcf").write_text("##fileformat=VCFv4.2\n1\t5\t.\tA\tC\t.\t.\t.\n")
    with (
        pytest.raises(DataError, match=r"a VCF header that cannot be read in a.vcf"),
        open_vcf(tmp_path / "a.vcf"),
    ):
        pass


def test_a_broken_line_of_a_vcf_is_told_by_its_number(tmp_path):
    (tmp_path / "a.vcf").write_text(HEADER + "1\t5\t.\tA\tC\t.\t.\t.\n1\tfive\n")
    with open_vcf(tmp_path / "a.vcf") as (_, records):
        assert next(records).position_1based == 5
        with pytest.raises(DataError, match=r"record 2 of a.vcf, which is no VCF line"):
            next(records)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "contig,start,ref,alt\n",
            r"the columns contig, start, ref, alt in a.csv; .*; add or rename position",
        ),
        ("contig,pos,ref,alt\n1,two,A,C\n", r"'1 two A C' at line 2 of a.csv; expected a contig, a position"),
        ("contig,pos,ref,alt\n1,2\n", r"'1 2' at line 2 of a.csv"),
    ],
    ids=["column", "position", "short"],
)
def test_a_table_that_is_not_usable_is_refused(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        list(iter_table(tmp_path / "a.csv"))


def test_without_pysam_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pysam", None)
    with pytest.raises(SettingsError, match=r"without the package pysam; .*pip install 'genolm\[variants\]'"):
        load_pysam()
