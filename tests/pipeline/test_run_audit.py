"""The audit that is made by itself before a classifier learns."""

import json

import pytest
import yaml


@pytest.fixture
def leaky_recipe(tiny_recipe, tmp_path):
    """The tiny recipe with data of which one test sequence is in train, too."""
    recipe = yaml.safe_load(tiny_recipe.read_text())
    lines = tiny_recipe.with_name("tiny.csv").read_text().splitlines()
    sequence, label, _ = lines[1].split(",")
    (tmp_path / "leaky.csv").write_text("\n".join([*lines, f"{sequence},{label},test"]) + "\n")
    recipe["data"] = str(tmp_path / "leaky.csv")
    (tmp_path / "leaky.yaml").write_text(yaml.safe_dump(recipe))
    return tmp_path / "leaky.yaml"


def list_findings(path) -> set[str]:
    return {finding["name"] for finding in json.loads(path.read_text())["findings"]}


def test_a_leak_is_told_before_the_training_and_kept_with_the_run(run_cli, leaky_recipe, tmp_path):
    outcome = run_cli("finetune", "--start", "scratch", "--recipe", leaky_recipe)
    assert outcome.code == 0, outcome.err
    told = "  leak in the data: the same sequence, or its reverse complement, is in two splits: 1 ("
    assert outcome.err.index(told) < outcome.err.index("classifier from scratch: done")
    assert "duplicates_across_splits" in list_findings(tmp_path / "runs/leaky/data_audit.json")
    again = run_cli("finetune", "--start", "scratch", "--recipe", leaky_recipe)
    assert again.err == ""


def test_without_a_leak_none_is_told(run_cli, tiny_recipe, tmp_path):
    outcome = run_cli(
        *("finetune", "--recipe", tiny_recipe, "--data", tiny_recipe.with_name("tiny.csv")),
        *("--output", tmp_path / "mine"),
    )
    assert outcome.code == 0, outcome.err
    assert "leak in the data" not in outcome.err
    assert "duplicates_across_splits" not in list_findings(tmp_path / "mine" / "data_audit.json")


def test_numbers_are_not_audited_which_is_said(run_cli, tiny_recipe, tmp_path):
    lines = tiny_recipe.with_name("tiny.csv").read_text().splitlines()
    rows = [line.split(",") for line in lines[1:]]
    table = [f"{sequence},{0.5 * number},{split}" for number, (sequence, _, split) in enumerate(rows)]
    (tmp_path / "numbers.csv").write_text("\n".join([lines[0], *table]) + "\n")
    outcome = run_cli(
        *("finetune", "--recipe", tiny_recipe, "--data", tmp_path / "numbers.csv"),
        *("--output", tmp_path / "mine", "--set", "scratch.task=regression"),
        *("--set", "scratch.monitor=spearman"),
    )
    assert outcome.code == 0, outcome.err
    assert "not audited for leaks: that is made for classes, not for the task regression" in outcome.err
    assert not (tmp_path / "mine" / "data_audit.json").exists()
    assert set(json.loads((tmp_path / "mine/metrics.json").read_text())["test"]) >= {"spearman", "mse"}
    assert "control: k-mers + positions" in outcome.out  # and the table is one of numbers
    assert "Spearman" in outcome.out
    kept = json.loads((tmp_path / "mine" / "controls.json").read_text())["value"]
    assert [row["description"].split(" on ")[0] for row in kept] == ["ridge regression"] * 4


def test_several_labels_have_controls_too(run_cli, tiny_recipe, tmp_path):
    lines = tiny_recipe.with_name("tiny.csv").read_text().splitlines()
    rows = [line.split(",") for line in lines[1:]]
    table = [
        f"{sequence},{label}{';at' if number % 3 else ''},{split}"
        for number, (sequence, label, split) in enumerate(rows)
    ]
    (tmp_path / "labels.csv").write_text("\n".join([lines[0], *table]) + "\n")
    outcome = run_cli(
        *("finetune", "--recipe", tiny_recipe, "--data", tmp_path / "labels.csv"),
        *("--output", tmp_path / "mine", "--set", "scratch.task=multi_label"),
        *("--set", "scratch.monitor=auroc"),
    )
    assert outcome.code == 0, outcome.err
    assert "mean AUROC of the labels" in outcome.out
    kept = json.loads((tmp_path / "mine" / "controls.json").read_text())["value"]
    assert [row["name"] for row in kept] == [
        "control: GC fraction",
        "control: k-mers",
        "control: positions",
        "control: k-mers + positions",
    ]
    metrics = json.loads((tmp_path / "mine" / "metrics.json").read_text())
    assert all(set(row["test"]["labels"]) == set(metrics["test"]["labels"]) for row in kept)
    assert all(len(row["test"]["ci95"]["auroc"]) == 2 for row in kept)
