import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from breaking import BreakingReporter, BrokenOffError
from safetensors.torch import load_file

from genolm.corpus.labeled import LabeledData
from genolm.errors import DataError, RunFolderError, SettingsError
from genolm.metrics import METRIC_NAMES
from genolm.models import AwdLstmConfig, AwdLstmForCausalLM, AwdLstmForSequenceClassification
from genolm.models.settings import AwdLstmSettings, DropoutSettings
from genolm.threshold import choose_threshold
from genolm.tokenization.encoder import encode_sequences
from genolm.tokenization.scheme import KmerScheme
from genolm.training.classifier import FinetuneSettings, finetune
from genolm.training.loop import LoopSettings
from genolm.training.persistence.run_folder import save_model_folder
from genolm.training.schedules import PhaseSettings

SCHEME = KmerScheme(k=3, stride=1)
MOTIF = "TATAAT"
LOOP = LoopSettings(precision="no", checkpoint_every_steps=5, log_every_steps=1)
SETTINGS = FinetuneSettings(
    phases=(PhaseSettings(epochs=8, learning_rate=2e-2),),
    batch_size=16,
    dropout=DropoutSettings(multiplier=0.0),
    classifier_dropout=0.0,
    model=AwdLstmSettings(embedding_size=16, lstm_size=24, num_layers=1),
    loop=LOOP,
)
SHORT = replace(
    SETTINGS,
    phases=(
        PhaseSettings(epochs=1, learning_rate=2e-2, trained_groups=1),
        PhaseSettings(epochs=1, learning_rate=1e-2, trained_groups=2),
        PhaseSettings(epochs=1, learning_rate=1e-2),
    ),
    batch_size=8,
    dropout=DropoutSettings(multiplier=1.0),
    classifier_dropout=0.3,
)


def make_data(*, train: int, validation: int, test: int = 0, seed: int = 0) -> LabeledData:
    """Random sequences of 50 bases; those of label 1 hold the motif somewhere."""
    generator = np.random.default_rng(seed)
    splits = ("train",) * train + ("validation",) * validation + ("test",) * test
    labels = np.arange(len(splits)) % 2
    sequences = []
    for label in labels:
        text = "".join(generator.choice(list("ACGT"), size=50))
        start = int(generator.integers(0, 44))
        sequences.append(text[:start] + MOTIF + text[start + 6 :] if label else text.replace(MOTIF, "GGGGGG"))
    ids = tuple(f"record_{index}" for index in range(len(splits)))
    return LabeledData(
        sequences=sequences, labels=labels, label_names=("none", "box"), splits=splits, ids=ids
    )


SMALL_DATA = make_data(train=30, validation=10)


@pytest.fixture(scope="module")
def lm_folder(tmp_path_factory):
    torch.manual_seed(0)
    config = AwdLstmConfig(embedding_size=8, lstm_size=12, num_layers=2, input_dropout=0.9)
    folder = tmp_path_factory.mktemp("lm") / "lm"
    save_model_folder(folder, model=AwdLstmForCausalLM(config), scheme=SCHEME)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier") / "run"
    data = make_data(train=500, validation=100, test=100)
    return folder, data, finetune(data, folder, settings=SETTINGS, scheme=SCHEME)


def test_a_planted_motif_is_found(trained):
    metrics = trained[2]
    assert metrics["test"]["accuracy"] > 0.9
    assert metrics["test"]["mcc"] > 0.8
    low, high = metrics["test"]["ci95"]["accuracy"]
    assert low <= metrics["test"]["accuracy"] <= high


def test_the_metrics_of_a_classifier(trained):
    folder, _, metrics = trained
    assert set(metrics) == {"steps", "best_step", "train_lengths_bp", "validation", "threshold", "test"}
    assert metrics["steps"] == 8 * 32
    assert metrics["train_lengths_bp"] == [50, 50]
    for split in ("validation", "test"):
        assert set(metrics[split]) == {*METRIC_NAMES, "confusion", "n", "ci95"}
        assert set(metrics[split]["ci95"]) == set(METRIC_NAMES)
        assert metrics[split]["n"] == np.sum(metrics[split]["confusion"]) == 100
    assert json.loads((folder / "metrics.json").read_text()) == metrics


