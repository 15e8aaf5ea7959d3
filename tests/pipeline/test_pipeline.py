"""A whole pipeline on a generated genome with planted, labeled windows."""

import json
import os
import re
import shutil
import signal
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from warm_processes import CONTEXT

import genolm.training.persistence.run_folder
from genolm.alphabet import decode_bases, encode_bases, reverse_complement
from genolm.config import apply_overrides, build_settings, list_recipes
from genolm.corpus.bases import load_corpus_bases
from genolm.errors import DataError, RunFolderError, SettingsError
from genolm.evaluation.report import ClassifierRow, choose_network
from genolm.pipeline.recipe import Recipe, load_recipe
from genolm.pipeline.run import PipelineResult, run_pipeline
from genolm.progress import Reporter, Task

WINDOW_BP = 40
MOTIF = "TATAATTATAAT"
MODEL = {"embedding_size": 16, "lstm_size": 24, "num_layers": 2}
LOOP = {"checkpoint_every_steps": 2, "log_every_steps": 1}
TRAINING = {
    "phases": [{"epochs": 9, "learning_rate": 0.02}],
    "batch_size": 16,
    "monitor": "loss",
    "group_factor": 1.0,
    "dropout": {"multiplier": 0.1},
    "loop": LOOP,
}
STAGES = ("genome-lm", "domain-lm", "classifier-scratch", "classifier-genome-lm", "classifier-domain-lm")
MODEL_FILES = {
    "config.json",
    "metrics.json",
    "model.safetensors",
    "modeling_awd_lstm.py",
    "run_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
}


class Planted(NamedTuple):
    """A genome of 60 kb, its letters, and 200 labeled windows of it; class 1 has the motif."""

    genome: Path
    text: str
    data: Path
    windows: dict[str, list[str]]


