import json
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, pipeline
from warm_processes import CONTEXT

from genolm.corpus.build import build_corpus
from genolm.corpus.settings import CorpusSettings
from genolm.corpus.window_epochs import WindowSettings
from genolm.errors import SettingsError, StoppedError
from genolm.files import compute_sha256, read_json
from genolm.models.bert import BertSettings
from genolm.progress import Reporter
from genolm.tokenization.scheme import KmerScheme
from genolm.training.job import LoopSettings
from genolm.training.masked_lm import PretrainMaskedSettings, pretrain_masked
from genolm.training.masking.windows import MaskSettings

SCHEME = KmerScheme(k=3, stride=1)
SETTINGS = PretrainMaskedSettings(
    steps=60,
    batch_size=8,
    learning_rate=1e-2,
    warmup_steps=10,
    evaluations=3,
    eval_max_bp=2_000,
    both_strands=False,
    model=BertSettings(size="debug", max_tokens=70, hidden_dropout=0.1),
    mask=MaskSettings(rate=0.15),
    windows=WindowSettings(kind="tiles", length_bp=24, vary_phase=False),
    loop=LoopSettings(precision="no", checkpoint_every_steps=10, log_every_steps=10),
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """A genome that repeats four bases; all windows begin with the same one."""
    folder = tmp_path_factory.mktemp("cyclic")
    letters = np.tile(list("ACGT"), 10_000)
    (folder / "cyclic.fa").write_text(f">c\n{''.join(letters)}\n")
    settings = CorpusSettings(split="blocks", block_bp=4_000, validation_blocks=(5,), test_blocks=(3,))
    build_corpus([folder / "cyclic.fa"], folder / "corpus", settings=settings)
    return folder / "corpus"


def pretrain(corpus: Path, output: Path, **changes) -> dict:
    return pretrain_masked(corpus, output, scheme=SCHEME, settings=replace(SETTINGS, **changes), seed=1)


@pytest.fixture(scope="module")
def pretrained(corpus, tmp_path_factory) -> tuple[Path, dict]:
    output = tmp_path_factory.mktemp("masked") / "run"
    return output, pretrain(corpus, output)


def test_it_learns_to_fill_in_hidden_bases(pretrained):
    _, metrics = pretrained
    assert metrics["validation"]["bits_per_base"] < 0.1
    assert metrics["test"]["bits_per_base"] < 0.1
    assert metrics["test"]["base_accuracy"] > 0.98
    assert metrics["steps"] == 60
    assert metrics["tokens_seen"] == metrics["bases_seen"] == 60 * 8 * (24 - 2 + 2)
    assert metrics["masking"]["hidden_share"] == pytest.approx(0.15, abs=0.02)
    assert metrics["masking"]["tokens_per_window"] == 22


def test_the_folder_is_a_plain_model_that_plain_classes_load(pretrained):
    folder, _ = pretrained
    assert {file.name for file in folder.iterdir()} == {
        "config.json",
        "loss_curve.png",
        "metrics.json",
        "model.safetensors",
        "run_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "training_log.jsonl",
    }
    config = read_json(folder / "config.json")
    assert config["architectures"] == ["BertForMaskedLM"]
    assert "auto_map" not in config
    assert "genolm" not in (folder / "config.json").read_text()
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForMaskedLM.from_pretrained(folder)
    fill = pipeline("fill-mask", model=model, tokenizer=tokenizer)
    found = fill("ACGTACGTACGT[MASK][MASK][MASK]ACGTACGT", top_k=1)
    assert len(found) == 3
    assert all(len(each[0]["token_str"]) == 3 for each in found)


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(corpus, pretrained, tmp_path):
    output = tmp_path / "killed"
    process = CONTEXT.Process(target=pretrain, args=(corpus, output))
    process.start()
    while not (output / "checkpoint-20").is_dir():
        assert process.is_alive()
        time.sleep(0.002)
    process.kill()
    process.join()
    loop = replace(SETTINGS.loop, workers=1, checkpoint_every_steps=7)
    metrics = pretrain(corpus, output, loop=loop)
    assert metrics == pretrained[1]
    assert compute_sha256(output / "model.safetensors") == compute_sha256(pretrained[0] / "model.safetensors")


def test_micro_batches_change_rounding_only(corpus, pretrained, tmp_path):
    still = replace(SETTINGS.model, hidden_dropout=0.0)
    losses = []
    for rows in (0, 3):
        output = tmp_path / str(rows)
        loop = replace(SETTINGS.loop, micro_batch_rows=rows, log_every_steps=1)
        pretrain(corpus, output, model=still, loop=loop, steps=12, warmup_steps=2)
        lines = (output / "training_log.jsonl").read_text().splitlines()
        losses.append([record["loss"] for record in map(json.loads, lines) if "loss" in record])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


class Notes(Reporter):
    """Keeps what is shown."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


def test_training_goes_on_from_a_model(corpus, pretrained, tmp_path):
    folder, _ = pretrained
    notes = Notes()
    metrics = pretrain_masked(
        corpus,
        tmp_path / "further",
        scheme=SCHEME,
        settings=replace(SETTINGS, steps=10, warmup_steps=1, learning_rate=1e-4),
        pretrained=folder,
        reporter=notes,
    )
    assert notes.texts[0].startswith("  masked LM: in the first 80 windows 1"), "14 or 15 % are hidden"
    assert metrics["validation"]["bits_per_base"] < 0.1, "it did not begin anew"
    assert metrics["steps"] == 10
    with pytest.raises(SettingsError, match=r"a model of kmer_k3_s1 in .*expected one of kmer_k3_s3"):
        pretrain_masked(
            corpus,
            tmp_path / "strided",
            scheme=KmerScheme(k=3, stride=3),
            settings=SETTINGS,
            pretrained=folder,
        )
    with pytest.raises(SettingsError, match=r"a model of 69 tokens .*expected 261 tokens, as kmer_k4_s1 has"):
        pretrain_masked(
            corpus,
            tmp_path / "other",
            scheme=KmerScheme(k=4, stride=1),
            settings=SETTINGS,
            pretrained=folder,
        )
    longer = replace(SETTINGS, model=BertSettings(), windows=WindowSettings(kind="random", length_bp=100))
    with pytest.raises(SettingsError, match="100 tokens of kmer_k3_s1; expected at most 70 tokens"):
        pretrain_masked(corpus, tmp_path / "longer", scheme=SCHEME, settings=longer, pretrained=folder)


def test_a_modern_bert_trains_too(corpus, tmp_path):
    model = BertSettings(architecture="modernbert", size="debug", max_tokens=70)
    metrics = pretrain(corpus, tmp_path / "modern", model=model, steps=4, warmup_steps=1, evaluations=1)
    assert 0 < metrics["test"]["bits_per_base"] < 3
    config = read_json(tmp_path / "modern" / "config.json")
    assert (config["architectures"], config["model_type"]) == (["ModernBertForMaskedLM"], "modernbert")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"windows": WindowSettings(kind="random", length_bp=100)},
            "found windows of 100 bp, which are 100 tokens of kmer_k3_s1; expected at most 70 tokens",
        ),
        (
            {"windows": WindowSettings(kind="dnabert", length_bp=64, min_bp=2)},
            "found windows of 2 bp with k=3; expected windows of at least k bases",
        ),
    ],
)
def test_windows_that_do_not_fit_are_refused_before_anything_is_written(corpus, changes, message, tmp_path):
    with pytest.raises(SettingsError, match=message):
        pretrain(corpus, tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("changes", [{"steps": 0}, {"warmup_steps": 61}, {"learning_rate": 0.0}])
def test_settings_out_of_range_are_refused(changes):
    with pytest.raises(SettingsError, match=r"expected a positive learning_rate, warmup_steps in 0..steps"):
        replace(SETTINGS, **changes)


def test_a_signal_saves_and_the_run_goes_on(corpus, tmp_path, monkeypatch):
    import genolm.training.masking.batches as module

    calls = []

    def build(*arguments, **more):
        calls.append(0)
        if len(calls) == 60:  # the first 33 count what is hidden
            signal.raise_signal(signal.SIGTERM)
        return plain(*arguments, **more)

    plain = module.mask_windows
    monkeypatch.setattr(module, "mask_windows", build)
    with pytest.raises(StoppedError, match=r"SIGTERM at step .* of masked LM"):
        pretrain(corpus, tmp_path / "run")
    monkeypatch.undo()
    assert pretrain(corpus, tmp_path / "run")["steps"] == 60
    assert torch.get_float32_matmul_precision() == "highest", "what was chosen for the run is undone"
