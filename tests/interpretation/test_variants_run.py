"""From files to files: the annotated VCF and the table."""

import shutil
import subprocess

import pysam
import pytest
from made_up_dna import make_dna
from small_window_models import save_classifier

import genolm
from genolm.errors import DataError, SettingsError
from genolm.files import compute_sha256
from genolm.inference.classify import classify_sequences, load_classifier
from genolm.interpretation.variants.run import annotate_variants
from genolm.interpretation.variants.settings import VariantSettings

DNA = make_dna(400, seed=3)
SETTINGS = VariantSettings(window_bp=21, strand="plus", records_at_a_time=3)
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


def substitute(position: int) -> tuple[str, str, str]:
    """REF at a 1-based position, and two other bases."""
    ref = DNA[position - 1]
    first, second, _ = (base for base in "ACGT" if base != ref)
    return ref, first, second


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_classifier(tmp_path_factory.mktemp("model") / "classifier")


@pytest.fixture
def place(tmp_path):
    (tmp_path / "genome.fa").write_text(f">chr1 made up\n{DNA[:300]}\n>chr2\n{DNA[300:]}\n")
    return tmp_path


def write_vcf(path, lines, *, header="##contig=<ID=1,length=300>\n"):
    rows = "".join("\t".join([*map(str, line), ".", ".", "."]) + "\n" for line in lines)
    path.write_text("##fileformat=VCFv4.2\n" + header + COLUMNS + rows)
    return path


def make_lines() -> list[tuple[object, ...]]:
    """Every kind of record, all with the right REF."""
    ref, first, second = substitute(50)
    return [
        ("1", 50, "rs50", ref, f"{first},{second}"),
        ("1", 60, ".", DNA[59:63], DNA[59]),
        ("1", 70, ".", DNA[69], f"{DNA[69]}TT,<DEL>,*"),
        ("1", 80, ".", DNA[79], "."),
        ("1", 2, ".", DNA[1], substitute(2)[1]),
        ("1", 299, ".", DNA[298], substitute(299)[1]),
        ("7", 50, ".", "A", "C"),
        ("chr2", 50, ".", DNA[349], substitute(350)[1]),
    ]


def read_rows(path):
    return [line.split("\t") for line in path.read_text().splitlines()[1:]]


def annotate(place, model, source, *, output="out.vcf.gz", settings=SETTINGS):
    return annotate_variants(source, place / "genome.fa", model, place / output, settings=settings)


def test_every_allele_has_figures_or_a_reason(place, model):
    found = annotate(place, model, write_vcf(place / "in.vcf", make_lines()))
    assert (found.num_alleles, found.num_scored) == (11, 5)
    assert found.skipped == {
        "symbolic allele": 2,
        "window past the end of the contig": 2,
        "no alternative allele": 1,
        "unknown contig": 1,
    }
    assert found.paths == (place / "out.vcf.gz", place / "out.tsv")
    with pysam.VariantFile(str(place / "out.vcf.gz")) as file:
        records = list(file)
    assert [record.pos for record in records] == [50, 60, 70, 80, 2, 299, 50, 50]
    assert records[2].info["GENOLM_SKIPPED"] == (".", "symbolic_allele", "symbolic_allele")
    assert [figure is None for figure in records[2].info["GENOLM_DELTA"]] == [False, True, True]
    assert list(records[3].info) == []
    assert records[6].info["GENOLM_SKIPPED"] == ("unknown_contig",)


