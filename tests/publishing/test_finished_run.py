import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from genolm.errors import PublishError
from genolm.publishing.finished_run import read_finished_run


@pytest.mark.parametrize(
    ("kind", "auto_class", "code", "is_language_model"),
    [
        ("classifier", "AutoModelForSequenceClassification", ("modeling_awd_lstm.py",), False),
        ("causal", "AutoModelForCausalLM", ("modeling_awd_lstm.py",), True),
        ("masked", "AutoModelForMaskedLM", (), True),
        ("network", "AutoModelForSequenceClassification", ("modeling_sequence_nets.py",), False),
    ],
)
def test_a_finished_run_says_how_it_is_loaded(runs, kind, auto_class, code, is_language_model):
    run = read_finished_run(runs / kind)
    assert (run.name, run.auto_class, run.code_files) == (kind, auto_class, code)
    assert run.is_language_model is is_language_model
    assert run.folder == run.training_folder == (runs / kind).resolve()
    assert run.scheme.name == "kmer_k3_s1"
    assert run.metrics["steps"] == 2


def test_of_a_pipeline_the_chosen_model_is_meant_and_its_training_is_found(runs, tmp_path):
    pipeline = tmp_path / "quick"
    shutil.copytree(runs / "network", pipeline / "classifier-a")
    shutil.copytree(runs / "classifier", pipeline / "classifier-b")
    no_log = shutil.ignore_patterns("training_log.jsonl", "loss_curve.png")
    shutil.copytree(runs / "classifier", pipeline / "model", ignore=no_log)
    (pipeline / "report.json").write_text("{}")
    for given in (pipeline, pipeline / "model"):
        run = read_finished_run(given)
        assert (run.name, run.folder) == ("quick", (pipeline / "model").resolve())
        assert run.training_folder == (pipeline / "classifier-b").resolve()
    stage = read_finished_run(pipeline / "classifier-a")
    assert (stage.name, stage.training_folder) == ("quick-classifier-a", stage.folder)


def edit_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def put_nan(folder):
    weights = load_file(folder / "model.safetensors")
    next(iter(weights.values())).view(-1)[0] = torch.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def cut(folder, name):
    (folder / name).write_bytes((folder / name).read_bytes()[:-10])


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda run: (run / "metrics.json").unlink(), r"an unfinished run in .*run \(no metrics\.json\)"),
        (lambda run: (run / "model.safetensors").unlink(), r"no model\.safetensors in .*run"),
        (lambda run: (run / "tokenizer_config.json").unlink(), r"no tokenizer_config\.json in .*run"),
        (lambda run: (run / "modeling_awd_lstm.py").unlink(), r"no modeling_awd_lstm\.py in .*run, which"),
        (lambda run: cut(run, "metrics.json"), r"a damaged metrics\.json in .*run \("),
        (lambda run: cut(run, "model.safetensors"), r"a damaged model\.safetensors in .*run \("),
        (put_nan, r"NaN or infinity in \S+ of .*model\.safetensors"),
        (
            lambda run: (run / "run_config.json").write_text("[]"),
            r"a run_config\.json in .* that is no JSON obj",
        ),
        (lambda run: edit_config(run, architectures=["AwdLstmModel"]), "AwdLstmModel under architectures in"),
    ],
    ids=["unfinished", "no weights", "no tokenizer", "no code", "metrics", "cut", "NaN", "list", "headless"],
)
def test_an_unfinished_or_damaged_run_is_refused(runs, tmp_path, break_it, message):
    shutil.copytree(runs / "classifier", tmp_path / "run")
    break_it(tmp_path / "run")
    with pytest.raises(PublishError, match=f"^found {message}"):
        read_finished_run(tmp_path / "run")


def test_a_folder_that_is_not_there_is_said_to_be_so(tmp_path):
    with pytest.raises(
        PublishError, match=r"^found no folder .*nowhere; expected the folder of a finished run"
    ):
        read_finished_run(tmp_path / "nowhere")