def test_the_saved_weights_are_those_of_the_best_epoch(trained):
    folder, data, metrics = trained
    records = [json.loads(line) for line in (folder / "training_log.jsonl").read_text().splitlines()]
    evaluations = {record["step"]: record["evaluation"] for record in records if "evaluation" in record}
    assert list(evaluations) == [32 * epoch for epoch in range(1, 9)]
    assert set(evaluations[32]) == {"loss", "accuracy", "mcc", "auroc"}
    best = max(evaluations, key=lambda step: (evaluations[step]["auroc"], -evaluations[step]["loss"]))
    assert metrics["best_step"] == best
    model = AwdLstmForSequenceClassification.from_pretrained(folder).eval()
    validation = data.select("validation")
    ids = torch.from_numpy(np.stack(encode_sequences(validation.sequences, SCHEME))).long()
    with torch.no_grad():
        probabilities = model(input_ids=ids).logits.softmax(-1)
    right = probabilities[torch.arange(100), torch.from_numpy(validation.labels)]
    assert -right.log().mean().item() == pytest.approx(evaluations[best]["loss"], abs=1e-4)
    assert ((probabilities[:, 1] >= 0.5).numpy() == validation.labels).mean() == evaluations[best]["accuracy"]
    chosen = choose_threshold(validation.labels, probabilities[:, 1].numpy())
    assert metrics["threshold"] == pytest.approx(chosen.threshold, abs=1e-4)
    assert chosen.mcc >= metrics["validation"]["mcc"]


def test_the_class_names_are_in_the_folder(trained):
    config = json.loads((trained[0] / "config.json").read_text())
    assert config["id2label"] == {"0": "none", "1": "box"}
    assert config["label2id"] == {"none": 0, "box": 1}
    assert config["architectures"] == ["AwdLstmForSequenceClassification"]


def test_a_finished_classifier_is_returned_at_once_and_another_run_refused(trained):
    folder, data, metrics = trained
    reporter = BreakingReporter(1)
    assert finetune(data, folder, settings=SETTINGS, scheme=SCHEME, reporter=reporter) == metrics
    with pytest.raises(RunFolderError, match=r"inputs.data was"):
        finetune(make_data(train=500, validation=100), folder, settings=SETTINGS, scheme=SCHEME)


@pytest.mark.parametrize("from_lm", [True, False])
def test_a_broken_off_finetuning_ends_like_an_unbroken_one(from_lm, lm_folder, tmp_path):
    start = {"pretrained": lm_folder} if from_lm else {"scheme": SCHEME}
    whole = finetune(SMALL_DATA, tmp_path / "whole", settings=SHORT, **start)
    for step in (7, 11):
        with pytest.raises(BrokenOffError, match=f"after step {step}"):
            finetune(SMALL_DATA, tmp_path / "parts", settings=SHORT, reporter=BreakingReporter(step), **start)
    assert finetune(SMALL_DATA, tmp_path / "parts", settings=SHORT, **start) == whole
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts")]
    assert weights[0] == weights[1]
    assert "test" not in whole


def test_it_starts_from_the_language_model_and_frozen_groups_keep_its_weights(lm_folder, tmp_path):
    settings = replace(SHORT, phases=(PhaseSettings(epochs=2, learning_rate=0.05, trained_groups=2),))
    finetune(SMALL_DATA, tmp_path, settings=settings, pretrained=lm_folder)
    before, after = load_file(lm_folder / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    for name in before.keys() - {"decoder.bias"}:
        is_frozen = name == "awd_lstm.embedding.weight" or "lstm_layers.0" in name
        assert torch.equal(before[name], after[name]) == is_frozen, name
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["embedding_size"], config["num_layers"]) == (8, 2), (
        "the size is that of the language model"
    )
    assert config["input_dropout"] == 0.25, "the dropout is that of the settings"


def test_lower_groups_learn_more_slowly_from_a_language_model_only(lm_folder, tmp_path):
    settings = replace(
        SHORT,
        phases=(PhaseSettings(epochs=1, learning_rate=1e-3),),
        schedule="constant",
        batch_size=30,
        group_factor=10.0,
        model=AwdLstmSettings(embedding_size=8, lstm_size=12, num_layers=2),
        loop=replace(LOOP, weight_decay=0.0),
    )
    finetune(SMALL_DATA, tmp_path / "fine", settings=settings, pretrained=lm_folder)
    before = load_file(lm_folder / "model.safetensors")
    after = load_file(tmp_path / "fine" / "model.safetensors")
    for name, rate in [("lstm_layers.1.weight_hh_l0", 1e-4), ("lstm_layers.0.weight_hh_l0", 1e-5)]:
        change = (after[f"awd_lstm.{name}"] - before[f"awd_lstm.{name}"]).abs().max().item()
        assert change == pytest.approx(rate, rel=0.02)  # one step of Adam moves a weight by its rate
    torch.manual_seed(0)
    start = AwdLstmForSequenceClassification(
        AwdLstmConfig(embedding_size=8, lstm_size=12, num_layers=2, classifier_size=50)
    ).state_dict()
    finetune(SMALL_DATA, tmp_path / "scratch", settings=settings, scheme=SCHEME)
    scratch = load_file(tmp_path / "scratch" / "model.safetensors")
    name = "awd_lstm.lstm_layers.0.weight_hh_l0"
    assert (scratch[name] - start[name]).abs().max().item() == pytest.approx(1e-3, rel=0.02)


