"""The public surface of genolm as a library."""

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_models import save_small_model

import genolm

ROOT = Path(genolm.__file__).parents[1]


def test_the_public_names_are_these():
    assert genolm.__all__ == [
        "Classification",
        "Classifier",
        "GenolmError",
        "LanguageModel",
        "OneHotClassifier",
        "Scores",
        "__version__",
        "classify",
        "delta_score",
        "embed",
        "encode",
        "find_model",
        "list_models",
        "load_model",
        "load_tokenizer",
        "score",
    ]
    assert set(genolm.__all__) <= set(dir(genolm))


@pytest.mark.parametrize("name", [name for name in genolm.__all__ if name != "__version__"])
def test_a_public_name_is_documented_and_comes_from_where_type_checkers_look(name):
    value = getattr(genolm, name)
    assert len(inspect.getdoc(value)) > 20
    assert value.__name__ == name
    blocks = [node for node in ast.parse(inspect.getsource(genolm)).body if isinstance(node, ast.If)]
    assert ast.unparse(blocks[0].test) == "TYPE_CHECKING"
    modules = {alias.name: each.module for each in blocks[0].body for alias in each.names}
    assert modules[name] == value.__module__
    assert set(modules) == set(genolm.__all__) - {"__version__"}


def test_another_name_is_none():
    with pytest.raises(AttributeError, match=r"^module 'genolm' has no attribute 'embedd'$"):
        genolm.embedd  # noqa: B018


def test_importing_genolm_imports_nothing_heavy():
    code = "import sys, genolm; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], check=True, capture_output=True, text=True, env=environment
    )
    found = set(done.stdout.split())
    assert "genolm" in found
    assert not found & {"numpy", "torch", "transformers", "tokenizers", "datasets", "pyarrow", "yaml"}


def test_the_functions_work_together(tmp_path):
    sequences = ["ACGTACGTACGG", "TTTTACGACG"]
    lm = genolm.load_model(save_small_model(tmp_path / "lm", "awd_lstm_lm"))
    assert genolm.embed(lm, sequences).shape == (2, 8)
    scores = genolm.score(lm, sequences)
    assert scores.bases.tolist() == [9, 7]
    change = genolm.delta_score(lm, sequences[:1], sequences[1:])
    assert change[0] == pytest.approx(scores.bits[0] - scores.bits[1], rel=1e-5)
    tokenizer = genolm.load_tokenizer(tmp_path / "lm")
    assert [ids.tolist() for ids in genolm.encode(sequences, lm.scheme)] == tokenizer(sequences)["input_ids"]
    folder = save_small_model(tmp_path / "classifier", "modernbert_classifier")
    assert genolm.classify(folder, sequences).probabilities.shape == (2, 2)
    with pytest.raises(genolm.GenolmError, match="no model folder"):
        genolm.classify(tmp_path / "gone", sequences)
