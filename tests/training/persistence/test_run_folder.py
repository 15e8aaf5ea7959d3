import errno
import json
import os
import re
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from small_bpe import train_small_bpe
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from genolm.errors import RunFolderError, StorageError
from genolm.files import compute_sha256, read_json
from genolm.models import AwdLstmConfig, AwdLstmForCausalLM
from genolm.models.bert import BertSettings, build_masked_lm
from genolm.models.sequence_nets import SequenceNetSettings, build_sequence_net
from genolm.tokenization.scheme import KmerScheme
from genolm.tokenization.tokenizer_json import load_scheme
from genolm.training.job import LoopSettings
from genolm.training.persistence.run_folder import (
    compute_model_sha256,
    finish_run_folder,
    open_run_folder,
    read_finished_metrics,
    save_model_folder,
)

SCHEME = KmerScheme(k=2, stride=1)
IDENTITY = {
    "command": "pretrain",
    "settings": {"tokens": 100, "loop": {"keep": 2, "precision": "no"}, "seed": 0},
    "inputs": {"corpus": "abc"},
}
MODEL_FILES = {
    "config.json",
    "model.safetensors",
    "modeling_awd_lstm.py",
    "tokenizer.json",
    "tokenizer_config.json",
}


def build_lm() -> AwdLstmForCausalLM:
    torch.manual_seed(0)
    return AwdLstmForCausalLM(
        AwdLstmConfig(vocab_size=21, embedding_size=4, lstm_size=6, num_layers=1, kmer_k=2)
    )


def open_run(folder: Path, **identity) -> dict | None:
    with open_run_folder(folder, **identity) as metrics:
        return metrics


def list_names(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


def test_a_new_folder_says_which_run_it_is(tmp_path):
    open_run(tmp_path / "deep" / "run", **IDENTITY)
    config = read_json(tmp_path / "deep" / "run" / "run_config.json")
    assert {name: config[name] for name in IDENTITY} == IDENTITY
    assert config["libraries"]["torch"].startswith(torch.__version__.split("+")[0])
    assert {"genolm", "python", "hardware", "fingerprint"} < set(config)
    assert str(tmp_path) not in json.dumps(config), "a published folder names no path"


def test_the_same_run_is_let_in_again_and_its_folder_is_not_touched(tmp_path):
    open_run(tmp_path, **IDENTITY)
    before = (tmp_path / "run_config.json").read_bytes()
    (tmp_path / "checkpoint-5").mkdir()
    open_run(tmp_path, **IDENTITY)
    assert (tmp_path / "run_config.json").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"settings": {**IDENTITY["settings"], "tokens": 200}}, "settings.tokens was 100, is now 200"),
        (
            {"settings": {**IDENTITY["settings"], "loop": {"keep": 3, "precision": "no"}}},
            "settings.loop.keep was 2, is now 3",
        ),
        ({"settings": {**IDENTITY["settings"], "new": 1}}, "settings.new was not set, is now 1"),
        ({"settings": {"tokens": 100, "seed": 0}}, "more settings than now"),
        ({"inputs": {"corpus": "xyz"}}, "inputs.corpus was abc, is now xyz"),
        ({"command": "adapt"}, "command was pretrain, is now adapt"),
    ],
)
def test_another_run_is_refused_naming_what_differs(changes, difference, tmp_path):
    open_run(tmp_path, **IDENTITY)
    with pytest.raises(RunFolderError, match=re.escape(f"another run in {tmp_path} ({difference})")):
        open_run(tmp_path, **{**IDENTITY, **changes})


def test_a_folder_of_another_origin_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(
        RunFolderError, match="files of another origin; expected an empty or new output folder"
    ):
        open_run(tmp_path, **IDENTITY)
    assert list_names(tmp_path) == {"thesis.txt"}


def test_an_empty_folder_is_taken(tmp_path):
    open_run(tmp_path, **IDENTITY)
    assert list_names(tmp_path) == {"run_config.json"}


def test_a_finished_run_holds_the_model_its_tokenizer_and_metrics_and_no_checkpoint(tmp_path):
    open_run(tmp_path, **IDENTITY)
    for name in ("checkpoint-5", "checkpoint-10", "best-5", "checkpoint-15.damaged"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"x")
    (tmp_path / "training_log.jsonl").write_text("")
    assert read_finished_metrics(tmp_path) is None
    model = build_lm()
    finish_run_folder(tmp_path, model=model, scheme=SCHEME, metrics={"loss": 0.5})
    assert list_names(tmp_path) == MODEL_FILES | {
        "run_config.json",
        "metrics.json",
        "training_log.jsonl",
        "loss_curve.png",
    }
    assert read_finished_metrics(tmp_path) == {"loss": 0.5}
    loaded = AwdLstmForCausalLM.from_pretrained(tmp_path)
    for name, parameter in model.named_parameters():
        assert torch.equal(loaded.get_parameter(name), parameter)


