"""What ULMFiT does on top of its three stages: both directions, and parts of the train split."""

import io
import json
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from genolm.cli import main
from genolm.corpus.labeled import LabeledData
from genolm.errors import SettingsError
from genolm.evaluation.report import (
    AblationReport,
    LearningCurveRow,
    build_learning_curve_table,
)
from genolm.inference.classify import classify_sequences, load_classifier
from genolm.metrics import compute_classification_metrics
from genolm.pipeline.bidirectional import evaluate_mean
from genolm.pipeline.labeled_data import read_recipe_data
from genolm.pipeline.learning_curve import build_learning_curve_figure, draw_train_share, plot_learning_curve
from genolm.pipeline.recipe import load_recipe, open_run
from genolm.pipeline.run import run_pipeline

OPTIONS = ["backward=true", "learning_curve=[1.0, 0.1, 0.3]"]
NETWORKS = ["from scratch", "genome LM", "genome LM + domain LM"]
CLASSIFIERS = ("classifier-scratch", "classifier-genome-lm", "classifier-domain-lm")


@pytest.fixture(scope="module")
def finished(tiny_recipe, tmp_path_factory) -> Path:
    """The folder of `genolm ulmfit` with both options."""
    output, printed = tmp_path_factory.mktemp("options") / "run", io.StringIO()
    tiny = load_recipe(str(tiny_recipe))
    words = ["ulmfit", "--genome", tiny.genomes[0], "--data", tiny.data, "--recipe", str(tiny_recipe)]
    words += ["--set", "word2vec=null", "--bidirectional", "--learning-curve", "--output", str(output)]
    with redirect_stdout(printed), pytest.raises(SystemExit, match=r"^0$"):
        main(words)
    assert "forward + backward" in printed.getvalue()
    assert "Learning curve" in printed.getvalue()
    return output


def read_report(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


def read_rows(folder: Path, part: str = "classifiers") -> dict[str, dict]:
    return {row["name"]: row for row in read_report(folder)[part]}


def test_the_backward_flow_adds_its_rows_and_leaves_the_others(finished, run_alone):
    plain, _ = run_alone
    rows, before = read_rows(finished), read_rows(plain)
    added = ["genome LM, backward", "genome LM + domain LM, backward", "forward + backward"]
    assert list(rows) == [name for name in before if "word2vec" not in name] + added
    assert all(rows[name] == before[name] for name in rows if name in before)
    for stage in ("genome-lm", "domain-lm", *CLASSIFIERS):
        mine, other = (load_file(each / stage / "model.safetensors") for each in (finished, plain))
        assert all(tensor.equal(other[name]) for name, tensor in mine.items()), stage
    language_models = read_rows(finished, "language_models")
    assert list(language_models) == [*read_rows(plain, "language_models"), "genome LM, backward"]
    metrics = json.loads((finished / "backward" / "genome-lm" / "metrics.json").read_text())
    row = language_models["genome LM, backward"]
    assert row["test_bits_per_base"] == metrics["test"]["bits_per_base"]


def test_every_stage_of_the_backward_flow_reads_backward(finished):
    for stage in ("genome-lm", "domain-lm", *CLASSIFIERS[1:]):
        assert (
            json.loads((finished / "backward" / stage / "config.json").read_text())["direction"] == "backward"
        )
        assert json.loads((finished / stage / "config.json").read_text())["direction"] == "forward"
    assert not (finished / "backward" / "corpus").exists(), "it is the forward run's"


def test_the_ensemble_is_the_mean_of_the_probabilities_and_is_never_published(finished, tiny_recipe):
    data = read_recipe_data(open_run(load_recipe(str(tiny_recipe)), name="tiny")).select("test")
    folders = [finished / "classifier-domain-lm", finished / "backward" / "classifier-domain-lm"]
    outputs = [classify_sequences(load_classifier(folder), data.sequences) for folder in folders]
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-3, "the directions must differ"
    expected = compute_classification_metrics(data.labels, (outputs[0] + outputs[1])[:, 1] / 2)
    found = read_rows(finished)["forward + backward"]["test"]
    for name in ("accuracy", "mcc", "auroc"):
        assert found[name] == pytest.approx(expected[name])
    assert read_report(finished)["chosen"] != "forward + backward"


def test_the_mean_of_a_classifier_with_itself_is_that_classifier(finished, tiny_recipe, tmp_path):
    data = read_recipe_data(open_run(load_recipe(str(tiny_recipe)), name="tiny"))
    folder = finished / "classifier-scratch"
    metrics = json.loads((folder / "metrics.json").read_text())
    found = evaluate_mean([folder, folder], data, tmp_path / "mean.json")
    assert found["test"]["mcc"] == pytest.approx(metrics["test"]["mcc"])
    (tmp_path / "mean.json").write_text(json.dumps({**found, "test": "kept"}))
    assert evaluate_mean([folder, folder], data, tmp_path / "mean.json")["test"] == "kept"
    assert evaluate_mean([folder], data, tmp_path / "mean.json")["test"] != "kept", "other classifiers"


def test_the_learning_curve_has_each_network_on_each_share(finished):
    points = read_report(finished)["learning_curve"]
    assert [(row["name"], row["num_train"]) for row in points] == [
        *((name, 4) for name in NETWORKS),
        *((name, 12) for name in NETWORKS),
        *((name, 36) for name in NETWORKS),
    ]
    whole = read_rows(finished)
    assert all(row["test"] == whole[row["name"]]["test"] for row in points[6:])
    assert {path.name for path in (finished / "learning-curve").iterdir()} == {
        f"{c}-{share}" for c in CLASSIFIERS for share in (0.1, 0.3)
    }
    assert all(row["test"]["n"] == 12 for row in points), "the same test split"
    assert (finished / "learning_curve.png").read_bytes()[:4] == b"\x89PNG"
    assert (
        "| train sequences, test MCC | from scratch | genome LM | genome LM + domain LM |"
        in (finished / "report.md").read_text()
    )


def test_a_finished_run_is_reused(finished, tiny_recipe):
    def list_times() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in finished.rglob("model.safetensors")}

    before = {path: when for path, when in list_times().items() if path.parent.name != "model"}
    result = run_pipeline(load_recipe(str(tiny_recipe), overrides=["word2vec=null", *OPTIONS]), finished)
    assert json.loads(json.dumps(asdict(result.report))) == read_report(finished)
    assert before.items() <= list_times().items()