def test_the_seed_decides_the_head(tmp_path):
    runs = [("a", 0), ("b", 0), ("c", 1)]
    metrics = [
        finetune(SMALL_DATA, tmp_path / name, settings=SHORT, scheme=SCHEME, seed=seed) for name, seed in runs
    ]
    first, same, other = (load_file(tmp_path / name / "model.safetensors") for name, _ in runs)
    assert metrics[0] == metrics[1]
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["head.out.weight"], other["head.out.weight"])


def test_three_classes(tmp_path):
    labels = np.arange(len(SMALL_DATA)) % 3
    data = replace(SMALL_DATA, labels=labels, label_names=("a", "b", "c"))
    metrics = finetune(data, tmp_path, settings=replace(SHORT, monitor="loss", patience=1), scheme=SCHEME)
    assert np.array(metrics["validation"]["confusion"]).shape == (3, 3)
    assert "threshold" not in metrics


@pytest.mark.parametrize(("split", "kept"), [("train", 30), ("validation", 10)])
def test_a_split_without_a_class_is_refused(split, kept, tmp_path):
    labels = SMALL_DATA.labels.copy()
    labels[[name == split for name in SMALL_DATA.splits]] = 0
    with pytest.raises(DataError, match=f"no sequence with label box in the {split} split"):
        finetune(replace(SMALL_DATA, labels=labels), tmp_path / "run", settings=SHORT, scheme=SCHEME)
    assert not (tmp_path / "run").exists()
    assert labels.size - labels.sum() > kept


def test_without_a_model_or_a_scheme_it_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="neither a pretrained model nor a tokenizer"):
        finetune(SMALL_DATA, tmp_path, settings=SHORT)


def test_an_unfinished_language_model_is_refused(lm_folder, tmp_path):
    (tmp_path / "lm").mkdir()
    (tmp_path / "lm" / "tokenizer_config.json").write_text((lm_folder / "tokenizer_config.json").read_text())
    with pytest.raises(RunFolderError, match=r"no model.safetensors in .*; finish that training first"):
        finetune(SMALL_DATA, tmp_path / "run", settings=SHORT, pretrained=tmp_path / "lm")


@pytest.mark.parametrize("wrong", [{"phases": ()}, {"batch_size": 0}, {"monitor": "f1"}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(
        SettingsError, match=r"phases, batch_size .*; expected a phase or more, batch_size of at least 1"
    ):
        FinetuneSettings(**wrong)


def test_other_class_names_are_another_run(trained):
    folder, data, _ = trained
    with pytest.raises(RunFolderError, match=r"inputs.data was"):
        finetune(replace(data, label_names=("box", "none")), folder, settings=SETTINGS, scheme=SCHEME)


VECTORS = np.random.default_rng(7).normal(size=(SCHEME.vocab_size, 16)).astype(np.float32)


@pytest.mark.parametrize("frozen", [True, False])
def test_given_embeddings_are_where_training_starts_and_stay_if_frozen(tmp_path, frozen):
    phases = (PhaseSettings(epochs=2, learning_rate=1e-2),)
    settings = replace(SETTINGS, phases=phases, freeze_embeddings=frozen)
    finetune(SMALL_DATA, tmp_path / "run", settings=settings, scheme=SCHEME, embeddings=VECTORS)
    learned = load_file(tmp_path / "run" / "model.safetensors")["awd_lstm.embedding.weight"].numpy()
    scale = (learned * VECTORS).sum() / (VECTORS * VECTORS).sum()
    distance = np.abs(learned - scale * VECTORS).max() / np.abs(learned).max()
    assert (distance < 1e-5) == frozen
    assert distance < 0.9, "a few steps do not lead far away"


def test_another_embedding_is_another_run(tmp_path):
    settings = replace(SHORT, freeze_embeddings=True)
    finetune(SMALL_DATA, tmp_path / "run", settings=settings, scheme=SCHEME, embeddings=VECTORS)
    again = finetune(SMALL_DATA, tmp_path / "run", settings=settings, scheme=SCHEME, embeddings=VECTORS)
    assert again == json.loads((tmp_path / "run" / "metrics.json").read_text())
    with pytest.raises(RunFolderError, match="embeddings"):
        finetune(SMALL_DATA, tmp_path / "run", settings=settings, scheme=SCHEME, embeddings=VECTORS + 1)


def test_embeddings_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="a pretrained model and embeddings; expected one of them"):
        finetune(SMALL_DATA, tmp_path, settings=SHORT, pretrained=tmp_path, scheme=SCHEME, embeddings=VECTORS)
    with pytest.raises(SettingsError, match="vectors for 69 tokens of 9 numbers; expected 69 tokens of 16"):
        finetune(SMALL_DATA, tmp_path / "x", settings=SHORT, scheme=SCHEME, embeddings=VECTORS[:, :9])