def test_a_run_that_was_killed_while_it_finished_is_finished_by_the_next_try(tmp_path):
    model = build_lm()
    save_model_folder(tmp_path / "model.finished", model=model, scheme=SCHEME)
    (tmp_path / "model.finished" / "config.json").rename(tmp_path / "config.json")
    (tmp_path / ".tmp-model.finished-0123abcd").mkdir()
    assert read_finished_metrics(tmp_path) is None
    finish_run_folder(tmp_path, model=model, scheme=SCHEME, metrics={})
    assert list_names(tmp_path) == MODEL_FILES | {"metrics.json"}


def test_a_model_folder_holds_the_scheme_and_a_tokenizer_that_transformers_reads(tmp_path):
    save_model_folder(tmp_path / "model", model=build_lm(), scheme=SCHEME)
    assert list_names(tmp_path / "model") == MODEL_FILES
    assert load_scheme(tmp_path / "model") == SCHEME
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert tokenizer("AATN")["input_ids"] == [2, 5, 6, 1, 3]


def test_a_model_of_bpe_tokens_gets_the_trained_tokenizer(tmp_path):
    tokens = train_small_bpe(tmp_path / "bpe")
    settings = BertSettings(size="debug", max_tokens=16)
    model = build_masked_lm(tokens, settings, seed=0)
    trained = {path.name: path.read_bytes() for path in (tmp_path / "bpe").iterdir()}
    for path in (tmp_path / "bpe").iterdir():
        path.unlink()  # as after days of training
    finish_run_folder(tmp_path / "run", model=model, scheme=tokens, metrics={})
    assert list_names(tmp_path / "run") == {"config.json", "metrics.json", "model.safetensors", *trained}
    assert {name: (tmp_path / "run" / name).read_bytes() for name in trained} == trained


def test_a_convolutional_network_gets_its_modeling_file(tmp_path):
    nucleotides = KmerScheme(k=1, stride=1)
    model = build_sequence_net(nucleotides, SequenceNetSettings(), names=("no", "yes"), seed=0)
    save_model_folder(tmp_path / "model", model=model, scheme=nucleotides)
    expected = (MODEL_FILES - {"modeling_awd_lstm.py"}) | {"modeling_sequence_nets.py"}
    assert list_names(tmp_path / "model") == expected
    assert read_json(tmp_path / "model" / "config.json")["auto_map"] == {
        "AutoConfig": "modeling_sequence_nets.SequenceNetConfig",
        "AutoModelForSequenceClassification": "modeling_sequence_nets.SequenceNetForSequenceClassification",
    }
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model", trust_remote_code=True)
    assert all(torch.equal(loaded.state_dict()[name], each) for name, each in model.state_dict().items())


def test_the_checksum_of_a_model_is_that_of_its_weights(tmp_path):
    save_model_folder(tmp_path / "model", model=build_lm(), scheme=SCHEME)
    expected = compute_sha256(tmp_path / "model" / "model.safetensors")
    assert compute_model_sha256(tmp_path / "model") == expected


def test_a_folder_without_a_finished_model_is_refused(tmp_path):
    with pytest.raises(
        RunFolderError, match=r"no model.safetensors in .*; expected the folder of a finished"
    ):
        compute_model_sha256(tmp_path)


def test_a_tuple_in_the_settings_is_the_list_of_the_file(tmp_path):
    settings = {"phases": ({"epochs": 1}, {"epochs": 2}), "seed": 0}
    open_run(tmp_path, **{**IDENTITY, "settings": settings})
    open_run(tmp_path, **{**IDENTITY, "settings": settings})
    with pytest.raises(RunFolderError, match=r"\(settings.seed was 0, is now 1\)"):
        open_run(tmp_path, **{**IDENTITY, "settings": {**settings, "seed": 1}})


def test_the_left_over_of_a_run_that_was_killed_at_its_first_write_is_no_other_origin(tmp_path):
    (tmp_path / ".tmp-run_config.json-0123abcd").write_text("{")
    open_run(tmp_path, **IDENTITY)
    assert read_json(tmp_path / "run_config.json")["command"] == "pretrain"