def complement(sequence: str) -> str:
    return decode_bases(reverse_complement(encode_bases(sequence)))


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> Planted:
    """Windows stand 300 bp apart, every third on the other strand, whatever the block's split."""
    folder = tmp_path_factory.mktemp("planted")
    generator = np.random.default_rng(5)
    text = "".join(generator.choice(list("ACGT"), size=60_000))
    windows = {"train": [], "validation": [], "test": []}
    lines = ["id,sequence,label,split"]
    for number in range(200):
        window = "".join(generator.choice(list("ACGT"), size=WINDOW_BP))
        label = number % 2
        if label:
            window = window[:14] + MOTIF + window[14 + len(MOTIF) :]
        split = ("train", "train", "train", "validation", "test")[number // 2 % 5]
        windows[split].append(window)
        lines.append(f"w{number},{window},{label},{split}")
        start = 130 + 300 * number
        text = text[:start] + (window if number % 3 else complement(window)) + text[start + WINDOW_BP :]
    (folder / "small.fa").write_text(f">chromosome\n{text}\n")
    (folder / "windows.csv").write_text("\n".join(lines) + "\n")
    return Planted(folder / "small.fa", text, folder / "windows.csv", windows)


def make_recipe(planted: Planted, *overrides: str) -> Recipe:
    mapping = {
        "genomes": [str(planted.genome)],
        "data": str(planted.data),
        "tokenizer": "kmer_k3_s1",
        "corpus": {"block_bp": 2_000, "min_piece_bp": 100},
        "pretrain": {
            "tokens": 3_000,
            "evaluations": 2,
            "model": MODEL,
            "stream": {"lanes": 8, "bptt_tokens": 30},
            "loop": LOOP,
        },
        "adapt": {"epochs": 1, "batch_size": 16, "loop": LOOP},
        "finetune": TRAINING,
        "scratch": {**TRAINING, "model": MODEL},
    }
    return build_settings(Recipe, apply_overrides(mapping, overrides), where="test")


class Recorder(Reporter):
    """Keeps what it is told."""

    def __init__(self):
        self.notes, self.titles = [], []

    def note(self, text):
        self.notes.append(text)

    @contextmanager
    def task(self, title, *, total):
        self.titles.append(title)
        yield Task()


class Finished(NamedTuple):
    recipe: Recipe
    output: Path
    result: PipelineResult
    recorder: Recorder


@pytest.fixture(scope="module")
def finished(planted, tmp_path_factory) -> Finished:
    output = tmp_path_factory.mktemp("finished") / "run"
    recipe, recorder = make_recipe(planted), Recorder()
    return Finished(recipe, output, run_pipeline(recipe, output, reporter=recorder), recorder)


def list_names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def read_tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_run_folder_holds_exactly_the_stages_and_the_report(finished):
    assert list_names(finished.output) == {
        "corpus",
        "corpus.fingerprint.json",
        "markov.json",
        "controls.json",
        "data_audit.json",
        *STAGES,
        "model",
        "report.json",
        "report.md",
    }
    for stage in STAGES:
        assert list_names(finished.output / stage) == MODEL_FILES | {"training_log.jsonl", "loss_curve.png"}


def test_the_model_folder_is_the_chosen_classifier(finished):
    assert finished.result.model_folder == finished.output / "model"
    assert list_names(finished.result.model_folder) == MODEL_FILES
    folder_of = {
        "from scratch": "classifier-scratch",
        "genome LM": "classifier-genome-lm",
        "genome LM + domain LM": "classifier-domain-lm",
    }
    chosen = read_tree(finished.output / folder_of[finished.result.report.chosen])
    del chosen["training_log.jsonl"], chosen["loss_curve.png"]
    assert read_tree(finished.result.model_folder) == chosen


def test_the_report_holds_controls_and_networks_on_both_splits(finished):
    report = json.loads((finished.output / "report.json").read_text())
    assert report == json.loads(json.dumps(asdict(finished.result.report)))
    assert [row["is_control"] for row in report["classifiers"]] == [True] * 4 + [False] * 3
    assert [row["name"] for row in report["classifiers"][4:]] == [
        "from scratch",
        "genome LM",
        "genome LM + domain LM",
    ]
    assert report["num_test"] == 40
    for row in report["classifiers"]:
        for split in ("validation", "test"):
            assert row[split]["n"] == 40
            low, high = row[split]["ci95"]["mcc"]
            assert low <= row[split]["mcc"] <= high
    for row, stage in zip(report["classifiers"][4:], STAGES[2:], strict=True):
        metrics = json.loads((finished.output / stage / "metrics.json").read_text())
        assert (row["validation"], row["test"]) == (metrics["validation"], metrics["test"])
    assert report["language_models"][0]["name"].startswith("Markov model of order ")
    metrics = json.loads((finished.output / "genome-lm" / "metrics.json").read_text())
    assert report["language_models"][1] == {
        "name": "genome LM",
        "validation_bits_per_base": metrics["validation"]["bits_per_base"],
        "test_bits_per_base": metrics["test"]["bits_per_base"],
    }


def test_the_planted_motif_is_learned(finished):
    """A random split, so the figure is that of a motif at a fixed place: near 1."""
    report = finished.result.report
    assert report.find_chosen().test["mcc"] > 0.8
    assert report.find_best_control().test["mcc"] > 0.8


def test_the_chosen_network_is_the_best_on_validation(finished):
    networks = [row for row in finished.result.report.classifiers if not row.is_control]
    best = max(row.validation["auroc"] for row in networks)
    assert finished.result.report.find_chosen().validation["auroc"] == best


def test_the_markdown_report_has_a_line_for_every_row(finished):
    lines = (finished.output / "report.md").read_text().splitlines()
    assert len(lines) == 2 + 7 + 1 + 2 + 2
    report = finished.result.report
    chosen = report.find_chosen()
    assert [line for line in lines if " * |" in line] == [
        f"| {chosen.name} * | {chosen.test['accuracy']:.3f} | {chosen.test['mcc']:.3f} | "
        f"{chosen.test['ci95']['mcc'][0]:.3f} .. {chosen.test['ci95']['mcc'][1]:.3f} | "
        f"{chosen.test['auroc']:.3f} | {chosen.validation['auroc']:.3f} |"
    ]
    genome_lm = report.language_models[1]
    assert lines[-1] == (
        f"| genome LM | {genome_lm.test_bits_per_base:.3f} | {genome_lm.validation_bits_per_base:.3f} |"
    )


def test_each_stage_is_shown_once(finished):
    assert finished.recorder.titles == [
        "corpus",
        "data check",
        "Markov models",
        "genome LM",
        "domain LM",
        "controls",
        "classifier from scratch",
        "classifier on genome-lm",
        "classifier on domain-lm",
    ]


def test_a_second_run_redoes_nothing(finished):
    def read_times():
        paths = [path for stage in ("corpus", *STAGES) for path in (finished.output / stage).rglob("*")]
        paths += [finished.output / "markov.json", finished.output / "controls.json"]
        return {path: path.stat().st_mtime_ns for path in paths}

    before, times, recorder = read_tree(finished.output), read_times(), Recorder()
    result = run_pipeline(finished.recipe, finished.output, reporter=recorder)
    assert recorder.titles == []
    assert recorder.notes == []
    assert read_times() == times
    assert read_tree(finished.output) == before
    assert result.report.chosen == finished.result.report.chosen


def test_a_removed_stage_alone_is_redone_with_the_same_weights(finished, tmp_path):
    output = tmp_path / "run"
    shutil.copytree(finished.output, output)
    shutil.rmtree(output / "classifier-genome-lm")
    (output / "report.json").unlink()
    recorder = Recorder()
    run_pipeline(finished.recipe, output, reporter=recorder)
    assert recorder.titles == ["classifier on genome-lm"]
    for name in (
        "classifier-genome-lm/model.safetensors",
        "classifier-genome-lm/metrics.json",
        "report.json",
    ):
        assert (output / name).read_bytes() == (finished.output / name).read_bytes()


def test_no_held_out_window_is_in_the_training_corpus_on_either_strand(finished, planted):
    pieces = [
        decode_bases(codes) for codes in load_corpus_bases(finished.output / "corpus", "train").iter_pieces()
    ]
    both_strands = "|".join([*pieces, *map(complement, pieces)])
    genome = f"{planted.text}|{complement(planted.text)}"
    held_out = planted.windows["validation"] + planted.windows["test"]
    assert len(held_out) == 80
    assert all(window in genome for window in held_out)
    assert [window for window in held_out if window in both_strands] == []
    kept = [window for window in planted.windows["train"] if window in both_strands]
    assert len(kept) > 40  # the check can find a window, and the others stay


class KillAt(Reporter):
    """Kills its own process, as `kill -9` does, at a step, or before a stage's metrics are written."""

    def __init__(self, title: str, *, step: int | None, notes: Path):
        self.title, self.step, self.notes = title, step, notes

    def note(self, text):
        with open(self.notes, "a", encoding="utf-8") as file:
            file.write(text + "\n")

    @contextmanager
    def task(self, title, *, total):
        task = Task()
        if title == self.title:
            self._arm(task)
        yield task

    def _arm(self, task):
        if self.step == 0:
            _kill()
        elif self.step is None:
            genolm.training.persistence.run_folder.write_json = _kill
        else:
            task.update = lambda completed, text="": _kill() if completed == self.step else None


def _kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_run_killed_in_every_stage_ends_with_the_same_weights(finished, tmp_path):
    output, notes = tmp_path / "run", tmp_path / "notes"
    notes.touch()

    def run(title, **how):
        process = CONTEXT.Process(
            target=run_pipeline,
            args=(finished.recipe, output),
            kwargs={"reporter": KillAt(title, notes=notes, **how)},
        )
        process.start()
        process.join(timeout=60)
        return process.exitcode

    assert run("corpus", step=0) == -signal.SIGKILL
    assert list_names(output) == {"corpus.fingerprint.json"}
    kills = [
        ("genome-lm", "genome LM"),
        ("domain-lm", "domain LM"),
        ("classifier-scratch", "classifier from scratch"),
        ("classifier-genome-lm", "classifier on genome-lm"),
        ("classifier-domain-lm", "classifier on domain-lm"),
    ]
    for stage, title in kills:
        assert run(title, step=3) == -signal.SIGKILL
        assert "checkpoint-2" in list_names(output / stage)
        assert "metrics.json" not in list_names(output / stage)
    assert (
        run("classifier on domain-lm", step=None) == -signal.SIGKILL
    )  # the model is in place, its metrics are not
    left = list_names(output / "classifier-domain-lm")
    assert "model.safetensors" in left
    assert any(name.startswith("best-") for name in left)
    assert "metrics.json" not in list_names(output / "classifier-domain-lm")
    assert run("none", step=None) == 0

    resumed = [line for line in notes.read_text().splitlines() if "going on from step" in line]
    assert [line.split(": ")[1].split(" of ")[0] for line in resumed[:5]] == ["going on from step 2"] * 5
    assert len(resumed) == 6
    for folder in (*STAGES, "model"):
        assert list_names(output / folder) == list_names(finished.output / folder)
        for name in ("model.safetensors", "metrics.json", "run_config.json"):
            assert (output / folder / name).read_bytes() == (finished.output / folder / name).read_bytes()
    assert (output / "report.json").read_bytes() == (finished.output / "report.json").read_bytes()


def make_row(name: str, *, validation: float, test: float, is_control: bool = False) -> ClassifierRow:
    return ClassifierRow(
        name=name, is_control=is_control, validation={"auroc": validation, "mcc": 0.1}, test={"auroc": test}
    )


def test_the_test_split_has_no_say_in_the_choice():
    rows = [
        make_row("control", validation=0.99, test=0.99, is_control=True),
        make_row("a", validation=0.5, test=0.9),
        make_row("b", validation=0.6, test=0.1),
        make_row("c", validation=0.4, test=0.95),
    ]
    assert choose_network(rows) == choose_network(rows[::-1]) == "b"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["seed=1"], r"another run in .*genome-lm \(settings\.seed was 0, is now 1\)"),
        (["corpus.block_bp=3000"], "another corpus in .*corpus; expected the one of this recipe"),
        (["adapt.epochs=2"], r"another run in .*domain-lm \(settings\.epochs was 1, is now 2\)"),
    ],
)
def test_the_folder_of_another_recipe_is_refused_and_left_as_it_is(finished, planted, overrides, message):
    before = read_tree(finished.output)
    with pytest.raises(RunFolderError, match=message):
        run_pipeline(make_recipe(planted, *overrides), finished.output)
    assert read_tree(finished.output) == before


