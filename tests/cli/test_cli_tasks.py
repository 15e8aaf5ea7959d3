"""`genolm predict` and `genolm evaluate` on models of each task, and the recipe of the GUE benchmark."""

import json
from dataclasses import replace

import numpy as np
import pytest
from small_masked_lms import DATA, SCHEME, SHORT, SMALL_DATA, save_pretrained
from test_cli_commands import Outcome, check_refused, run_cli

from genolm.corpus.labeled import LabeledData
from genolm.pipeline.recipe import load_recipe
from genolm.training.classifier import finetune

DATA_OF_SPLITS = replace(SMALL_DATA, splits=("train",) * 16 + ("validation",) * 8 + ("test",) * 10)
LABELS = {
    "regression": [str(text.count("T") / 4) for text in SMALL_DATA.sequences],
    "multi_label": [
        ";".join(["box"] * (text.count("TATAAT") > 0) + ["skew"] * (text.count("G") > text.count("C"))) or ";"
        for text in SMALL_DATA.sequences
    ],
    "token_classification": [
        "".join("." if letter in "AT" else "S" for letter in text) for text in SMALL_DATA.sequences
    ],
}
MONITORS = {"regression": "spearman", "multi_label": "auroc", "token_classification": "mcc"}


def set_labels(data: LabeledData, labels: list[str]) -> LabeledData:
    names = tuple(sorted(set(labels)))
    return replace(data, labels=np.array([names.index(label) for label in labels]), label_names=names)


@pytest.fixture(scope="module", params=LABELS)
def space(request, tmp_path_factory):
    """The task, a folder with `run` and `labels.csv`, and the metrics of the training."""
    folder = tmp_path_factory.mktemp(request.param)
    save_pretrained(folder)
    labels = LABELS[request.param]
    lines = [
        ",".join(row)
        for row in zip(
            DATA_OF_SPLITS.ids, DATA_OF_SPLITS.sequences, labels, DATA_OF_SPLITS.splits, strict=True
        )
    ]
    (folder / "labels.csv").write_text("\n".join(["id,sequence,label,split", *lines]) + "\n")
    settings = replace(SHORT, task=request.param, monitor=MONITORS[request.param])
    data = set_labels(DATA_OF_SPLITS, labels)
    metrics = finetune(data, folder / "run", settings=settings, pretrained=folder / "bert")
    return request.param, folder, metrics


def run_on(space, command: str, *words: object) -> Outcome:
    return run_cli(command, space[1] / "labels.csv", "--model", space[1] / "run", *words)


def test_predict_reads_the_task_from_the_model(space):
    task, _, _ = space
    outcome = run_on(space, "predict")
    assert outcome.code == 0, outcome.err
    header, *rows = (line.split("\t") for line in outcome.out.splitlines())
    assert [row[0] for row in rows] == list(DATA_OF_SPLITS.ids)
    if task == "regression":
        assert header == ["id", "value"]
        assert all(-20 < float(value) < 20 for _, value in rows)
    elif task == "multi_label":
        assert header == ["id", "labels", "p_box", "p_skew"]
        assert all(("box" in labels.split(";")) == (float(box) >= 0.5) for _, labels, box, _ in rows)
    else:
        assert header == ["id", "label"]
        assert [len(label) for _, label in rows] == [30] * len(rows)
        assert {letter for _, label in rows for letter in label} == {".", "S"}


def test_evaluate_gives_the_figures_of_the_training(space):
    outcome = run_on(space, "evaluate")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out) == json.loads(json.dumps(space[2]["test"]))
    assert json.loads(run_on(space, "evaluate", "--split", "train").out)["n"] == 16


def test_a_label_that_does_not_suit_the_task_is_one_line(space, tmp_path):
    text = (space[1] / "labels.csv").read_text().replace(",test", "x,test")
    (tmp_path / "bad.csv").write_text(text)
    message = {
        "regression": r"the label '[\d.]+x'; expected a number",
        "multi_label": "unknown label (box|skew)?x; expected sequences with the labels box, skew",
        "token_classification": "a label of 31 letters of record_24, a sequence of 30 bp",
    }[space[0]]
    check_refused(run_cli("evaluate", tmp_path / "bad.csv", "--model", space[1] / "run"), 3, message)


def test_gue_is_the_published_recipe():
    settings = load_recipe("gue").finetune
    phase = settings.phases[0]
    assert (settings.batch_size, settings.schedule, settings.warmup_steps) == (32, "linear", 50)
    assert (len(settings.phases), phase.epochs, phase.learning_rate, phase.trained_groups) == (1, 4, 3e-5, 0)
    assert settings == load_recipe("dnabert_k6_human").finetune


def test_gue_finetunes_any_model_on_any_data(tmp_path):
    save_pretrained(tmp_path)
    lines = [
        ",".join([sequence, DATA.label_names[label], split])
        for sequence, label, split in zip(DATA.sequences, DATA.labels, DATA.splits, strict=True)
        if split != "test"
    ]
    (tmp_path / "labels.csv").write_text("\n".join(["sequence,label,split", *lines]) + "\n")
    words = ["--data", tmp_path / "labels.csv", "--pretrained", tmp_path / "bert"]
    outcome = run_cli("finetune", "--recipe", "gue_debug", *words, "--output", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out.partition("\nmodel folder: ")[0])["steps"] == 5
    config = json.loads((tmp_path / "run" / "run_config.json").read_text())
    assert config["settings"]["tokenizer"] == SCHEME.name, "that of the model, not of the recipe"
    outcome = run_cli("run", "gue", "--output", tmp_path / "all")
    check_refused(outcome, 2, "a recipe without labeled sequences")
