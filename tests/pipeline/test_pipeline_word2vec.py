"""word2vec as a stage of a pipeline: trained on its corpus, or given."""

import gzip
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from genolm.corpus.builtin import find_builtin
from genolm.embeddings.features import build_embedding_matrix
from genolm.embeddings.vectors import load_vectors
from genolm.errors import RunFolderError, SettingsError
from genolm.pipeline.recipe import load_recipe, open_run
from genolm.pipeline.run import run_pipeline
from genolm.pipeline.single_stage import run_finetuning
from genolm.tokenization.scheme import KmerScheme

NAMES = ["from scratch", "word2vec", "genome LM", "genome LM + domain LM"]
SMALL = ("pretrain.tokens=5000", "word2vec.bp_per_epoch=20000")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The recipe `ablation_debug` with even less training, on a tenth of its records."""
    folder = tmp_path_factory.mktemp("word2vec")
    header, *rows = gzip.decompress(find_builtin("ecoli_promoters").read_bytes()).decode().splitlines()
    (folder / "tenth.csv").write_text("\n".join([header, *rows[::10]]))
    recipe = load_recipe("ablation_debug", overrides=[*SMALL, f"data={folder / 'tenth.csv'}"])
    output = folder / "run"
    return recipe, output, run_pipeline(recipe, output)


def test_the_ablation_has_a_row_for_each_start_and_a_control_on_vectors(finished):
    _, output, result = finished
    rows = result.report.classifiers
    assert [row.name for row in rows if not row.is_control] == NAMES
    assert [row.name for row in rows if row.is_control][-1] == "control: mean word2vec vector"
    assert {"word2vec", "classifier-word2vec", "control-word2vec.json"} <= {
        path.name for path in output.iterdir()
    }
    for row in rows:
        assert row.test["n"] == 115
        assert row.test["ci95"]["mcc"][0] <= row.test["mcc"] <= row.test["ci95"]["mcc"][1]
    control = rows[[row.name for row in rows].index("control: mean word2vec vector")]
    assert control.test["auroc"] > 0.8, "3-mers alone tell most promoters from the rest"


def test_the_network_starts_from_the_vectors(finished):
    recipe, output, _ = finished
    vectors = load_vectors(output / "word2vec")
    matrix = build_embedding_matrix(vectors, KmerScheme.parse(recipe.tokenizer), size=16)
    from_vectors, from_scratch = (
        load_file(output / name / "model.safetensors")["awd_lstm.embedding.weight"]
        for name in ("classifier-word2vec", "classifier-scratch")
    )
    similarity = [
        np.corrcoef(matrix[5:].ravel(), each[5:].ravel())[0, 1] for each in (from_vectors, from_scratch)
    ]
    assert similarity[0] > 0.5
    assert abs(similarity[1]) < 0.3


def test_the_same_recipe_again_changes_nothing(finished):
    recipe, output, result = finished
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    assert run_pipeline(recipe, output).report == result.report
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before


def test_given_vectors_take_the_place_of_training(finished, tmp_path):
    """Beside stages that the vectors have no part in, which are reused."""
    recipe, output, result = finished
    shutil.copytree(
        output,
        tmp_path / "run",
        ignore=shutil.ignore_patterns("*word2vec*", "model", "report.*"),
    )
    given = replace(recipe, word2vec=None, embeddings=str(output / "word2vec"))
    again = run_pipeline(given, tmp_path / "run")
    assert not (tmp_path / "run" / "word2vec").exists()
    assert again.report == result.report
    assert (tmp_path / "run" / "classifier-word2vec" / "model.safetensors").read_bytes() == (
        output / "classifier-word2vec" / "model.safetensors"
    ).read_bytes()


def test_vectors_of_another_size_are_refused_before_anything_is_trained(finished, tmp_path):
    recipe, output, _ = finished
    model = replace(recipe.scratch.model, embedding_size=24)
    scratch, pretrain = replace(recipe.scratch, model=model), replace(recipe.pretrain, model=model)
    with pytest.raises(SettingsError, match=r"found word2vec.size 16 and an embedding of 24"):
        replace(recipe, scratch=scratch, pretrain=pretrain)
    other = replace(
        recipe, scratch=scratch, pretrain=pretrain, word2vec=None, embeddings=str(output / "word2vec")
    )
    with pytest.raises(SettingsError, match="found vectors of size 16 for an embedding of size 24"):
        run_finetuning(open_run(other, name="other", folder=tmp_path / "one"), start="word2vec")
    with pytest.raises(SettingsError, match="found vectors of size 16 for an embedding of size 24"):
        run_pipeline(other, tmp_path / "all")
    assert not list((tmp_path / "all").glob("**/*.safetensors"))


def test_a_control_of_other_vectors_is_another_run(finished):
    _, output, _ = finished
    path = output / "control-word2vec.json"
    kept = path.read_text()
    path.write_text(json.dumps(json.loads(kept) | {"key": "other"}))
    try:
        with pytest.raises(RunFolderError, match=r"another run in .*control-word2vec"):
            run_pipeline(finished[0], output)
    finally:
        path.write_text(kept)