def test_the_folder_of_other_data_is_refused_and_left_as_it_is(finished, planted, tmp_path):
    lines = planted.data.read_text().splitlines()
    (tmp_path / "fewer.csv").write_text("\n".join(lines[:-1]) + "\n")
    (tmp_path / "other.fa").write_text(f">chromosome\n{planted.text}A\n")
    before = read_tree(finished.output)
    for changes in ({"data": str(tmp_path / "fewer.csv")}, {"genomes": (str(tmp_path / "other.fa"),)}):
        with pytest.raises(RunFolderError, match="another corpus in"):
            run_pipeline(replace(finished.recipe, **changes), finished.output)
    assert read_tree(finished.output) == before


def test_a_folder_with_foreign_files_is_refused_and_left_as_it_is(planted, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(
        RunFolderError, match="with files of another origin; expected an empty or new output folder"
    ):
        run_pipeline(make_recipe(planted), tmp_path)
    assert read_tree(tmp_path) == {"thesis.txt": b"mine"}


def test_a_missing_split_is_named(planted, tmp_path):
    data = tmp_path / "data.csv"
    data.write_text(planted.data.read_text().replace(",validation", ",train"))
    with pytest.raises(
        DataError, match=r"no validation sequence in .*data.csv; expected train, validation and test"
    ):
        run_pipeline(replace(make_recipe(planted), data=str(data)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_window_shorter_than_a_token_is_named(planted, tmp_path):
    data = tmp_path / "data.csv"
    data.write_text(planted.data.read_text() + "short,AC,0,train\n")
    with pytest.raises(
        DataError, match=r"a sequence of 2 bp at line 202 of data.csv; expected at least 3 bp"
    ):
        run_pipeline(replace(make_recipe(planted), data=str(data)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_data_without_splits_are_split_at_random_and_the_user_is_told(planted, tmp_path):
    """The run ends at the foreign file, before anything is trained."""
    rows = [line.rsplit(",", 1)[0] for line in planted.data.read_text().splitlines()]
    (tmp_path / "data.csv").write_text("\n".join(rows) + "\n")
    recorder = Recorder()
    with pytest.raises(RunFolderError, match="files of another origin"):
        run_pipeline(
            replace(make_recipe(planted), data=str(tmp_path / "data.csv")), tmp_path, reporter=recorder
        )
    assert len(recorder.notes) == 1
    assert (
        "split at random, which leaks when near-identical sequences land on both sides" in recorder.notes[0]
    )


def test_the_networks_to_compare_must_have_one_size(planted):
    with pytest.raises(
        SettingsError, match=r"scratch.model and pretrain.model that differ .*give both the same size"
    ):
        make_recipe(planted, "scratch.model.lstm_size=32")


def test_an_unusable_tokenizer_is_a_problem_of_the_recipe(planted):
    with pytest.raises(
        SettingsError, match="found the scheme name 'kmer_3' in test; expected kmer_k<k>_s<stride>"
    ):
        make_recipe(planted, "tokenizer=kmer_3")


def test_a_recipe_file_is_read_with_overrides(planted, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("genomes: [g.fa, h.fa]\ndata: d.csv\ntokenizer: kmer_k4_s2\n")
    recipe = load_recipe(str(path), overrides=["seed=3", "pretrain.stream.lanes=2"])
    assert (recipe.genomes, recipe.data, recipe.tokenizer) == (("g.fa", "h.fa"), "d.csv", "kmer_k4_s2")
    assert (recipe.seed, recipe.pretrain.stream.lanes) == (3, 2)


def test_a_recipe_written_out_and_read_back_is_the_same():
    for name in list_recipes():
        recipe = load_recipe(name)
        assert build_settings(Recipe, json.loads(json.dumps(asdict(recipe))), where="copy") == recipe


def test_a_name_that_is_no_recipe_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"found the recipe 'quickstar'; expected one of .*quickstart"):
        load_recipe("quickstar")
    with pytest.raises(SettingsError, match=r"found no file .*none.yaml; expected a YAML recipe"):
        load_recipe(str(tmp_path / "none.yaml"))
    (tmp_path / "bad.yaml").write_text("genomes: []\ndata: d\ntokenizer: kmer_k3_s1\npretrain: {token: 5}\n")
    with pytest.raises(
        SettingsError, match=r"unknown setting pretrain\.token in bad.yaml; .*write pretrain\.tokens"
    ):
        load_recipe(str(tmp_path / "bad.yaml"))


@pytest.mark.parametrize("overrides", [["tokenizer=kmer_k4_s1"], ["pretrain.eval_window_bp=512"]])
def test_a_refused_run_leaves_the_markov_models_of_the_other(finished, planted, overrides):
    before = read_tree(finished.output)
    with pytest.raises(RunFolderError, match="another run in"):
        run_pipeline(make_recipe(planted, *overrides), finished.output)
    assert read_tree(finished.output) == before


def test_other_train_labels_leave_the_controls(finished, planted, tmp_path):
    text = planted.data.read_text()
    (tmp_path / "other.csv").write_text(re.sub(r"^(w0,[ACGT]+),0,", r"\1,1,", text, flags=re.MULTILINE))
    before = read_tree(finished.output)
    with pytest.raises(RunFolderError, match="another run in"):
        run_pipeline(replace(finished.recipe, data=str(tmp_path / "other.csv")), finished.output)
    assert read_tree(finished.output) == before


def test_the_left_over_of_a_kill_in_the_first_moment_is_no_foreign_file(planted, tmp_path):
    class Stop(Recorder):
        def task(self, title, *, total):
            raise KeyboardInterrupt(title)

    (tmp_path / ".tmp-corpus.fingerprint.json-0123abcd").touch()
    with pytest.raises(KeyboardInterrupt, match=r"^corpus$"):
        run_pipeline(make_recipe(planted), tmp_path, reporter=Stop())
