"""Every command on a small generated genome with planted, labeled windows, through `genolm.cli.main`."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from genolm.cli import main

ROOT = Path(__file__).parents[2]
MOTIF = "TATAATTATAAT"
MODEL = "{embedding_size: 16, lstm_size: 24, num_layers: 2}"
PHASES = "[{epochs: 9, learning_rate: 0.02}]"
SETTINGS = {
    "corpus.block_bp": "2000",
    "corpus.min_piece_bp": "100",
    "pretrain.tokens": "2000",
    "pretrain.evaluations": "1",
    "pretrain.model": MODEL,
    "pretrain.stream": "{lanes: 8, bptt_tokens: 30}",
    "adapt.epochs": "1",
    "adapt.batch_size": "32",
    "finetune.phases": PHASES,
    "finetune.monitor": "loss",
    "finetune.group_factor": "1",
    "finetune.batch_size": "16",
    "finetune.dropout.multiplier": "0.1",
    "scratch.phases": PHASES,
    "scratch.monitor": "loss",
    "scratch.batch_size": "16",
    "scratch.model": MODEL,
    "scratch.dropout.multiplier": "0.1",
}
TINY = ["--recipe", "quickstart_debug"]
TINY += [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
ONE_EPOCH = [
    word
    for stage in ("finetune", "scratch")
    for word in ("--set", f"{stage}.phases=[{{epochs: 1, learning_rate: 0.02}}]")
]
MODEL_FILES = {
    "config.json",
    "loss_curve.png",
    "metrics.json",
    "model.safetensors",
    "modeling_awd_lstm.py",
    "run_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "training_log.jsonl",
}


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


def run_cli(*words: object) -> Outcome:
    """Run `genolm WORDS` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["genolm", *map(str, words)])
        with pytest.raises(SystemExit, match=r"^\d+$") as stop:
            main()
    return Outcome(stop.value.code, out.getvalue(), err.getvalue())


def check_refused(outcome: Outcome, code: int, message: str) -> None:
    """One line that says found, expected, remedy, after what the audit of the data says, if anything does."""
    assert (outcome.code, outcome.out) == (code, "")
    error = re.sub(r"  [^\n]* in the data: [^\n]*\n|  data check: done in [^\n]*\n", "", outcome.err)
    assert re.fullmatch(r"error: found [^\n]+; expected [^\n]+; [^\n]+\n", error)
    assert re.search(message, outcome.err)


def read_metrics(outcome: Outcome) -> dict:
    """The JSON that a training command prints before the line that names its folder."""
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out.partition("\nmodel folder: ")[0])


def list_names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def read_tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Space(NamedTuple):
    """A folder with inputs and the outcome of each stage, one command after the other."""

    folder: Path
    labels: dict[str, int]
    outcomes: dict[str, Outcome]


