"""`genolm variants` as a person starts it, and what it refuses in one line."""

import re

import pytest
from made_up_dna import make_dna
from small_window_models import save_causal, save_classifier

from genolm.cli import main
from genolm.tokenization.scheme import KmerScheme
from genolm.tokenization.tokenizer_json import save_tokenizer

SETTINGS_EXIT, DATA_EXIT, FOLDER_EXIT = 2, 3, 4
DNA = make_dna(300, seed=2)
HEADER = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
GOOD = f"chr1\t100\t.\t{DNA[99]}\t<DEL>,{'A' if DNA[99] != 'A' else 'C'}\t.\t.\t.\n"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run genolm variants on a text, in a folder with a genome and a model."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "g.fa").write_text(f">1\n{DNA}\n")
    save_classifier(tmp_path / "model")
    capsys.readouterr()

    def run(text: str, *words: object, model: str = "model") -> tuple[str, str, str]:
        (tmp_path / "in.vcf").write_text(text)
        fixed = ["in.vcf", "--genome", "g.fa", "--model", model, "--output", "out.vcf.gz"]
        with pytest.raises(SystemExit, match=r"^\d+$") as stop:
            main(["variants", *fixed, *map(str, words)])
        return (stop.value.code, *capsys.readouterr())

    return run


@pytest.mark.parametrize("kind", ["classifier", "causal"])
def test_what_was_done_is_said(run, tmp_path, kind):
    model = "model" if kind == "classifier" else save_causal(tmp_path / "lm").name
    code, out, _ = run(HEADER + GOOD, "--window-bp", 20, "--offset-bp", 3, "--strand", "minus", model=model)
    assert code == 0
    assert out == ("1 of 2 alternative alleles scored: out.vcf.gz, out.tsv\n  skipped: 1 symbolic allele\n")
    assert len((tmp_path / "out.tsv").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("code", "message", "text", "words"),
    [
        (
            DATA_EXIT,
            r"1 of 1 REF alleles that differ from the genome \(first chr1:7 ",
            "chr1\t7\t.\t{wrong}\tT",
            [],
        ),
        (DATA_EXIT, r"no contig of in.vcf in the genome \(chr2\)", "chr2\t7\t.\tA\tT", []),
        (DATA_EXIT, r"record 1 of in.vcf, which is no VCF line", "chr1", []),
        (
            SETTINGS_EXIT,
            r"the strand 'up'; expected both, plus, minus",
            "chr1\t7\t.\tA\tT",
            ["--strand", "up"],
        ),
    ],
    ids=["ref", "contig", "line", "strand"],
)
def test_bad_input_is_one_line_and_no_file(run, tmp_path, code, message, text, words):
    wrong = "A" if DNA[6] != "A" else "C"
    found = run(HEADER + text.format(wrong=wrong) + "\t.\t.\t.\n", "--window-bp", 10, *words)
    assert found[:2] == (code, "")
    assert re.search(rf"^error: found {message}[^\n]*\n\Z", found[2], re.MULTILINE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["g.fa", "in.vcf", "model"]


def test_a_vcf_without_its_header_is_one_line(run):
    code, _, err = run(GOOD, "--window-bp", 20)
    assert (code, err.startswith("error: found a VCF without its header (in.vcf); ")) == (DATA_EXIT, True)


def test_a_position_past_the_end_is_counted(run):
    code, out, _ = run(HEADER + GOOD + "1\t301\t.\tA\tT\t.\t.\t.\n", "--window-bp", 20)
    assert (code, "skipped: 1 position past the end of the contig" in out) == (0, True)


def test_a_model_and_a_tokenizer_that_do_not_match_are_refused(run, tmp_path):
    save_tokenizer(KmerScheme(k=3, stride=1), tmp_path / "model")
    code, _, err = run(HEADER + GOOD, "--window-bp", 20)
    assert (code, "69" in err, "21" in err) == (FOLDER_EXIT, True, True)
