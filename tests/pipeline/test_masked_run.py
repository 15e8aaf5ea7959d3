"""A masked language model in a recipe: pretrained, fine-tuned, reported."""

import json
import re

import pytest
import yaml
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

from genolm.files import read_json

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
    assert titles == ["Markov models", "controls", "classifier from scratch", "classifier on masked-lm"]
    report = read_json(folder / "report.json")
    assert [row["name"] for row in report["language_models"]][1] == "masked LM (sees both sides)"
    assert [row["name"] for row in report["classifiers"] if not row["is_control"]] == [
        "AWD-LSTM from scratch",
        "masked LM",
    ]
    model = AutoModelForSequenceClassification.from_pretrained(folder / "classifier-masked-lm")
    assert type(model).__name__ == "BertForSequenceClassification"

    alone = run_cli("finetune", "--start", "masked-lm", "--config", masked_recipe)
    assert alone.code == 0, alone.err
    assert "done in" not in alone.err, "it is finished already"


def test_what_is_missing_is_one_line(run_cli, tiny_recipe, masked_recipe, tmp_path):
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