@pytest.fixture(scope="module")
def space(tmp_path_factory) -> Space:
    folder = tmp_path_factory.mktemp("space")
    generator = np.random.default_rng(8)
    text = "".join(generator.choice(list("ACGT"), size=60_000))
    labels, lines = {}, ["id,sequence,label,split"]
    for number in range(200):
        window = "".join(generator.choice(list("ACGT"), size=40))
        labels[f"w{number}"] = number % 2
        if number % 2:
            window = window[:14] + MOTIF + window[14 + len(MOTIF) :]
        split = ("train", "train", "train", "validation", "test")[number // 2 % 5]
        lines.append(f"w{number},{window},{number % 2},{split}")
        text = text[: 130 + 300 * number] + window + text[170 + 300 * number :]
    (folder / "small.fa").write_text(f">chromosome\n{text}\n")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    data = ["--data", folder / "labels.csv"]
    commands = {
        "corpus": ["corpus", "build", folder / "small.fa"],
        "lm": ["pretrain", "causal", "--corpus", folder / "corpus", "--seed", 3],
        "domain": ["adapt", "--pretrained", folder / "lm", *data],
        "classifier": ["finetune", "--pretrained", folder / "domain", *data],
        "scratch": ["finetune", *data, "--tokenizer", "kmer_k4_s2"],
    }
    outcomes = {name: run_cli(*words, "--output", folder / name, *TINY) for name, words in commands.items()}
    return Space(folder, labels, outcomes)


def test_corpus_build_says_what_it_wrote_and_info_says_it_again(space):
    assert space.outcomes["corpus"].code == 0, space.outcomes["corpus"].err
    outcome = run_cli("corpus", "info", space.folder / "corpus", "--json")
    info = json.loads(outcome.out)
    assert info == json.loads((space.folder / "corpus" / "corpus.json").read_text())
    assert info["settings"]["block_bp"] == 2_000
    assert info["total_bp"] == 60_000
    assert info["splits"]["test"]["bp"] == 12_000
    tables = space.outcomes["corpus"].out
    for words in (r"1 genome, 0\.060 Mb", r"small +│ +1 +│ +0\.060", r"test +│ +6 +│ +0\.012", "Left out"):
        assert re.search(words, tables), words
    figure = space.folder / "corpus.png"
    assert run_cli("corpus", "info", space.folder / "corpus", "--figure", figure) == (0, tables, "")
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_corpus_build_takes_what_is_said_about_gaps_and_copies(tmp_path):
    (tmp_path / "x.fa").write_text(f">a\n{'ACG-T' * 300}\n>a\n{'TTGCA' * 300}\n")
    words = ("corpus", "build", tmp_path / "x.fa", "--output", tmp_path / "corpus", "--workers", 1)
    words = (*words, "--set", "corpus.split=none")
    assert "--strip-gaps" in run_cli(*words).err
    assert "--duplicate-ids rename" in run_cli(*words, "--strip-gaps").err
    assert run_cli(*words, "--strip-gaps", "--duplicate-ids", "rename").code == 0
    outcome = run_cli(*words, "--strip-gaps", "--duplicate-ids", "rewrite")
    assert (outcome.code, "one of refuse, rename" in outcome.err) == (2, True)


def test_corpus_build_leaves_out_intervals_and_sequences(space, tmp_path):
    (tmp_path / "held_out.bed").write_text("chromosome\t1000\t1100\n")
    (tmp_path / "held_out.fa").write_text(f">a\n{'ACGT' * 10}\n")
    outcome = run_cli(
        *("corpus", "build", space.folder / "small.fa", "--output", tmp_path / "corpus"),
        *("--exclude", tmp_path / "held_out.bed", "--exclude", space.folder / "labels.csv"),
        *("--exclude", tmp_path / "held_out.fa", "--exclude-margin-bp", 3),
        *("--set", "corpus.split=none", "--set", "corpus.min_piece_bp=100"),
    )
    assert outcome.code == 0, outcome.err
    info = json.loads((tmp_path / "corpus" / "corpus.json").read_text())
    assert (info["num_exclude_intervals"], info["num_exclude_sequences"]) == (1, 201)
    assert (info["num_sequences_found"], info["exclude_margin_bp"]) == (200, 3)
    assert info["excluded_bp"] == 199 * 46 + 106  # the window at 1030 lies within the interval


def test_tokenizer_build_writes_a_folder_that_info_reads(tmp_path):
    line = "kmer_k4_s2: k 4, stride 2, 261 tokens\n"
    assert run_cli("tokenizer", "build", "kmer_k4_s2", "--output", tmp_path / "new") == (0, line, "")
    assert run_cli("tokenizer", "info", tmp_path / "new") == (0, line, "")
    assert list_names(tmp_path / "new") == {"tokenizer.json", "tokenizer_config.json"}


@pytest.mark.parametrize("stage", ["lm", "domain", "classifier", "scratch"])
def test_a_stage_prints_its_metrics_and_writes_a_model_folder(space, stage):
    metrics = read_metrics(space.outcomes[stage])
    assert metrics == json.loads((space.folder / stage / "metrics.json").read_text())
    rest = space.outcomes[stage].out.partition("\nmodel folder: ")[2]
    assert rest.splitlines()[0] == str(space.folder / stage)
    is_classifier = "test" in metrics and "mcc" in metrics["test"]
    assert ("control: k-mers + positions" in rest) == is_classifier, "controls stand beside a classifier"
    extra = {"controls.json", "data_audit.json"} if is_classifier else set()
    assert list_names(space.folder / stage) == MODEL_FILES | extra


def test_options_reach_the_stages(space):
    def read(stage):
        return json.loads((space.folder / stage / "run_config.json").read_text())

    assert read("lm")["settings"]["seed"] == 3
    assert read("lm")["settings"]["stream"]["lanes"] == 8
    assert read("domain")["settings"]["seed"] == 0
    assert read("classifier")["settings"]["tokenizer"] == "kmer_k3_s1"
    assert read("scratch")["settings"]["tokenizer"] == "kmer_k4_s2"
    assert read("scratch")["inputs"]["pretrained"] == "none"
    line = "kmer_k4_s2: k 4, stride 2, 261 tokens\n"
    assert run_cli("tokenizer", "info", space.folder / "scratch").out == line


def test_the_language_models_are_scored_in_bits_per_base(space):
    genome_lm, domain_lm = (read_metrics(space.outcomes[stage]) for stage in ("lm", "domain"))
    assert 1.9 < genome_lm["validation"]["bits_per_base"] < 2.1  # random bases
    assert genome_lm["tokens_seen"] >= 2_000
    assert domain_lm["validation"]["loss"] < domain_lm["validation_before"]["loss"]


def test_the_classifiers_learn_the_planted_motif(space):
    for stage in ("classifier", "scratch"):
        metrics = read_metrics(space.outcomes[stage])
        assert metrics["test"]["mcc"] > 0.8
        assert metrics["test"]["n"] == 40


def test_the_same_command_again_does_nothing_and_prints_the_same(space):
    before = read_tree(space.folder / "scratch")
    words = ["finetune", "--data", space.folder / "labels.csv", "--tokenizer", "kmer_k4_s2"]
    outcome = run_cli(*words, "--output", space.folder / "scratch", *TINY)
    assert outcome == (0, space.outcomes["scratch"].out, "")
    assert read_tree(space.folder / "scratch") == before


@pytest.fixture(scope="module")
def predicted(space) -> Outcome:
    return run_cli("predict", space.folder / "labels.csv", "--model", space.folder / "classifier")


def test_predict_prints_one_line_of_probabilities_per_sequence(space, predicted):
    assert predicted.code == 0, predicted.err
    header, *rows = (line.split("\t") for line in predicted.out.splitlines())
    assert header == ["id", "label", "p_0", "p_1"]
    assert [row[0] for row in rows] == list(space.labels)
    for _, label, *probabilities in rows:
        assert sum(map(float, probabilities)) == pytest.approx(1, abs=2e-6)
        assert label == str(int(float(probabilities[1]) > 0.5))
    right = sum(int(label) == space.labels[name] for name, label, *_ in rows)
    assert right > 180


def test_predict_gives_the_same_for_fasta_in_other_batches_and_to_a_file(space, predicted, tmp_path):
    rows = (line.split(",") for line in (space.folder / "labels.csv").read_text().splitlines()[1:])
    (tmp_path / "windows.fa").write_text(
        "".join(f">{name} x\n{window.lower()}\n" for name, window, *_ in rows)
    )
    words = ["predict", tmp_path / "windows.fa", "--model", space.folder / "classifier"]
    outcome = run_cli(*words, "--batch-size", 7, "--output", tmp_path / "new" / "table.tsv")
    assert (outcome.code, outcome.out) == (0, "")
    assert list_names(tmp_path / "new") == {"table.tsv"}
    lines = (tmp_path / "new" / "table.tsv").read_text().splitlines()
    assert len(lines) == 201
    for line, other in zip(lines[1:], predicted.out.splitlines()[1:], strict=True):
        cells, other_cells = line.split("\t"), other.split("\t")
        assert cells[:2] == other_cells[:2]
        assert [float(cell) for cell in cells[2:]] == pytest.approx(
            [float(cell) for cell in other_cells[2:]], abs=1e-5
        )


def test_evaluate_gives_the_figures_of_the_training(space, tmp_path):
    model, metrics = space.folder / "classifier", read_metrics(space.outcomes["classifier"])
    for split, words in (("test", []), ("validation", ["--split", "validation"])):
        outcome = run_cli("evaluate", space.folder / "labels.csv", "--model", model, *words)
        assert outcome.code == 0, outcome.err
        figures = json.loads(outcome.out)
        for name in ("accuracy", "mcc", "auroc", "n"):
            assert figures[name] == pytest.approx(metrics[split][name], abs=1e-6)
            assert name == "n" or figures["ci95"][name] == pytest.approx(
                metrics[split]["ci95"][name], abs=1e-6
            )
    outcome = run_cli("evaluate", space.folder / "labels.csv", "--model", model, "--split", "train")
    assert json.loads(outcome.out)["n"] == 120
    lines = [line.rsplit(",", 1)[0] for line in (space.folder / "labels.csv").read_text().splitlines()]
    (tmp_path / "no_split.csv").write_text("\n".join(lines) + "\n")
    assert json.loads(run_cli("evaluate", tmp_path / "no_split.csv", "--model", model).out)["n"] == 200


def test_run_and_ulmfit_end_with_a_table_and_lines_that_load_the_model(space, tmp_path):
    """`ulmfit` with the same genome and data finds every stage of `run` finished."""
    recipe = {"genomes": [str(space.folder / "small.fa")], "data": str(space.folder / "labels.csv")}
    words = ["run", "quickstart_debug", "--output", tmp_path / "out", *TINY[2:], *ONE_EPOCH]
    for name, value in recipe.items():
        words += ["--set", f"{name}={json.dumps(value)}"]
    first = run_cli(*words)
    assert first.code == 0, first.err
    assert re.search(r"^  classifier from scratch: done in ", first.err, re.MULTILINE)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    for row in report["classifiers"]:
        name = row["name"] + (" *" if row["name"] == report["chosen"] else "")
        low, high = row["test"]["ci95"]["mcc"]
        assert re.search(
            rf" {re.escape(name)} +. +{row['test']['accuracy']:.3f} . +{row['test']['mcc']:.3f} . +{low:.3f} "
            rf"\.\. {high:.3f} . +{row['test']['auroc']:.3f} . +{row['validation']['auroc']:.3f} ",
            first.out,
        )
    folder = tmp_path / "out" / "model"
    assert f"model folder: {folder}\n" in first.out
    assert f'classify = pipeline("text-classification", "{folder}", trust_remote_code=True)\n' in first.out

    inputs = ["--genome", space.folder / "small.fa", "--data", space.folder / "labels.csv"]
    second = run_cli("ulmfit", *inputs, "--output", tmp_path / "out", *TINY, *ONE_EPOCH)
    assert second == (0, first.out, "")


def test_run_writes_to_a_folder_named_after_the_recipe(space, tmp_path, monkeypatch):
    """The folder is made and refused, for a file stands in it, so nothing is trained."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(
        f"genomes: [{space.folder}/small.fa]\ndata: {space.folder}/labels.csv\ntokenizer: kmer_k3_s1\n"
    )
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "notes.txt").touch()
    check_refused(run_cli("run", "mine.yaml"), 4, "found runs/mine with files of another origin")


@pytest.mark.parametrize(
    ("words", "difference"),
    [
        (["--set", "scratch.batch_size=8"], "settings.batch_size was 16, is now 8"),
        (["--seed", "1"], "settings.seed was 0, is now 1"),
        (["--tokenizer", "kmer_k3_s1"], "settings.tokenizer was kmer_k4_s2, is now kmer_k3_s1"),
    ],
)
def test_the_folder_of_a_run_with_other_settings_is_refused(space, words, difference):
    before = read_tree(space.folder / "scratch")
    command = ["finetune", "--data", space.folder / "labels.csv", "--tokenizer", "kmer_k4_s2"]
    outcome = run_cli(*command, "--output", space.folder / "scratch", *TINY, *words)
    check_refused(
        outcome, 4, rf"another run in .*scratch \({re.escape(difference)}\); expected an empty folder"
    )
    assert read_tree(space.folder / "scratch") == before


def test_the_folder_of_a_run_on_other_data_or_of_another_stage_is_refused(space, tmp_path):
    header, _, *lines = (space.folder / "labels.csv").read_text().splitlines()
    (tmp_path / "fewer.csv").write_text("\n".join([header, *lines]) + "\n")
    before = read_tree(space.folder)
    words = ["finetune", "--data", tmp_path / "fewer.csv", "--tokenizer", "kmer_k4_s2"]
    check_refused(
        run_cli(*words, "--output", space.folder / "scratch", *TINY), 4, "another run in .*scratch "
    )
    words = ["adapt", "--pretrained", space.folder / "lm", "--data", tmp_path / "fewer.csv"]
    check_refused(run_cli(*words, "--output", space.folder / "domain", *TINY), 4, r"\(inputs\.sequences was ")
    words = ["pretrain", "causal", "--corpus", space.folder / "corpus"]
    outcome = run_cli(*words, "--output", space.folder / "domain", *TINY)
    check_refused(outcome, 4, r"\(command was adapt, is now pretrain causal\)")
    words = ["corpus", "build", space.folder / "small.fa", "--output", space.folder / "lm"]
    check_refused(run_cli(*words, *TINY), 4, "lm, which is not a corpus")
    assert read_tree(space.folder) == before


def test_a_folder_with_foreign_files_is_refused(space, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    data = ["--data", space.folder / "labels.csv"]
    for words in (
        ["pretrain", "causal", "--corpus", space.folder / "corpus"],
        ["adapt", "--pretrained", space.folder / "lm", *data],
        ["finetune", *data],
        ["ulmfit", "--genome", space.folder / "small.fa", *data],
    ):
        check_refused(run_cli(*words, "--output", tmp_path, *TINY), 4, "with files of another origin")
    words = ["corpus", "build", space.folder / "small.fa", "--output", tmp_path]
    check_refused(run_cli(*words, *TINY), 4, "which is not a corpus")
    assert read_tree(tmp_path) == {"thesis.txt": b"mine"}


def test_predict_and_evaluate_refuse_a_folder_that_is_no_classifier(space, tmp_path):
    for command in ("predict", "evaluate"):
        words = [command, space.folder / "labels.csv", "--model"]
        outcome = run_cli(*words, space.folder / "lm")
        check_refused(
            outcome, 4, "a model without a classifier's head in .*a language model.*genolm finetune"
        )
        check_refused(run_cli(*words, space.folder / "corpus"), 4, "no tokenizer_config.json in .*corpus")
        check_refused(run_cli(*words, tmp_path / "none"), 4, "no model folder .*none; expected a folder that")
        run_cli("tokenizer", "build", "kmer_k3_s1", "--output", tmp_path / "tokenizer")
        check_refused(run_cli(*words, tmp_path / "tokenizer"), 4, "no model.safetensors in .*tokenizer")


def test_adapt_and_finetune_refuse_a_folder_that_is_no_model(space, tmp_path):
    for command in ("adapt", "finetune"):
        words = [command, "--data", space.folder / "labels.csv", "--output", tmp_path / "new", *TINY]
        check_refused(run_cli(*words, "--pretrained", tmp_path), 4, "no tokenizer_config.json in ")
        assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        ("sequence\nACGTACGT\nAC\n", 3, "a sequence of 2 bp at line 3 of bad.csv; expected at least 3 bp"),
        (
            "sequence\nACGTACGT\nACG7\n",
            3,
            "'7' at position 4 of line 3 of bad.csv; expected nucleotide letters",
        ),
        ("dna\nACGT\n", 3, "the columns dna in bad.csv; expected a column named sequence"),
        (">a\nACGT\n>b\nMEEPQSDPSV\n", 3, "'E' at position 2 of record 'b' in bad.csv"),
        ("", 3, "the empty file bad.csv"),
    ],
)
def test_predict_refuses_bad_sequences_and_writes_no_table(space, tmp_path, content, code, message):
    (tmp_path / "bad.csv").write_text(content)
    words = ["predict", tmp_path / "bad.csv", "--model", space.folder / "classifier"]
    check_refused(run_cli(*words, "--output", tmp_path / "table.tsv"), code, message)
    assert list_names(tmp_path) == {"bad.csv"}


def test_evaluate_refuses_labels_that_the_model_does_not_know(space, tmp_path):
    (tmp_path / "bad.csv").write_text("sequence,label\nACGTACGT,0\nACGTACGA,yes\n")
    words = ["evaluate", tmp_path / "bad.csv", "--model", space.folder / "classifier"]
    check_refused(run_cli(*words), 3, "the unknown label yes; expected sequences with the labels 0, 1")
    words[1] = space.folder / "labels.csv"
    check_refused(
        run_cli(*words, "--split", "holdout"), 2, "the split 'holdout'; expected train, validation or test"
    )


def run_console_script(*words: object) -> Outcome:
    """The entry point of pyproject.toml in a process of its own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, function = project["scripts"]["genolm"].partition(":")
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from {module} import {function}; {function}()"
    command = [sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return Outcome(done.returncode, done.stdout, done.stderr)


def test_the_console_script_works_in_a_process_of_its_own(tmp_path):
    line = "kmer_k5_s1: k 5, stride 1, 1,029 tokens\n"
    assert run_console_script("tokenizer", "build", "kmer_k5_s1", "--output", tmp_path / "new") == (
        0,
        line,
        "",
    )
    check_refused(run_console_script("tokenizer", "info", tmp_path), 4, "no tokenizer_config.json in ")
    outcome = run_console_script("tokenizer", "bild")
    assert (outcome.code, outcome.out) == (2, "")
    assert "No such command 'bild'" in outcome.err


def test_adapt_and_finetune_refuse_sequences_shorter_than_a_token(space, tmp_path):
    (tmp_path / "bad.csv").write_text((space.folder / "labels.csv").read_text() + "short,AC,0,train\n")
    data = ["--data", tmp_path / "bad.csv", "--output", tmp_path / "new", *TINY]
    message = "a sequence of 2 bp at line 202 of bad.csv; expected at least 3 bp"
    for words in (
        ["finetune"],
        ["finetune", "--pretrained", space.folder / "lm"],
        ["adapt", "--pretrained", space.folder / "lm"],
    ):
        check_refused(run_cli(*words, *data), 3, message)
    assert list_names(tmp_path) == {"bad.csv"}


def test_adapt_refuses_a_classifier(space, tmp_path):
    words = ["adapt", "--pretrained", space.folder / "classifier", "--data", space.folder / "labels.csv"]
    message = "a model without a language model's head in .*classifier"
    check_refused(run_cli(*words, "--output", tmp_path / "new", *TINY), 4, message)
    assert not (tmp_path / "new").exists()


def test_a_run_that_cannot_begin_leaves_no_folder_behind(space, tmp_path):
    lines = (space.folder / "labels.csv").read_text().splitlines()
    (tmp_path / "bad.csv").write_text("\n".join(line for line in lines if not line.endswith(",train")) + "\n")
    words = ["adapt", "--pretrained", space.folder / "lm", "--data", tmp_path / "bad.csv"]
    check_refused(run_cli(*words, "--output", tmp_path / "new", *TINY), 3, "no sequence to train on")
    words = ["pretrain", "causal", "--corpus", space.folder / "corpus", "--output", tmp_path / "new", *TINY]
    outcome = run_cli(*words, "--set", "pretrain.stream.lanes=40000")
    check_refused(outcome, 3, "expected enough to fill 40000 lanes")
    assert list_names(tmp_path) == {"bad.csv"}


def test_an_output_that_is_a_file_or_a_folder_by_mistake_is_refused(space, tmp_path):
    (tmp_path / "file").write_text("mine")
    data = ["--data", space.folder / "labels.csv", "--output", tmp_path / "file", *TINY]
    check_refused(run_cli("finetune", *data), 4, "file with files of another origin")
    check_refused(
        run_cli("ulmfit", "--genome", space.folder / "small.fa", *data), 4, "file with files of another"
    )
    words = ["predict", space.folder / "labels.csv", "--model", space.folder / "classifier"]
    check_refused(
        run_cli(*words, "--output", tmp_path), 2, "found the folder .*; expected a file name for the table"
    )
    assert read_tree(tmp_path) == {"file": b"mine"}


def test_evaluate_refuses_a_split_of_data_without_splits(space, tmp_path):
    lines = [line.rsplit(",", 1)[0] for line in (space.folder / "labels.csv").read_text().splitlines()]
    (tmp_path / "no_split.csv").write_text("\n".join(lines) + "\n")
    words = ["evaluate", tmp_path / "no_split.csv", "--model", space.folder / "classifier", "--split", "test"]
    check_refused(run_cli(*words), 2, "--split test and no split column in .*no_split.csv")


def test_predict_refuses_damaged_weights(space, tmp_path):
    shutil.copytree(space.folder / "classifier", tmp_path / "model")
    os.truncate(tmp_path / "model" / "model.safetensors", 3_000)
    words = ["predict", space.folder / "labels.csv", "--model", tmp_path / "model"]
    check_refused(run_cli(*words), 4, "a damaged model.safetensors in .*model")


def test_what_ctrl_c_leaves_is_said(space, tmp_path, monkeypatch):
    def press_ctrl_c(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("genolm.training.classifier.run_training", press_ctrl_c)
    outcome = run_cli("finetune", "--data", space.folder / "labels.csv", "--output", tmp_path / "new", *TINY)
    assert (outcome.code, outcome.out) == (130, "")
    assert outcome.err.endswith("\nstopped; the same command goes on from the last checkpoint\n")


def test_a_random_split_is_told(space, tmp_path):
    lines = [line.rsplit(",", 1)[0] for line in (space.folder / "labels.csv").read_text().splitlines()]
    (tmp_path / "no_split.csv").write_text("\n".join(lines) + "\n")
    words = ("finetune", "--data", tmp_path / "no_split.csv", "--output", tmp_path / "new")
    outcome = run_cli(*words, *TINY, *ONE_EPOCH)
    assert outcome.code == 0, outcome.err
    assert "split at random, which leaks" in outcome.err


def test_columns_of_other_names_are_mapped(space, tmp_path):
    """Read so, the table is that of a run which is finished; read otherwise, it is refused as another's."""
    header, *lines = (space.folder / "labels.csv").read_text().splitlines()
    new_names = {"id": "name", "sequence": "dna", "label": "2024", "split": "part"}
    renamed = ",".join(new_names[name] for name in header.split(","))
    (tmp_path / "renamed.csv").write_text("\n".join([renamed, *lines]) + "\n")
    options = [word for kind, name in new_names.items() for word in (f"--{kind}-column", name)]
    words = ["finetune", "--output", space.folder / "scratch", "--tokenizer", "kmer_k4_s2", *TINY]
    mapped = run_cli(*words, "--data", tmp_path / "renamed.csv", *options)
    assert mapped == (0, space.outcomes["scratch"].out, "")

    model = ["--model", space.folder / "classifier"]
    plain = run_cli("predict", space.folder / "labels.csv", *model)
    assert run_cli("predict", tmp_path / "renamed.csv", *model, *options[:4]).out == plain.out
    plain = run_cli("evaluate", space.folder / "labels.csv", *model)
    assert run_cli("evaluate", tmp_path / "renamed.csv", *model, *options[2:]).out == plain.out


def test_finetune_and_ulmfit_start_from_vectors(space, tmp_path):
    vectors = tmp_path / "vectors"
    words = ("word2vec", "train", "--corpus", space.folder / "corpus", "--scheme", "kmer_k3_s1", "--size", 16)
    assert run_cli(*words, "--epochs", 1, "--output", vectors).code == 0
    data = ("--data", space.folder / "labels.csv")
    words = ("finetune", *data, "--embeddings", vectors, "--output", tmp_path / "one")
    outcome = run_cli(*words, *TINY, *ONE_EPOCH)
    assert outcome.code == 0, outcome.err
    assert "control: mean word2vec vector" in outcome.out
    assert "embeddings" in json.loads((tmp_path / "one" / "run_config.json").read_text())["inputs"]

    genome = ("--genome", space.folder / "small.fa")
    words = ("ulmfit", *genome, *data, "--embeddings", vectors, "--output", tmp_path / "run")
    outcome = run_cli(*words, *TINY, *ONE_EPOCH)
    assert outcome.code == 0, outcome.err
    assert re.search(r"│ word2vec[ *]+│", outcome.out)

    words = ("finetune", *data, "--embeddings", vectors, "--output", tmp_path / "two", *TINY)
    outcome = run_cli(*words, "--pretrained", space.folder / "lm")
    check_refused(outcome, 2, "found a pretrained model and embeddings; expected one of them")
    message = "16 .*20|20 .*16"
    other = "scratch.model={embedding_size: 20, lstm_size: 24, num_layers: 2}"
    words = (*words, "--set", other, "--set", other.replace("scratch", "pretrain"))
    check_refused(run_cli(*words), 2, message)
    assert not (tmp_path / "two").exists()
