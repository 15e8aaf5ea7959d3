"""The pipelines of transformers on finished folders, in a process where genolm cannot be imported."""

import json

import numpy as np
import pytest
from small_models import save_small_model

from genolm.inference.classification import classify
from genolm.inference.embed import embed

SEQUENCES = ["ACGTACGTAC", "GGGTTTAAACCCG"]
FAMILIES = ("bert", "modernbert", "awd_lstm")

RUN_PIPELINES = """
import json, sys
sys.modules["genolm"] = None
from transformers import pipeline
folders, sequences = json.loads(sys.stdin.read())
answers = {}
for name, folder in folders.items():
    trusted = {"trust_remote_code": True} if "lstm" in name else {}
    answers[name + " features"] = pipeline("feature-extraction", folder, **trusted)(sequences)
    if name.endswith("_classifier"):
        classify = pipeline("text-classification", folder, top_k=None, **trusted)
        answers[name] = [{each["label"]: each["score"] for each in row} for row in classify(sequences)]
    elif not trusted:
        fill = pipeline("fill-mask", folder, top_k=69)
        answers[name] = {each["token_str"]: each["score"] for each in fill("ACG[MASK]ACG")}
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory, run_plain):
    """What the pipelines say, by the name of the model, and the folders."""
    root = tmp_path_factory.mktemp("pipelines")
    names = [f"{family}_{kind}" for family in FAMILIES for kind in ("lm", "classifier")]
    folders = {name: str(save_small_model(root / name, name)) for name in names}
    return json.loads(run_plain(RUN_PIPELINES, text=json.dumps([folders, SEQUENCES]))), folders


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["lm", "classifier"])
def test_feature_extraction_gives_the_vectors_of_genolm(answers, family, kind):
    said, folders = answers
    expected = embed(folders[f"{family}_{kind}"], SEQUENCES, pooling="tokens")
    for found, vectors in zip(said[f"{family}_{kind} features"], expected, strict=True):
        np.testing.assert_allclose(np.array(found[0])[1:-1], vectors, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_text_classification_gives_the_probabilities_of_genolm(answers, family):
    said, folders = answers
    expected = classify(folders[f"{family}_classifier"], SEQUENCES).probabilities
    found = [[row[name] for name in ("other", "promoter")] for row in said[f"{family}_classifier"]]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_fill_mask_gives_a_chance_to_every_token(answers, family):
    found = answers[0][f"{family}_lm"]
    assert len(found) == 69
    assert sum(found.values()) == pytest.approx(1, abs=1e-4)
    assert {"AAA", "ACG", "[UNK]"} <= set(found)