def test_the_config_names_a_class_of_the_modeling_file_for_every_auto_class(tmp_path):
    save_model_folder(tmp_path / "model", model=build_lm(), scheme=SCHEME)
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert set(config["auto_map"]) == {
        "AutoConfig",
        "AutoModel",
        "AutoModelForCausalLM",
        "AutoModelForSequenceClassification",
    }
    for reference in config["auto_map"].values():
        module, _, name = reference.partition(".")
        assert f"class {name}(" in (tmp_path / "model" / f"{module}.py").read_text()


def test_how_a_machine_does_the_work_may_change_when_a_run_goes_on(tmp_path):
    loop = asdict(LoopSettings())
    run = {**IDENTITY, "settings": {"tokens": 100, "loop": loop}}
    open_run(tmp_path, **run)
    before = (tmp_path / "run_config.json").read_bytes()
    free = {
        "micro_batch_rows": 3,
        "auto_batch": True,
        "workers": 2,
        "gradient_checkpointing": True,
        "compile": True,
        "checkpoint_every_steps": 7,
        "keep_checkpoints": 5,
        "log_every_steps": 1,
        "trackers": ["tensorboard"],
    }
    assert set(free) == set(LoopSettings.FREE)
    for changes in ({}, *({name: value} for name, value in free.items()), free):
        open_run(tmp_path, **{**run, "settings": {"tokens": 100, "loop": {**loop, **changes}}})
    assert (tmp_path / "run_config.json").read_bytes() == before, "the file keeps what began it"


@pytest.mark.parametrize("name", sorted(set(asdict(LoopSettings())) - set(LoopSettings.FREE)))
def test_what_decides_the_outcome_may_not_change(name, tmp_path):
    loop = asdict(LoopSettings())
    open_run(tmp_path, **{**IDENTITY, "settings": {"loop": loop}})
    changed = {**loop, "workers": 2, name: "bf16" if name == "precision" else 0.123}
    with pytest.raises(RunFolderError, match=rf"\(settings.loop.{name} was {loop[name]}, is now "):
        open_run(tmp_path, **{**IDENTITY, "settings": {"loop": changed}})


def test_a_run_folder_is_held_while_the_block_runs_and_free_after_it(tmp_path):
    with open_run_folder(tmp_path, **IDENTITY) as metrics:
        assert metrics is None
        with pytest.raises(RunFolderError, match=f"another process at work in .*process {os.getpid()} on "):
            open_run(tmp_path, **IDENTITY)
    assert open_run(tmp_path, **IDENTITY) is None
    with pytest.raises(LookupError, match="of the block"), open_run_folder(tmp_path, **IDENTITY):
        raise LookupError("of the block")
    assert open_run(tmp_path, **IDENTITY) is None
    assert list_names(tmp_path) == {"run_config.json"}


def test_a_folder_that_only_a_killed_lock_left_is_taken(tmp_path):
    (tmp_path / ".run.lock").touch()
    (tmp_path / ".run.owner.json").write_text("{}")
    open_run(tmp_path, **IDENTITY)
    assert list_names(tmp_path) == {"run_config.json"}


def test_a_finished_folder_gives_its_metrics_and_is_held_by_nobody(tmp_path):
    open_run(tmp_path, **IDENTITY)
    (tmp_path / "metrics.json").write_text('{"loss": 0.5}')
    with open_run_folder(tmp_path, **IDENTITY) as first, open_run_folder(tmp_path, **IDENTITY) as second:
        assert first == second == {"loss": 0.5}
        assert list_names(tmp_path) == {"run_config.json", "metrics.json"}


def test_a_full_disk_in_the_block_is_a_storage_error(tmp_path):
    with (
        pytest.raises(StorageError, match=r"a full disk while writing to .*goes on from the last checkpoint"),
        open_run_folder(tmp_path, **IDENTITY),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_what_helped_the_training_alone_is_gone_when_it_is_finished(tmp_path):
    open_run(tmp_path, **IDENTITY)
    for name in ("micro_batch.json", "bad_batch.json"):
        (tmp_path / name).write_text("{}")
    finish_run_folder(tmp_path, model=build_lm(), scheme=SCHEME, metrics={})
    assert list_names(tmp_path) == MODEL_FILES | {"run_config.json", "metrics.json"}
