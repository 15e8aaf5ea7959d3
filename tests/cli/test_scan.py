"""`genolm scan` as a person starts it, and what it refuses in one line."""

import re

import pytest
from made_up_dna import make_dna
from small_window_models import save_causal, save_classifier

from genolm.cli import main
from genolm.files import write_json

SETTINGS_EXIT, DATA_EXIT, FOLDER_EXIT = 2, 3, 4


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run genolm scan in a folder with a genome and a model."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "g.fa").write_text(f">a\n{make_dna(300, seed=2)}NNNN\n")
    save_classifier(tmp_path / "run" / "model")
    capsys.readouterr()

    def run(*words: object) -> tuple[str, str, str]:
        with pytest.raises(SystemExit, match=r"^\d+$") as stop:
            main(["scan", *map(str, words)])
        return (stop.value.code, *capsys.readouterr())

    return run


def test_a_scan_says_what_it_did(run, tmp_path):
    write_json(tmp_path / "run" / "data_audit.json", {"classes": [{"min_bp": 20, "max_bp": 20}]})
    code, out, _ = run("g.fa", "--model", "run/model", "--output", "out", "--stride-bp", 5, "--anchor-bp", 3)
    assert code == 0
    assert re.fullmatch(
        r"57 windows a strand, 0 skipped for unknown bases; "
        r"peaks from 0.5 \(the default\) on: \d+ on the plus strand, \d+ on the minus strand\n",
        out,
    )
    assert (tmp_path / "out" / "plus.bw").is_file()


def test_a_scan_takes_window_and_threshold_from_the_training(run, tmp_path):
    metrics = {"train_lengths_bp": [20, 20], "threshold": 0.375}
    write_json(tmp_path / "run" / "model" / "metrics.json", metrics)
    words = ["g.fa", "--model", "run/model", "--stride-bp", 5, "--no-bigwig", "--output"]
    code, out, _ = run(*words, "chosen")
    assert (code, "57 windows" in out, "from 0.375 (chosen on validation) on" in out) == (0, True, True)
    code, out, _ = run(*words, "given", "--threshold", 0.25)
    assert (code, "from 0.25 (given) on" in out) == (0, True)


@pytest.mark.parametrize(
    ("code", "message", "words"),
    [
        (SETTINGS_EXIT, "no length of the training sequences in run/model; .*; set --window-bp", []),
        (SETTINGS_EXIT, "--precision half; expected auto, no, bf16 or fp16", ["--precision", "half"]),
        (
            SETTINGS_EXIT,
            "the class 'maybe'; expected one of no, yes",
            ["--window-bp", 20, "--class", "maybe"],
        ),
        (SETTINGS_EXIT, "a window of 1 bp; expected 2 bp or more; set another", ["--window-bp", 1]),
        (SETTINGS_EXIT, "no contig of 999 bp in g.fa", ["--window-bp", 999]),
    ],
    ids=["window", "precision", "class", "short", "long"],
)
def test_options_that_are_not_usable_are_refused(run, tmp_path, code, message, words):
    found = run("g.fa", "--model", "run/model", "--output", "out", *words)
    assert found[:2] == (code, "")
    assert re.search(rf"^error: found {message}", found[2], re.MULTILINE)
    assert not (tmp_path / "out" / "scan.json").exists()


def test_a_language_model_and_a_genome_that_is_none_are_refused(run, tmp_path):
    save_causal(tmp_path / "lm")
    code, _, err = run("g.fa", "--model", "lm", "--output", "out", "--window-bp", 20)
    assert (code, "without a classifier's head in lm" in err) == (FOLDER_EXIT, True)
    code, _, err = run("gone.fa", "--model", "run/model", "--output", "out", "--window-bp", 20)
    assert (code, "no file at gone.fa" in err) == (DATA_EXIT, True)
