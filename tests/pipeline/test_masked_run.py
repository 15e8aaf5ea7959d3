"""A masked language model in a recipe: pretrained, fine-tuned, reported."""

import json
import re

import pytest
import yaml
from processes import read_tree
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

from genolm.corpus.bases import load_corpus_bases
from genolm.evaluation.two_sided import TwoSidedModel, compute_two_sided_bits, fit_two_sided
from genolm.files import read_json
from genolm.models.bert import BertSettings, build_masked_lm
from genolm.pipeline.recipe import Recipe
from genolm.pipeline.stages import list_starts
from genolm.tokenization.scheme import KmerScheme
from genolm.training.lm_score import cut_windows
from genolm.training.masked_lm import PretrainMaskedSettings

MASKED = {
    "steps": 8,
    "batch_size": 4,
    "learning_rate": 0.001,
    "warmup_steps": 2,
    "evaluations": 1,
    "eval_max_bp": 500,
    "model": {"size": "debug", "max_tokens": 64},
    "windows": {"kind": "random", "length_bp": 40},
    "loop": {"checkpoint_every_steps": 4, "log_every_steps": 2},
}


@pytest.fixture(scope="module")
def masked_recipe(tiny_recipe, tmp_path_factory):
    recipe = {**yaml.safe_load(tiny_recipe.read_text()), "masked": MASKED}
    del recipe["word2vec"]
    path = tmp_path_factory.mktemp("masked") / "masked.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def test_a_recipe_with_a_masked_language_model_runs_to_a_report(run_cli, masked_recipe, tmp_path):
    outcome = run_cli("pretrain", "masked", "--config", masked_recipe)
    assert outcome.code == 0, outcome.err
    folder = tmp_path / "runs" / "masked"
    metrics = read_json(folder / "masked-lm" / "metrics.json")
    assert json.loads(outcome.out.partition("model folder")[0]) == metrics
    assert 1.8 < metrics["test"]["bits_per_base"] < 2.3
    AutoModelForMaskedLM.from_pretrained(folder / "masked-lm")

    whole = run_cli("run", masked_recipe)
    assert whole.code == 0, whole.err
    titles = re.findall(r"^  (.+): done in ", whole.err, re.MULTILINE)
    assert titles == [
        "data check",
        "Markov models",
        "counts of both sides",
        "controls",
        "classifier from scratch",
        "classifier on untrained-lm",
        "classifier on masked-lm",
    ]
    report = read_json(folder / "report.json")
    check_language_models(folder, report["language_models"], metrics)
    networks = [row for row in report["classifiers"] if not row["is_control"]]
    assert [row["name"] for row in networks] == ["AWD-LSTM from scratch", "BERT from scratch", "masked LM"]
    untrained, pretrained = (folder / f"classifier-{start}" for start in ("untrained-lm", "masked-lm"))
    for row, path in zip(networks[1:], (untrained, pretrained), strict=True):
        scores = read_json(path / "metrics.json")
        assert (row["validation"], row["test"]) == (scores["validation"], scores["test"])
    one, other = (read_json(path / "run_config.json") for path in (untrained, pretrained))
    assert one["settings"] == other["settings"]
    assert one["inputs"]["data"] == other["inputs"]["data"]
    assert one["inputs"]["pretrained"] != other["inputs"]["pretrained"]
    model = AutoModelForSequenceClassification.from_pretrained(folder / "classifier-masked-lm")
    assert type(model).__name__ == "BertForSequenceClassification"

    alone = run_cli("finetune", "--start", "masked-lm", "--config", masked_recipe)
    assert alone.code == 0, alone.err
    assert "done in" not in alone.err, "it is finished already"
    before = read_tree(folder)
    again = run_cli("run", masked_recipe)
    assert (again.code, again.out) == (0, whole.out)
    assert "done in" not in again.err
    assert read_tree(folder) == before


