"""Bad input gives one clear line, an exit code, and nothing at the output."""

import gzip
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from genolm.cli import main

TINY = ["--recipe", "quickstart_debug", "--set", "corpus.block_bp=2000"]
DNA = "".join(np.random.default_rng(4).choice(list("ACGT"), size=30_000))
LABELED = [
    f"{DNA[start : start + 30]},{label},{split}"
    for number, split in enumerate(("train", "train", "validation", "test"))
    for label in (0, 1)
    for start in [1_000 * (2 * number + label)]
]

SETTINGS_EXIT, DATA_EXIT, FOLDER_EXIT = 2, 3, 4


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """The working folder, with a genome and labeled data that are good."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.fa").write_text(f">chromosome\n{DNA}\n")
    (tmp_path / "good.csv").write_text("sequence,label,split\n" + "\n".join(LABELED) + "\n")
    return tmp_path


@pytest.fixture
def refuse(place, monkeypatch, capsys):
    """Run a command that must fail, and check its one line and that no file but the inputs is there."""

    def run(code: int, message: str, *words: object, may_leave: frozenset[str] = frozenset()) -> None:
        before = {path for path in place.rglob("*") if path.is_file()}
        monkeypatch.setattr(sys, "argv", ["genolm", *map(str, words)])
        with pytest.raises(SystemExit, match=f"^{code}$"):
            main()
        out, err = capsys.readouterr()
        assert out == ""
        error = re.sub(r"  [^\n]* in the data: [^\n]*\n|  data check: done in [^\n]*\n", "", err)
        assert re.fullmatch(r"error: found [^\n]+; expected [^\n]+; [^\n]+\n", error)
        assert re.search(message, err)
        after = {path for path in place.rglob("*") if path.is_file()}
        assert {str(path.relative_to(place)) for path in after - before} <= may_leave
        assert before <= after

    return run


BAD_GENOMES = {
    "html": (b"<!DOCTYPE html><html>404</html>", "an HTML or XML page (bad.fa); expected FASTA"),
    "fastq": (b"@read1\nACGT\n+\nIIII\n", "FASTQ reads (bad.fa); expected FASTA; convert them"),
    "protein": (b">sp|P04637\nMEEPQSDPSVEPPLSQ\n", "'E' at position 2 of record 'sp|P04637' in bad.fa"),
    "empty": (b"", "the empty file bad.fa; expected FASTA"),
    "no sequence": (b">chromosome\n", "1 record(s) and no sequence in bad.fa"),
    "no header": (b"ACGTACGT\n", "no header: bad.fa begins with 'ACGTACGT'"),
    "letters": (b">chromosome\nACGTACGT\nACGXACGT\n", "'X' at position 12 of record 'chromosome' in bad.fa"),
    "cut gzip": (gzip.compress(DNA.encode())[:5_000], "a gzip file that ends too early (bad.fa)"),
    "table": (b"sequence,label\nACGT,1\n", "no header: bad.fa begins with 'sequence,label'"),
    "too short": (b">chromosome\nACGTACGT\n", "no row for train; expected at least one stretch of 500"),
}
# What `run` and `ulmfit` leave behind is their mark of whose folder it is.
MARK = frozenset({"new/corpus.fingerprint.json"})


@pytest.mark.parametrize("kind", BAD_GENOMES)
def test_a_genome_that_is_none_is_refused(place, refuse, kind):
    content, message = BAD_GENOMES[kind]
    (place / "bad.fa").write_bytes(content)
    words = ["corpus", "build", "bad.fa", "--output", "new", *TINY]
    refuse(DATA_EXIT, re.escape(message), *words)
    assert not (place / "new").exists()
    words = ["ulmfit", "--genome", "bad.fa", "--data", "good.csv", "--output", "new", *TINY]
    refuse(DATA_EXIT, re.escape(message), *words, may_leave=MARK)


def make_table(*lines: str) -> str:
    return "sequence,label,split\n" + "\n".join([*LABELED, *lines]) + "\n"


BAD_DATA = {
    "unknown letter": (make_table("ACGTZACGT,1,train"), "'Z' at position 5 of line 10 of bad.csv; expected"),
    "no label column": (
        make_table().replace("label", "class"),
        "the columns sequence, class, split in bad.csv; expected a column named label",
    ),
    "no sequence column": (make_table().replace("sequence", "dna"), "expected a column named sequence"),
    "no label": (make_table("ACGTACGT,,train"), "no label at line 10 of bad.csv"),
    "one class": (make_table().replace(",1,", ",0,"), "one class only ('0') in train in bad.csv"),
    "unseen class": (make_table("ACGTACGT,2,test"), "the class '2' in bad.csv, which train does not have"),
    "unknown split": (make_table("ACGTACGT,1,holdout"), "the split 'holdout' at line 10 of bad.csv"),
    "ragged": (make_table("ACGTACGT,1"), "2 value(s) at line 10 of bad.csv; expected 3"),
    "html": ("<html>502 Bad Gateway</html>", "an HTML or XML page (bad.csv)"),
    "empty": ("", "the empty file bad.csv"),
    "header alone": ("sequence,label,split\n", "no record in bad.csv; expected at least one"),
    "fasta without labels": (">a\nACGTACGT\n", "the header 'a' in bad.csv; expected '>id|label'"),
}


@pytest.mark.parametrize("kind", BAD_DATA)
def test_labeled_data_that_are_not_usable_are_refused(place, refuse, kind):
    content, message = BAD_DATA[kind]
    (place / "bad.csv").write_text(content)
    refuse(DATA_EXIT, re.escape(message), "finetune", "--data", "bad.csv", "--output", "new", *TINY)
    words = ["ulmfit", "--genome", "good.fa", "--data", "bad.csv", "--output", "new", *TINY]
    refuse(DATA_EXIT, re.escape(message), *words)
    assert not (place / "new").exists()


def test_finetune_needs_every_class_in_train_and_validation(place, refuse):
    (place / "bad.csv").write_text(make_table().replace("0,validation", "0,test"))
    message = (
        "no sequence with label 0 in the validation split; expected every label in the train and validation"
    )
    refuse(DATA_EXIT, message, "finetune", "--data", "bad.csv", "--output", "new", *TINY)


def test_too_few_sequences_for_a_random_split_are_refused(place, refuse):
    (place / "bad.csv").write_text("sequence,label\nACGTACGT,0\nACGTACGA,1\n")
    refuse(
        DATA_EXIT,
        "1 sequence.* of class '0'; expected enough",
        "finetune",
        "--data",
        "bad.csv",
        "--output",
        "new",
        *TINY,
    )


@pytest.mark.parametrize(
    "words",
    [
        ["corpus", "build", "none.fa", "--output", "new"],
        ["corpus", "build", "good.fa", "--output", "new", "--exclude", "none.bed"],
        ["corpus", "build", "good.fa", "--output", "new", "--exclude", "none.csv"],
        ["finetune", "--data", "none.csv", "--output", "new"],
        ["ulmfit", "--genome", "good.fa", "--data", "none.csv", "--output", "new"],
    ],
    ids=" ".join,
)
def test_a_missing_file_is_named(refuse, words):
    refuse(DATA_EXIT, r"no file at none\.\w+; expected a file that exists.*; check the path", *words)


@pytest.mark.parametrize(
    ("words", "file"),
    [
        (["corpus", "info", "none"], "corpus.json"),
        (["tokenizer", "info", "none"], "tokenizer_config.json"),
        (["pretrain", "causal", "--corpus", "none", "--output", "new"], "corpus.json"),
        (["adapt", "--pretrained", "none", "--data", "good.csv", "--output", "new"], "tokenizer_config.json"),
        (
            ["finetune", "--pretrained", "none", "--data", "good.csv", "--output", "new"],
            "tokenizer_config.json",
        ),
    ],
)
def test_a_missing_folder_is_named(refuse, words, file):
    refuse(FOLDER_EXIT, f"^error: found no {re.escape(file)} in none; expected a ", *words)


COMMANDS_WITH_RECIPE = {
    "corpus": ["corpus", "build", "good.fa", "--output", "new", "--recipe"],
    "pretrain": ["pretrain", "causal", "--corpus", "none", "--output", "new", "--recipe"],
    "adapt": ["adapt", "--pretrained", "none", "--data", "good.csv", "--output", "new", "--recipe"],
    "finetune": ["finetune", "--data", "good.csv", "--output", "new", "--recipe"],
    "ulmfit": ["ulmfit", "--genome", "good.fa", "--data", "good.csv", "--output", "new", "--recipe"],
    "run": ["run", "--output", "new"],
}


@pytest.mark.parametrize("command", COMMANDS_WITH_RECIPE)
def test_a_recipe_or_a_setting_that_does_not_exist_is_refused(place, refuse, command):
    words = COMMANDS_WITH_RECIPE[command]
    refuse(SETTINGS_EXIT, "the recipe 'quikstart'; expected one of .*quickstart", *words, "quikstart")
    refuse(SETTINGS_EXIT, "no file none.yaml; expected a YAML recipe; check the path", *words, "none.yaml")
    words = [*words, "quickstart_debug", "--set"]
    refuse(SETTINGS_EXIT, "the override 'seed 5'; expected NAME=VALUE", *words, "seed 5")
    message = r"the unknown setting corpus\.blok_bp in quickstart_debug.yaml; .*; write corpus\.block_bp$"
    refuse(SETTINGS_EXIT, message, *words, "corpus.blok_bp=5")
    message = "corpus.block_bp: 'many' in .*; expected corpus.block_bp as a whole number"
    refuse(SETTINGS_EXIT, message, *words, "corpus.block_bp=many")
    refuse(SETTINGS_EXIT, "corpus: 5 in .*; expected corpus as a group of settings", *words, "corpus=5")
    assert not (place / "new").exists()
    if command == "corpus":
        return  # it reads that part of a recipe alone
    message = r"the unknown setting pretrain\.token in quickstart_debug.yaml; .*; write pretrain\.tokens$"
    refuse(SETTINGS_EXIT, message, *words, "pretrain.token=5")
    refuse(
        SETTINGS_EXIT,
        "pretrain.tokens: 'many' in .*; expected pretrain.tokens as a whole",
        *words,
        "pretrain.tokens=many",
    )
    refuse(
        SETTINGS_EXIT,
        "found tokens 0, .*; expected .* at least 1; correct the pretraining settings",
        *words,
        "pretrain.tokens=0",
    )
    assert not (place / "new").exists()


def test_all_problems_of_a_recipe_are_in_one_line(place, refuse):
    (place / "mine.yaml").write_text("genomes: good.fa\ndata: good.csv\npretrian: {}\n")
    message = (
        "found genomes: 'good.fa'; the unknown setting pretrian; no setting tokenizer in mine.yaml; "
        ".*; correct genomes; write pretrain; set tokenizer\n$"
    )
    refuse(SETTINGS_EXIT, message, "run", "mine.yaml")
    (place / "mine.yaml").write_text("genomes: [good.fa]\ndata: good.csv\ntokenizer: kmer_k3_s9\n")
    refuse(
        SETTINGS_EXIT, r"stride=9 in mine.yaml; expected a whole number in 1\.\.k \(k=3\)", "run", "mine.yaml"
    )
    (place / "mine.yaml").write_text("genomes: [good.fa\n")
    refuse(SETTINGS_EXIT, "mine.yaml with unreadable YAML", "run", "mine.yaml")


def test_a_scheme_that_does_not_exist_is_refused(refuse):
    message = "the scheme name 'kmer_6'; expected kmer_k<k>_s<stride>"
    refuse(SETTINGS_EXIT, message, "tokenizer", "build", "kmer_6", "--output", "new")
    words = ["finetune", "--data", "good.csv", "--output", "new", *TINY]
    refuse(SETTINGS_EXIT, message, *words, "--tokenizer", "kmer_6")


def test_built_in_data_that_do_not_exist_are_refused(refuse):
    message = "'builtin:yeast'; expected one of builtin:ecoli_k12_mg1655, builtin:ecoli_promoters"
    refuse(SETTINGS_EXIT, message, "corpus", "build", "builtin:yeast", "--output", "new", *TINY)
    refuse(SETTINGS_EXIT, message, "finetune", "--data", "builtin:yeast", "--output", "new", *TINY)


def test_two_genomes_of_one_name_are_refused(place, refuse):
    (place / "other").mkdir()
    (place / "other" / "good.fa.gz").write_bytes(gzip.compress(f">b\n{DNA}\n".encode()))
    words = ["corpus", "build", "good.fa", "other/good.fa.gz", "--output", "new", *TINY]
    refuse(SETTINGS_EXIT, "two genomes named 'good'", *words)


def test_words_that_make_no_command_get_the_usage(monkeypatch, capsys):
    for words, message in (
        (["ulmfitt"], "No such command 'ulmfitt'"),
        (["ulmfit", "--genome", "good.fa", "--output", "new"], "Missing option '--data'"),
        (["predict", "a.fa", "--model", "m", "--batch-size", "0"], "--batch-size"),
        (["predict", "a.fa", "--modle", "m"], "No such option: --modle"),
    ):
        monkeypatch.setattr(sys, "argv", ["genolm", *words])
        with pytest.raises(SystemExit, match=r"^2$"):
            main()
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("Usage: ")
        # Of an unknown option the oldest typer writes: No such option '--modle'.
        assert message in err.replace("No such option '--modle'", "No such option: --modle")


def test_ulmfit_names_a_missing_genome(place, refuse):
    words = ["ulmfit", "--genome", "none.fa", "--data", "good.csv", "--output", "new", *TINY]
    refuse(DATA_EXIT, "no file at none.fa; expected a file that", *words)
