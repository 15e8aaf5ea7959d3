"""Each stage of a recipe by itself, through the command line, in the folders of the whole pipeline."""

import json
import re
import sys

import pytest
from processes import Outcome, read_tree

from genolm.cli import main
from genolm.errors import StoppedError, TrainingError


def check_refused(outcome: Outcome, code: int, message: str) -> None:
    assert (outcome.code, outcome.out) == (code, "")
    assert re.fullmatch(r"error: found [^\n]+; expected [^\n]+; [^\n]+\n", outcome.err)
    assert message in outcome.err


def find_done(outcome: Outcome) -> list[str]:
    """The titles of the work that was done."""
    return re.findall(r"^  (.+): done in ", outcome.err, re.MULTILINE)


def test_stage_by_stage_gives_the_files_of_the_whole_pipeline(run_cli, tiny_recipe, run_alone, tmp_path):
    commands = {
        ("pretrain", "causal"): ["corpus", "genome LM"],
        ("adapt",): ["domain LM"],
        ("finetune",): ["data check", "classifier on domain-lm", "controls"],
        ("finetune", "--start", "genome-lm"): ["classifier on genome-lm"],
        ("finetune", "--start", "scratch"): ["classifier from scratch"],
    }
    for words, titles in commands.items():
        outcome = run_cli(*words, "--config", tiny_recipe)
        assert outcome.code == 0, outcome.err
        assert find_done(outcome) == titles
    assert "model folder: runs/tiny/classifier-scratch\n" in outcome.out
    assert "control: k-mers + positions" in outcome.out
    before = read_tree(tmp_path / "runs" / "tiny")
    outcome = run_cli("finetune", "--start", "word2vec", "--config", tiny_recipe)
    assert outcome.code == 0, outcome.err
    assert "control: mean word2vec vector" in outcome.out

    whole = run_cli("run", tiny_recipe)
    assert (whole.code, find_done(whole)) == (0, ["Markov models"])
    folder, printed = run_alone
    assert whole.out == printed
    after, expected = read_tree(tmp_path / "runs" / "tiny"), read_tree(folder)
    assert set(after) == set(expected)
    different = {name for name in after if after[name] != expected[name]}
    assert {name for name in different if not name.endswith((".jsonl", ".svg", ".png"))} == set()
    assert {name for name in before if before[name] != after[name]} == set()


def test_a_stage_without_the_one_before_it_names_the_command(run_cli, tiny_recipe, tmp_path):
    for words, folder, command in (
        (["adapt"], "genome-lm", "pretrain causal"),
        (["finetune"], "domain-lm", "adapt"),
        (["finetune", "--start", "genome-lm"], "genome-lm", "pretrain causal"),
    ):
        message = (
            f"found no finished language model in runs/tiny/{folder}; expected the one that this stage "
            f"starts from; first run genolm {command} --recipe {tiny_recipe}\n"
        )
        check_refused(run_cli(*words, "--recipe", tiny_recipe), 4, message)
    assert read_tree(tmp_path) == {}


def test_from_scratch_first_leaves_the_folder_open_for_the_corpus(run_cli, tiny_recipe, tmp_path):
    outcome = run_cli("finetune", "--start", "scratch", "--config", tiny_recipe)
    assert (outcome.code, find_done(outcome)) == (0, ["data check", "classifier from scratch", "controls"])
    outcome = run_cli("pretrain", "causal", "--config", tiny_recipe)
    assert (outcome.code, find_done(outcome)) == (0, ["corpus", "genome LM"])
    changed = ("--set", "corpus.block_bp=3000", "--config", tiny_recipe)
    for words in (
        ["pretrain", "causal"],
        ["adapt"],
        ["finetune", "--start", "scratch"],
        ["run", tiny_recipe],
    ):
        options = changed[:2] if words[0] == "run" else changed
        check_refused(
            run_cli(*words, *options), 4, "found another corpus in runs/tiny/corpus; expected the one"
        )


def test_a_stage_takes_one_part_from_the_recipe_and_another_from_the_user(
    run_cli, tiny_recipe, run_alone, tmp_path
):
    folder, _ = run_alone
    options = ("--config", tiny_recipe, "--output", tmp_path / "new")
    outcome = run_cli("adapt", "--pretrained", folder / "genome-lm", *options)
    assert outcome.code == 0, outcome.err
    for name in ("metrics.json", "model.safetensors"):
        assert (tmp_path / "new" / name).read_bytes() == (folder / "domain-lm" / name).read_bytes()
    outcome = run_cli(
        "finetune", "--pretrained", folder / "domain-lm", "--config", tiny_recipe, "--output", "own"
    )
    assert outcome.code == 0, outcome.err
    metrics = json.loads(outcome.out.partition("\nmodel folder: own\n")[0])
    assert metrics == json.loads((folder / "classifier-domain-lm" / "metrics.json").read_text())
    assert {path.name for path in tmp_path.iterdir()} == {"new", "own"}, "runs/ is the recipe's alone"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["pretrain", "causal", "--corpus", "c"],
            "found --corpus without --output; expected a folder for what",
        ),
        (["adapt", "--data", "d.csv"], "found --data without --output"),
        (
            ["finetune", "--data", "d.csv", "--pretrained", "m"],
            "add --output FOLDER, or leave --pretrained and --data out",
        ),
        (
            ["finetune", "--start", "scrach"],
            "--start scrach; expected one of scratch, word2vec, genome-lm, domain-lm",
        ),
        (
            ["finetune", "--start", "scratch", "--pretrained", "m", "--output", "o"],
            "--start scratch and --pretrained m; expected one thing to start from",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(run_cli, tiny_recipe, tmp_path, words, message):
    check_refused(run_cli(*words, "--config", tiny_recipe), 2, message)
    assert read_tree(tmp_path) == {}


def test_a_recipe_without_vectors_has_no_such_start(run_cli, tiny_recipe):
    outcome = run_cli("finetune", "--start", "word2vec", "--config", tiny_recipe, "--set", "word2vec=null")
    check_refused(outcome, 2, f"found --start word2vec and no vectors in the recipe {tiny_recipe}; expected")


def test_of_several_processes_only_the_main_one_prints(run_cli, monkeypatch):
    """A process that a launcher started knows its rank from the environment."""
    words = ("tokenizer", "build", "kmer_k3_s1", "--output", "new")
    assert run_cli(*words).out == "kmer_k3_s1: k 3, stride 1, 69 tokens\n"
    monkeypatch.setenv("RANK", "1")
    assert run_cli(*words) == (0, "", "")
    assert run_cli("run", "quikstart") == (2, "", "")


@pytest.mark.parametrize(
    ("error", "rank", "line"),
    [
        (TrainingError, "0", "error: found a; expected b; c\n"),
        (TrainingError, "3", "rank 3: error: found a; expected b; c\n"),
        (StoppedError, "0", "stopped: found a; expected b; c\n"),
        (StoppedError, "3", ""),
    ],
)
def test_what_may_have_happened_to_one_process_alone_is_said_with_its_rank(
    run_cli, monkeypatch, error, rank, line
):
    def fail(*_, **__):
        raise error(found="a", expected="b", remedy="c")

    monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr("genolm.pipeline.run.run_pipeline", fail)
    assert run_cli("run", "quickstart_debug") == (error.exit_code, "", line)


def test_without_arguments_the_words_are_those_of_the_program(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["genolm", "--version"])
    with pytest.raises(SystemExit, match=r"^0$"):
        main()
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", capsys.readouterr().out)