def check_language_models(folder, rows, metrics):
    """The floors first, on the windows of the masked language model."""
    counts = read_json(folder / "two-sided.json")["value"]
    assert [row["name"] for row in rows] == [
        f"Markov model of order {read_json(folder / 'markov.json')['value']['order']}",
        f"counts of both sides (m = {counts['half_bp']})",
        "masked LM (sees both sides)",
    ]
    for split in ("validation", "test"):
        windows = cut_windows(load_corpus_bases(folder / "corpus", split), window_bp=40, min_bp=13)
        train = load_corpus_bases(folder / "corpus", "train").iter_pieces()
        levels = fit_two_sided(train, half_bp=6).counts[: counts["half_bp"] + 1]
        model = TwoSidedModel(levels, counts["strengths"])
        expected = compute_two_sided_bits(model, windows).bits_per_base
        assert rows[1][f"{split}_bits_per_base"] == pytest.approx(expected)
        assert rows[2][f"{split}_bits_per_base"] == metrics[split]["bits_per_base"]


def test_the_untrained_model_alone_is_what_the_pretraining_begins_with(run_cli, masked_recipe, tmp_path):
    words = ("finetune", "--start", "untrained-lm", "--config", masked_recipe, "--set")
    outcome = run_cli(*words, "masked.model.architecture=modernbert")
    assert outcome.code == 0, outcome.err
    titles = re.findall(r"^  (.+): done in ", outcome.err, re.MULTILINE)
    assert titles == ["data check", "classifier on untrained-lm", "controls"]
    folder = tmp_path / "runs" / "masked"
    model = AutoModelForMaskedLM.from_pretrained(folder / "untrained-lm")
    settings = BertSettings(architecture="modernbert", size="debug", max_tokens=64)
    expected = build_masked_lm(KmerScheme.parse("kmer_k2_s1"), settings, seed=0).state_dict()
    assert model.state_dict().keys() == expected.keys()
    for name, weights in model.state_dict().items():
        assert weights.equal(expected[name]), name

    outcome = run_cli(*words, "masked.model.architecture=bert")
    assert outcome.code == 4
    assert (
        "another run in runs/masked/untrained-lm (settings.model.architecture was modernbert" in outcome.err
    )


@pytest.mark.parametrize(
    ("masked", "starts"),
    [
        (
            None,
            {
                "scratch": "from scratch",
                "word2vec": "word2vec",
                "genome-lm": "genome LM",
                "domain-lm": "genome LM + domain LM",
            },
        ),
        (
            PretrainMaskedSettings(model=BertSettings(architecture="modernbert")),
            {
                "scratch": "AWD-LSTM from scratch",
                "word2vec": "word2vec",
                "untrained-lm": "ModernBERT from scratch",
                "masked-lm": "masked LM",
            },
        ),
    ],
    ids=["causal", "masked"],
)
def test_the_rows_of_a_recipe_are_in_order_and_say_which_network_they_are(masked, starts):
    recipe = Recipe(genomes=("none.fa",), tokenizer="kmer_k3_s1", masked=masked)
    assert list(list_starts(recipe).items()) == list(starts.items())


def test_what_is_missing_is_one_line(run_cli, tiny_recipe, masked_recipe, tmp_path):
    outcome = run_cli("finetune", "--start", "untrained-lm", "--config", tiny_recipe)
    assert outcome.code == 2
    assert "found no masked language model in the recipe" in outcome.err.splitlines()[-1]
    assert read_tree(tmp_path) == {}
    outcome = run_cli("pretrain", "masked", "--config", tiny_recipe)
    assert outcome.code == 2
    assert "found no masked language model in the recipe" in outcome.err.splitlines()[-1]
    outcome = run_cli("finetune", "--start", "masked-lm", "--config", masked_recipe)
    assert outcome.code == 4
    assert "first run genolm pretrain masked --recipe" in outcome.err.splitlines()[-1]
    recipe = yaml.safe_load(masked_recipe.read_text())
    del recipe["data"]
    (tmp_path / "unlabeled.yaml").write_text(yaml.safe_dump(recipe))
    outcome = run_cli("run", "unlabeled.yaml")
    assert outcome.code == 2
    assert "add data: to the recipe, or run genolm pretrain masked, which needs none" in outcome.err
    outcome = run_cli("pretrain", "masked", "--config", "unlabeled.yaml")
    assert outcome.code == 0, outcome.err