def test_the_figures_are_those_of_the_sequences_cut_by_hand(place, model):
    annotate(place, model, write_vcf(place / "in.vcf", make_lines()))
    left, right = DNA[39:49], DNA[50:60]
    ref, first, second = substitute(50)
    texts = [
        left + ref + right,
        left + first + right,
        left + second + right,
        DNA[49:70],
        DNA[49:60] + DNA[63:73],
        DNA[339:360],
        DNA[339:349] + substitute(350)[1] + DNA[350:360],
    ]
    p = classify_sequences(load_classifier(model), texts)[:, 1]
    with pysam.VariantFile(str(place / "out.vcf.gz")) as file:
        infos = [dict(record.info) for record in file]
    assert infos[0]["GENOLM_P_REF"] == pytest.approx([p[0], p[0]], abs=1e-5)
    assert infos[0]["GENOLM_P_ALT"] == pytest.approx(p[1:3], abs=1e-5)
    assert infos[1]["GENOLM_DELTA"] == pytest.approx([p[4] - p[3]], abs=1e-5)
    assert infos[7]["GENOLM_SCORE"] == pytest.approx([(p[6] - p[5]) * max(p[6], p[5])], abs=1e-5)
    rows = [line.split("\t") for line in (place / "out.tsv").read_text().splitlines()]
    assert rows[0][:9] == [
        "contig",
        "position_1based",
        "id",
        "ref",
        "alt",
        "status",
        "p_ref",
        "p_alt",
        "delta",
    ]
    assert rows[1][:6] == ["1", "50", "rs50", ref, first, "scored"]
    assert float(rows[1][7]) == pytest.approx(p[1], abs=1e-5)
    assert [row[5] for row in rows[4:8]] == [
        "scored",
        "symbolic allele",
        "symbolic allele",
        "no alternative allele",
    ]


def test_the_header_says_what_made_the_fields(place, model):
    annotate(place, model, write_vcf(place / "in.vcf", make_lines()), output="out.vcf")
    header = [line for line in (place / "out.vcf").read_text().splitlines() if line.startswith("##")]
    assert f"##genolm_version={genolm.__version__}" in header
    assert f"##genolm_model_sha256={compute_sha256(model / 'model.safetensors')}" in header
    assert "##genolm_variants=window_bp=21,offset_bp=10,strand=plus" in header
    assert {"##contig=<ID=7>", "##contig=<ID=chr2,length=100>"} <= set(header)
    fields = [line for line in header if "ID=GENOLM_P_ALT," in line]
    assert fields == [
        '##INFO=<ID=GENOLM_P_ALT,Number=A,Type=Float,Description="probability of yes with ALT",'
        f'Source="genolm",Version="{genolm.__version__}">'
    ]


def test_batches_do_not_change_the_files(place, model):
    source = write_vcf(place / "in.vcf", make_lines())
    annotate(place, model, source)
    settings = VariantSettings(window_bp=21, strand="plus", records_at_a_time=100)
    annotate(place, model, source, output="whole.tsv", settings=settings)
    for one, other in zip(*(read_rows(place / name) for name in ("whole.tsv", "out.tsv")), strict=True):
        assert one[:6] == other[:6]
        assert list(map(float, filter(None, one[6:]))) == pytest.approx(
            list(map(float, filter(None, other[6:]))), abs=1e-4
        )
    assert (place / "whole.vcf.gz").is_file()


def test_a_table_gives_the_same_as_a_vcf(place, model):
    lines = make_lines()[:2]
    annotate(place, model, write_vcf(place / "in.vcf", lines))
    table = "contig,position,ref,alt\n" + "".join(f'{c},{p},{r},"{a}"\n' for c, p, _, r, a in lines)
    (place / "in.csv").write_text(table)
    found = annotate(place, model, place / "in.csv", output="table.tsv")
    assert found.paths == (place / "table.tsv",)
    expected = (place / "out.tsv").read_text().replace("rs50", ".")
    assert (place / "table.tsv").read_text() == expected


@pytest.mark.skipif(shutil.which("bcftools") is None, reason="bcftools is not installed")
def test_bcftools_accepts_the_vcf(place, model):
    header = "##contig=<ID=chr1,length=300>\n"
    lines = [("chr1", *line[1:]) for line in make_lines()[:4]]
    annotate(place, model, write_vcf(place / "in.vcf", lines, header=header))
    for words in (
        ["bcftools", "view", "out.vcf.gz"],
        ["bcftools", "index", "out.vcf.gz"],
        ["bcftools", "norm", "-m", "-any", "-c", "e", "-f", "genome.fa", "out.vcf.gz"],
    ):
        done = subprocess.run(words, cwd=place, capture_output=True, text=True, check=False)
        assert (done.returncode, [line for line in done.stderr.splitlines() if "[" in line]) == (0, [])
    # split by allele, each has its own figure
    rows = [line.split("\t") for line in done.stdout.splitlines() if line.startswith("chr1\t50\t")]
    assert len(rows) == 2
    assert rows[0][7] != rows[1][7]


