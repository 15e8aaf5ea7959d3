"""`genolm benchmark`, and the report of `genolm evaluate`."""

import json
import re
import shutil

import numpy as np
import pytest
from made_up_dna import make_dna
from sklearn.metrics import matthews_corrcoef
from test_cli_commands import check_refused, run_cli

from genolm.pipeline.benchmarking.settings import list_benchmarks

BENCHMARK = """
title: made up
groups: none
num_resamples: 50
models:
  - name: net
    tokenizer: nucleotide
    finetune:
      network: {architecture: deepbind, num_kernels: 8, kernel_width: 6}
      phases: [{epochs: 3, learning_rate: 0.02}]
      batch_size: 16
      loop: {precision: "no"}
"""
SPLITS = ("train",) * 6 + ("validation", "validation", "test", "test")


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    """A folder with data.csv, bench.yaml, the run `bench`, and what was printed."""
    folder = tmp_path_factory.mktemp("benchmark")
    lines = ["id,sequence,label,split"]
    for number in range(60):
        text = make_dna(28, seed=number) + ("TATAATTATAAT" if number % 2 else make_dna(12, seed=100 + number))
        lines.append(f"r{number},{text},{('no', 'yes')[number % 2]},{SPLITS[number // 2 % 10]}")
    (folder / "data.csv").write_text("\n".join(lines) + "\n")
    (folder / "bench.yaml").write_text(BENCHMARK)
    return folder, run_benchmark(folder, "--output", folder / "bench", "--seed", 3, "--seed", 4)


def run_benchmark(folder, *words):
    return run_cli("benchmark", folder / "bench.yaml", "--data", folder / "data.csv", *words)


def test_it_prints_the_table_and_writes_the_page(space):
    folder, outcome = space
    assert outcome.code == 0, outcome.err
    assert "made up (groups: none) (* chosen on validation)" in outcome.out
    assert re.search(r"net \* +.* \+- ", outcome.out)
    assert f"report: {folder / 'bench' / 'report.html'}" in outcome.out.replace("\n", "")
    assert "[2/2] groups none, net, repeat-0-fold-0-seed-4" in outcome.err
    metrics = json.loads((folder / "bench" / "metrics.json").read_text())
    assert metrics["settings"]["seeds"] == [3, 4]
    assert metrics["seeds"]["net"]["mcc"]["n"] == 2


def test_the_same_command_trains_nothing_again(space):
    folder, outcome = space
    again = run_benchmark(folder, "--output", folder / "bench", "--seed", 3, "--seed", 4)
    assert again.out == outcome.out
    assert "classifier from scratch" in outcome.err
    assert "classifier from scratch" not in again.err


def test_help_names_every_shipped_benchmark():
    text = " ".join(run_cli("benchmark", "--help").out.split())
    assert [name for name in list_benchmarks() if name not in text] == []


def test_bad_input_is_one_line(space):
    folder, _ = space
    outcome = run_cli("benchmark", "gue_prom_core_tata")
    assert outcome.code == 2
    assert outcome.err.startswith("error: found no data in the benchmark gue_prom_core_tata; ")
    assert outcome.err.endswith("name it with --data FILE\n")
    outcome = run_benchmark(folder, "--output", folder / "other", "--set", "protocl=folds")
    assert outcome.code == 2
    assert "write protocol" in outcome.err
    outcome = run_benchmark(folder, "--output", folder / "other", "--label-column", "kind")
    assert outcome.code == 3
    assert "a column named kind" in outcome.err
    assert not (folder / "other").exists()


def evaluate(folder, *words):
    model = folder / "bench" / "none" / "net" / "repeat-0-fold-0-seed-3"
    return run_cli("evaluate", folder / "data.csv", "--model", model, *words)


def test_evaluate_writes_a_report_and_prints_what_it_did(space, tmp_path):
    folder, _ = space
    plain = evaluate(folder)
    outcome = evaluate(folder, "--report", tmp_path / "page")
    assert outcome.code == 0, outcome.err
    assert outcome.out == plain.out
    metrics = json.loads((tmp_path / "page" / "metrics.json").read_text())
    name = "repeat-0-fold-0-seed-3 on data.csv"
    assert metrics["classifiers"][0]["test"] == json.loads(plain.out)
    assert [row["name"] for row in metrics["classifiers"]] == [name, f"{name}, threshold of validation"]
    assert metrics["figures"] == ["ROC curve", "Precision and recall", "Reliability"]
    assert set(metrics["calibrations"][name]) == {"temperature", "before", "after"}
    assert "<svg" in (tmp_path / "page" / "report.html").read_text()


def test_the_threshold_of_validation_is_that_of_the_kept_scores(space):
    folder, _ = space
    found = json.loads(evaluate(folder, "--threshold-from", "validation").out)
    kept = json.loads((folder / "bench/none/net/repeat-0-fold-0-seed-3.json").read_text())["value"]
    labels = {
        split: np.array([int(each[1:]) % 2 for each in kept[split]["ids"]])
        for split in ("validation", "test")
    }
    scores = {split: np.array(kept[split]["scores"]) for split in labels}
    edges = np.unique(scores["validation"])
    best = max(matthews_corrcoef(labels["validation"], scores["validation"] >= edge) for edge in edges)
    called = scores["validation"] >= found["threshold"]
    assert matthews_corrcoef(labels["validation"], called) == pytest.approx(best)
    assert found["mcc"] == pytest.approx(
        matthews_corrcoef(labels["test"], scores["test"] >= found["threshold"])
    )


def test_without_validation_records_the_report_has_no_threshold(space, tmp_path):
    folder, _ = space
    rows = [line for line in (folder / "data.csv").read_text().splitlines() if "validation" not in line]
    shutil.copytree(folder / "bench", tmp_path / "bench")
    (tmp_path / "data.csv").write_text("\n".join(rows) + "\n")
    assert evaluate(tmp_path, "--report", tmp_path / "page").code == 0
    metrics = json.loads((tmp_path / "page" / "metrics.json").read_text())
    assert (metrics["thresholds"], metrics["calibrations"], len(metrics["classifiers"])) == ({}, {}, 1)
    assert 0 <= metrics["data"]["calibration"]["expected_calibration_error"] <= 1
    check_refused(evaluate(tmp_path, "--threshold-from", "validation"), 2, "--threshold-from validation")


def test_evaluate_refuses_what_would_mislead(space):
    folder, _ = space
    model = folder / "bench" / "none" / "net" / "repeat-0-fold-0-seed-3"
    before = (model / "metrics.json").read_bytes()
    for words, text in (
        (("--threshold-from", "test"), "--threshold-from test for the metrics of test"),
        (("--threshold-from", "validation", "--split", "validation"), "for the metrics of validation"),
        (("--report", model), f"found a model in {model}"),
    ):
        check_refused(evaluate(folder, *words), 2, text)
    assert (model / "metrics.json").read_bytes() == before
