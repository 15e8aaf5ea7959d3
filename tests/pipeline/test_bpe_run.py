"""A recipe whose tokenizer is a trained folder: BPE from the corpus to predictions, and what refuses it."""

import json
import re

import numpy as np
import pytest
import yaml
from processes import read_tree
from small_bpe import train_small_bpe
from test_masked_run import MASKED

from genolm.files import compute_sha256, read_json
from genolm.pipeline.recipe import load_recipe
from genolm.tokenization.scheme import KmerScheme
from genolm.tokenization.tokenizer_json import save_tokenizer


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return train_small_bpe(tmp_path_factory.mktemp("bpe"))


@pytest.fixture(scope="module")
def bpe_recipe(tiny_recipe, tokens, tmp_path_factory):
    recipe = yaml.safe_load(tiny_recipe.read_text())
    masked = {**MASKED, "mask": {"style": "tokens"}}
    del recipe["word2vec"]
    path = tmp_path_factory.mktemp("recipe") / "bpe.yaml"
    path.write_text(yaml.safe_dump({**recipe, "masked": masked, "tokenizer": str(tokens.folder)}))
    return path


def test_a_recipe_of_bpe_runs_to_a_report_and_its_model_predicts(run_cli, bpe_recipe, tokens, tmp_path):
    whole = run_cli("run", bpe_recipe)
    assert whole.code == 0, whole.err
    assert "no row AWD-LSTM from scratch: an AWD-LSTM takes k-mers, not bpe_40" in whole.err
    folder = tmp_path / "runs" / "bpe"
    report = read_json(folder / "report.json")
    names = [row["name"] for row in report["classifiers"] if not row["is_control"]]
    assert names == ["BERT from scratch", "masked LM"]
    masked_lm = report["language_models"][-1]["name"]
    assert masked_lm == "masked LM (sees both sides; compare within bpe_40 only)"
    checksum = compute_sha256(tokens.folder / "tokenizer.json")
    for part in ("masked-lm", "untrained-lm", "classifier-masked-lm", "classifier-untrained-lm", "model"):
        assert compute_sha256(folder / part / "tokenizer.json") == checksum
        assert read_json(folder / part / "run_config.json")["inputs"]["tokenizer"] == checksum
    before = read_tree(folder)
    again = run_cli("run", bpe_recipe)
    assert (again.code, again.out) == (0, whole.out)
    assert "done in" not in again.err
    assert read_tree(folder) == before

    alone = run_cli("finetune", "--start", "masked-lm", "--config", bpe_recipe)
    assert alone.code == 0, alone.err
    assert "done in" not in alone.err, "it is finished already"
    check_use(run_cli, load_recipe(str(bpe_recipe)).data, folder / "classifier-masked-lm")


def check_use(run_cli, data, model):
    evaluated = run_cli("evaluate", data, "--model", model)
    assert evaluated.code == 0, evaluated.err
    test = read_json(model / "metrics.json")["test"]
    assert json.loads(evaluated.out)["confusion"] == test["confusion"]
    predicted = run_cli("predict", data, "--model", model)
    assert predicted.code == 0, predicted.err
    assert len(predicted.out.splitlines()) == 61


def test_finetune_takes_a_bpe_model_and_a_sequence_of_one_base(run_cli, bpe_recipe, tiny_recipe, tmp_path):
    assert run_cli("finetune", "--start", "untrained-lm", "--config", bpe_recipe).code == 0
    lm = tmp_path / "runs" / "bpe" / "untrained-lm"
    rows = [
        f"{'ACGT'[n % 4] * (1 + 200 * (n == 5))},{n % 2},{split}"
        for split in ("train", "validation", "test")
        for n in range(8)
    ]
    (tmp_path / "short.csv").write_text("\n".join(["sequence,label,split", *rows]) + "\n")
    words = ("finetune", "--recipe", tiny_recipe, "--pretrained", lm, "--data", tmp_path / "short.csv")
    refused = run_cli(*words, "--output", tmp_path / "refused")
    assert refused.code == 3
    assert "tokens; expected at most 64 with [CLS] and [SEP]" in refused.err
    cut = run_cli(*words, "--output", tmp_path / "run", "--set", "finetune.long_inputs=windows")
    assert cut.code == 0, cut.err
    assert read_json(tmp_path / "run" / "run_config.json")["settings"]["tokenizer"] == "bpe_40"
    table = run_cli("predict", tmp_path / "short.csv", "--model", tmp_path / "run").out.splitlines()
    numbers = np.array([line.split("\t")[2:] for line in table[1:]], dtype=float)
    assert numbers.shape == (24, 2)
    np.testing.assert_allclose(numbers.sum(axis=1), 1, atol=1e-5)


def test_the_folder_of_a_kmer_tokenizer_is_its_scheme(tiny_recipe, tmp_path, run_cli):
    save_tokenizer(KmerScheme(k=2, stride=1), tmp_path / "mine")
    words = ("pretrain", "causal", "--config", tiny_recipe)
    one = run_cli(*words, "--tokenizer", tmp_path / "mine")
    assert one.code == 0, one.err
    same = run_cli(*words)
    assert (same.code, same.out) == (0, one.out)
    assert "done in" not in same.err, "the run is the same"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("pretrain", "causal"), "the tokenizer bpe_40 for a causal language model; expected k-mers"),
        (
            ("finetune", "--start", "scratch"),
            "the tokenizer bpe_40 for a network from random weights; expected k-mers",
        ),
        (
            ("run", "--set", "masked=null"),
            "the tokenizer bpe_40 for a recipe without masked: in bpe.yaml; expected k-mers",
        ),
        (
            ("run", "--set", "word2vec.size=8"),
            "the tokenizer bpe_40 for word2vec in bpe.yaml; expected k-mers",
        ),
        (
            ("run", "--set", "embeddings=vectors"),
            "the tokenizer bpe_40 for word2vec in bpe.yaml; expected k-mers",
        ),
        (("run", "--set", "masked.mask.style=base_spans"), "style base_spans with bpe_40.*set masked.mask"),
        (("run", "--set", "tokenizer=bpe_40"), "no tokenizer folder bpe_40 in bpe.yaml; expected a scheme"),
    ],
    ids=["causal", "scratch", "no masked", "word2vec", "vectors", "style", "name"],
)
def test_what_cannot_take_bpe_refuses_it_in_one_line(run_cli, bpe_recipe, tmp_path, words, message):

    where = (bpe_recipe,) if words[0] == "run" else ("--config", bpe_recipe)
    outcome = run_cli(words[0], *where, *words[1:]) if words[0] == "run" else run_cli(*words, *where)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert re.search(message, outcome.err)
    assert not list(tmp_path.iterdir())


def test_adaptation_refuses_a_bpe_model(run_cli, tiny_recipe, tokens, tmp_path):
    words = ("--pretrained", tokens.folder, "--output", tmp_path / "run", "--config", tiny_recipe)
    outcome = run_cli("adapt", *words)
    assert outcome.code == 4
    assert "no k-mer scheme but bpe_40 in" in outcome.err
    assert not list(tmp_path.iterdir())