def make_data() -> LabeledData:
    labels = np.array([0] * 70 + [1] * 33 + [0] * 5 + [1] * 5)
    splits = ("train",) * 103 + ("validation",) * 5 + ("test",) * 5
    texts = [f"ACGT{'ACGT'[i % 4]}" for i in range(113)]
    ids = tuple(f"r{i}" for i in range(113))
    return LabeledData(sequences=texts, labels=labels, label_names=("a", "b"), splits=splits, ids=ids)


@pytest.mark.parametrize(
    ("share", "counts"), [(0.1, [7, 4]), (0.3, [21, 10]), (0.001, [1, 1]), (1.0, [70, 33])]
)
def test_a_share_is_taken_of_every_class_and_held_out_splits_stay(share, counts):
    data = make_data()
    part = draw_train_share(data, share, seed=0)
    assert np.bincount(part.select("train").labels).tolist() == counts
    for split in ("validation", "test"):
        assert part.select(split).ids == data.select(split).ids
    place = {name: index for index, name in enumerate(data.ids)}
    for name, text, label in zip(part.ids, part.sequences, part.labels, strict=True):
        assert (text, label) == (data.sequences[place[name]], data.labels[place[name]])


def test_a_larger_share_holds_the_smaller_one_and_the_seed_decides():
    ids = [set(draw_train_share(make_data(), share, seed=0).ids) for share in (0.1, 0.3, 0.7)]
    assert ids[0] < ids[1] < ids[2]
    assert set(draw_train_share(make_data(), 0.3, seed=1).ids) != ids[1]


def make_point(name: str, num_train: int, mcc: float) -> LearningCurveRow:
    test = {"mcc": mcc, "ci95": {"mcc": [mcc - 0.1, mcc + 0.05]}}
    return LearningCurveRow(name=name, num_train=num_train, validation={}, test=test)


POINTS = (
    make_point("genome LM", 1200, 0.8),
    make_point("from scratch", 1200, 0.5),
    make_point("genome LM", 90, 0.6),
)


def test_the_table_of_the_learning_curve():
    report = AblationReport(classifiers=(), language_models=(), chosen="", num_test=1, learning_curve=POINTS)
    assert build_learning_curve_table(report) == [
        ("train sequences, test MCC", "genome LM", "from scratch"),
        ("90", "0.600 (0.500 .. 0.650)", "-"),
        ("1,200", "0.800 (0.700 .. 0.850)", "0.500 (0.400 .. 0.550)"),
    ]


