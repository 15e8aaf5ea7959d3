"""Genes from GFF3, GTF and GenBank."""

import gzip

import pytest

from genolm.corpus.negatives.annotation import Feature, read_features, rename_contigs
from genolm.errors import DataError

GFF = """##gff-version 3
# comment
chr1\tx\tregion\t1\t5000\t.\t+\t.\tID=r
chr1\tx\tgene\t11\t40\t.\t+\t.\tID=g1
chr1\tx\tCDS\t14\t40\t.\t+\t0\tParent=g1
chr1\tx\trepeat_region\t50\t90\t.\t+\t.\tID=rep

chr2\tx\ttRNA\t100\t170\t.\t-\t.\tID=t1
chr2\tx\tpseudogene\t300\t310\t.\t?\t.\tID=p1
##FASTA
>chr1
ACGT
"""
GENBANK = """LOCUS       SMALL   900 bp    DNA   circular  BCT
DEFINITION  A small one.
ACCESSION   AB0001
VERSION     AB0001.2
FEATURES             Location/Qualifiers
     source          1..900
                     /organism="Small"
     gene            <11..40
                     /gene="a"
     CDS             join(14..20,
                     31..>40)
                     /note="in 1..5 a remark
                     100..200"
     CDS             complement(join(50..60,OTHER.1:5..9,70))
     rRNA            complement(300..420)
ORIGIN
        1 acgtacgtac
//
LOCUS       SECOND  90 bp DNA
FEATURES             Location/Qualifiers
     gene            5..9
"""


@pytest.fixture
def read(tmp_path):
    def read_text(text, packed=False):
        path = tmp_path / "genes"
        path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
        return read_features(path)

    return read_text


@pytest.mark.parametrize("packed", [False, True])
def test_gff_becomes_half_open_and_what_is_no_gene_is_left_out(read, packed):
    assert read(GFF, packed) == [
        Feature("chr1", 10, 40, "+", "gene"),
        Feature("chr1", 13, 40, "+", "CDS"),
        Feature("chr2", 99, 170, "-", "tRNA"),
        Feature("chr2", 299, 310, ".", "pseudogene"),
    ]


def test_genbank_with_joins_and_complements(read):
    assert read(GENBANK) == [
        Feature("AB0001.2", 10, 40, "+", "gene"),
        Feature("AB0001.2", 13, 20, "+", "CDS"),
        Feature("AB0001.2", 30, 40, "+", "CDS"),
        Feature("AB0001.2", 49, 60, "-", "CDS"),
        Feature("AB0001.2", 69, 70, "-", "CDS"),
        Feature("AB0001.2", 299, 420, "-", "rRNA"),
        Feature("SECOND", 4, 9, "+", "gene"),
    ]


def test_a_gene_begins_at_its_first_transcribed_base():
    assert Feature("c", 10, 40, "+", "gene").begin == 10
    assert Feature("c", 10, 40, "-", "gene").begin == 39
    assert Feature("c", 10, 40, ".", "gene").begin is None


def test_contigs_are_renamed_only_where_a_table_says_so():
    features = [Feature("chr1", 0, 9, "+", "gene"), Feature("chr3", 0, 9, "+", "gene")]
    aliases = {"chr1": "1", "NC_1.1": "1"}
    assert [each.contig for each in rename_contigs(features, ["NC_1.1", "chr3"], aliases=aliases)] == [
        "NC_1.1",
        "chr3",
    ]
    assert rename_contigs(features, ["NC_1.1"], aliases={}) == features


@pytest.mark.parametrize(
    "line",
    ["chr1 x gene 5 9 . + .", "chr1\tx\tgene\t9\t5\t.\t+\t.\tID=g", "chr1\tx\tgene\t0\t5\t.\t+\t.\tID=g"],
)
def test_a_damaged_row_is_named(read, line):
    with pytest.raises(DataError, match=r"at line 2 of genes; expected GFF3 or GTF"):
        read("##gff-version 3\n" + line + "\n")


@pytest.mark.parametrize("text", ["##gff-version 3\n", "LOCUS       SMALL   900 bp\nORIGIN\n//\n"])
def test_a_file_without_genes_is_refused(read, text):
    with pytest.raises(DataError, match=r"no gene in genes; expected GFF3, GTF or GenBank"):
        read(text)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="no file at"):
        read_features(tmp_path / "none.gff")