@pytest.mark.parametrize(("num_wrong", "is_refused"), [(1, False), (2, True)])
def test_more_than_one_percent_of_wrong_ref_stops(place, model, num_wrong, is_refused):
    lines = [("1", 51 + i, ".", *substitute(51 + i)[:2]) for i in range(100)]
    for i in range(num_wrong):
        lines[i] = ("1", 51 + i, ".", substitute(51 + i)[1], DNA[50 + i])
    source = write_vcf(place / "in.vcf", lines)
    if is_refused:
        wrong = lines[0][3]
        message = (
            rf"2 of 100 REF alleles that differ from the genome \(first 1:51 {wrong}\); expected at most 1%"
        )
        with pytest.raises(DataError, match=message):
            annotate(place, model, source)
        assert sorted(path.name for path in place.iterdir()) == ["genome.fa", "in.vcf"]
    else:
        assert annotate(place, model, source).skipped == {"REF differs from the genome": 1}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], r"no variant in in.vcf"),
        ([("7", 5, ".", "A", "C")], r"no contig of in.vcf in the genome \(7\); .* such as chr1"),
    ],
    ids=["empty", "contig"],
)
def test_a_vcf_without_a_variant_in_the_genome_is_refused(place, model, lines, message):
    with pytest.raises(DataError, match=message):
        annotate(place, model, write_vcf(place / "in.vcf", lines))


def test_a_vcf_that_has_the_fields_is_refused(place, model):
    annotate(place, model, write_vcf(place / "in.vcf", make_lines()))
    with pytest.raises(
        DataError, match=r"GENOLM_P_REF in the VCF already; .*bcftools annotate -x INFO/GENOLM_P"
    ):
        annotate(place, model, place / "out.vcf.gz", output="again.vcf.gz")
    assert not (place / "again.tsv").exists()


@pytest.mark.parametrize(
    ("output", "message"),
    [("out.txt", r"--output out.txt; expected a name that ends with .vcf.gz, .vcf or .tsv")],
)
def test_an_output_of_another_kind_is_refused(place, model, output, message):
    with pytest.raises(SettingsError, match=message):
        annotate(place, model, write_vcf(place / "in.vcf", make_lines()), output=output)


@pytest.mark.parametrize("output", ["in.vcf", "in.tsv"])
def test_the_input_is_not_overwritten(place, model, output):
    source = write_vcf(place / "in.vcf", make_lines())
    before = source.read_text()
    if output == "in.tsv":
        (place / "in.tsv").write_text("contig,position,ref,alt\n1,50,A,C\n")
        source = place / "in.tsv"
    with pytest.raises(SettingsError, match=rf"--output {output} for the variants of {source.name}; "):
        annotate(place, model, source, output=output)
    assert (place / "in.vcf").read_text() == before


def test_a_vcf_from_a_table_is_refused(place, model):
    (place / "in.csv").write_text("contig,position,ref,alt\n")
    with pytest.raises(SettingsError, match=r"--output out.vcf.gz for variants from a table; .* with .tsv"):
        annotate(place, model, place / "in.csv")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"window_bp": 0}, r"window_bp = 0; expected 1 or more"),
        ({"offset_bp": 21}, r"offset_bp = 21; expected a base of the window, 0 to 20"),
        ({"strand": "up"}, r"the strand 'up'; expected both, plus, minus"),
    ],
    ids=["window", "offset", "strand"],
)
def test_settings_out_of_range_are_refused(changed, message):
    with pytest.raises(SettingsError, match=message):
        VariantSettings(**{"window_bp": 21, **changed})