def test_the_figure_of_the_learning_curve(tmp_path):
    axes = build_learning_curve_figure(POINTS).axes[0]
    handles, names = axes.get_legend_handles_labels()
    assert names == ["genome LM", "from scratch"]
    drawn = handles[0].lines[0]
    assert (drawn.get_xdata().tolist(), drawn.get_ydata().tolist()) == ([90, 1200], [0.6, 0.8])
    bars = handles[0].lines[2][0].get_segments()
    np.testing.assert_allclose(bars[0], [[90, 0.5], [90, 0.65]])
    plot_learning_curve(POINTS, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 1_000


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["learning_curve=[0.5, 1.5]"], r"learning_curve \[0.5, 1.5\] in tiny.yaml; expected shares"),
        (["learning_curve=[0]"], r"learning_curve \[0.*\] in tiny.yaml; expected shares"),
        (
            ["backward=true", "pretrain.model.direction=backward", "scratch.model.direction=backward"],
            "backward: true and networks of the direction backward",
        ),
        (["pretrain.model.direction=backward"], "scratch.model and pretrain.model that differ"),
    ],
    ids=["above-1", "zero", "both-backward", "one-backward"],
)
def test_what_makes_no_sense_is_refused(tiny_recipe, overrides, message):
    with pytest.raises(SettingsError, match=message):
        load_recipe(str(tiny_recipe), overrides=overrides)


def test_a_masked_language_model_has_neither():
    with pytest.raises(SettingsError, match="backward with a masked language model"):
        load_recipe("dnabert_debug", overrides=["backward=true"])
    with pytest.raises(SettingsError, match="learning_curve with a masked language model"):
        load_recipe("dnabert_debug", overrides=["learning_curve=[0.5]"])


def test_the_human_recipe_has_the_settings_of_the_original():
    recipe = load_recipe("ulmfit_human_promoters")
    model = recipe.pretrain.model
    assert (recipe.genomes, recipe.tokenizer) == (("ucsc:hg38",), "kmer_k5_s2")
    assert (model.embedding_size, model.lstm_size, model.num_layers) == (400, 1150, 3)
    assert (recipe.pretrain.stream.bptt_tokens, recipe.pretrain.stream.both_strands) == (70, False)
    assert recipe.scratch.model == model
    for stage in (recipe.pretrain, recipe.adapt, recipe.finetune, recipe.scratch):
        assert (stage.loop.weight_decay, stage.loop.adam_beta2) == (0.01, 0.99)
    lm, classifier = recipe.pretrain.dropout, recipe.finetune.dropout
    assert (lm.embedding, lm.weight, lm.hidden, lm.output) == (0.02, 0.15, 0.1, 0.25)
    assert (classifier.embedding, classifier.weight, classifier.hidden) == (0.1, 0.5, 0.2)
    assert (recipe.finetune.head.size, recipe.finetune.head.norm) == (50, "batch")
    assert recipe.scratch.dropout.multiplier < recipe.finetune.dropout.multiplier


def test_the_human_recipe_has_a_small_twin_on_the_embedded_genome():
    recipe, twin = load_recipe("ulmfit_human_promoters"), load_recipe("ulmfit_human_promoters_debug")
    assert twin.genomes == ("builtin:ecoli_k12_mg1655",)
    assert twin.data == "builtin:ecoli_promoters"
    assert (twin.tokenizer, twin.finetune.head) == (recipe.tokenizer, recipe.finetune.head)
    assert twin.finetune.dropout == recipe.finetune.dropout
    assert twin.pretrain.model.num_layers == recipe.pretrain.model.num_layers
    assert twin.pretrain.tokens <= recipe.pretrain.tokens / 1_000


def test_the_small_twins_settings_run(tiny_recipe, tmp_path):
    """On the tiny genome; on the embedded one its controls alone take seconds."""
    twin, tiny = load_recipe("ulmfit_human_promoters_debug"), load_recipe(str(tiny_recipe))
    places = [f"genomes={json.dumps(tiny.genomes)}", f"data={tiny.data}", "corpus.block_bp=2000"]
    small = ["corpus.min_piece_bp=100", "pretrain.tokens=3000", "pretrain.eval_window_bp=200"]
    recipe = load_recipe("ulmfit_human_promoters_debug", overrides=[*places, *small])
    assert recipe.finetune == twin.finetune
    result = run_pipeline(recipe, tmp_path / "run")
    config = json.loads((result.model_folder / "config.json").read_text())
    assert (config["classifier_norm"], config["kmer_k"], config["kmer_stride"]) == ("batch", 5, 2)
    assert [row.name for row in result.report.classifiers if not row.is_control] == NETWORKS
