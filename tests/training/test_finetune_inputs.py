"""Fine-tuning of masked language models: tasks, long sequences, and what cannot be fine-tuned."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_masked_lms import DATA, MODELS, SCHEME, SETTINGS, SHORT, SMALL_DATA, save_pretrained

from genolm.corpus.labeled import LabeledData
from genolm.errors import DataError, RunFolderError, SettingsError
from genolm.files import read_json, write_json
from genolm.inference.classify import classify_sequences, load_classifier
from genolm.kmers import build_kmer_names
from genolm.models.settings import AwdLstmSettings
from genolm.tokenization.encoder import encode_sequences
from genolm.tokenization.scheme import SPECIAL_TOKENS, KmerScheme
from genolm.tokenization.tokenizer_json import save_tokenizer
from genolm.training.classifier import FinetuneSettings, LoraSettings, finetune
from genolm.training.persistence.run_folder import save_model_folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Pretrained folders by model type."""
    root = tmp_path_factory.mktemp("pretrained")
    save_pretrained(root)
    return root


def test_a_sequence_over_the_position_limit_is_refused_before_anything_is_written(folders, tmp_path):
    data = replace(SMALL_DATA, sequences=[*SMALL_DATA.sequences[:5], "ACGT" * 10, *SMALL_DATA.sequences[6:]])
    with pytest.raises(
        DataError,
        match=r"record_5 with 40 tokens; expected at most 32 with \[CLS\] and \[SEP\], the positions of the "
        r"model \(32 bp in kmer_k3_s1\); shorten the sequences to 32 bp, or .* long_inputs=windows",
    ):
        finetune(data, tmp_path / "run", settings=SHORT, pretrained=folders / "bert")
    assert not (tmp_path / "run").exists()


def test_long_inputs_are_cut_into_windows_in_training_and_prediction(folders, tmp_path):
    data = replace(SMALL_DATA, sequences=[text * 2 for text in SMALL_DATA.sequences])
    settings = replace(SHORT, long_inputs="windows")
    metrics = finetune(data, tmp_path / "run", settings=settings, pretrained=folders / "bert")
    assert metrics["steps"] == 3 * 9, "24 sequences of 58 k-mers are 72 windows of 30"
    classifier = load_classifier(tmp_path / "run")
    found = classify_sequences(classifier, data.sequences[:1])
    ids = encode_sequences(data.sequences[:1], SCHEME, add_special_tokens=False)[0]
    pieces = [np.concatenate([[2], ids[start : start + 30], [3]]) for start in (0, 14, 28)]
    with torch.no_grad():
        logits = classifier.model(input_ids=torch.from_numpy(np.stack(pieces)).long()).logits
    np.testing.assert_allclose(found[0], logits.mean(0).softmax(-1).numpy(), atol=1e-5)


def test_a_prediction_over_the_position_limit_is_refused(folders, tmp_path):
    finetune(SMALL_DATA, tmp_path / "run", settings=SHORT, pretrained=folders / "bert")
    with pytest.raises(DataError, match=r"sequence 2 with 40 tokens; expected at most 32"):
        classify_sequences(load_classifier(tmp_path / "run"), ["ACGT", "ACGT" * 10])


def test_a_vocabulary_that_is_not_the_models_is_refused(folders, tmp_path):
    MODELS["bert"].save_pretrained(tmp_path / "lm")
    save_tokenizer(KmerScheme(k=2, stride=1), tmp_path / "lm")
    with pytest.raises(RunFolderError, match=r"vocab_size 69 in .*; expected 21, the token ids of its tok"):
        finetune(SMALL_DATA, tmp_path / "run", settings=SHORT, pretrained=tmp_path / "lm")


def test_a_folder_as_dnabert_was_published(folders, tmp_path):
    """Without genolm's tokenizer, with a vocab.txt, an old config.json and code that is not run."""
    folder = tmp_path / "dnabert"
    MODELS["bert"].save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, *build_kmer_names(3)]) + "\n")
    config = read_json(folder / "config.json")
    del config["model_type"]
    write_json(folder / "config.json", {**config, "auto_map": {"AutoModel": "dnabert_layer.BertModel"}})
    finetune(SMALL_DATA, tmp_path / "run", settings=SHORT, pretrained=folder)
    assert load_classifier(tmp_path / "run").scheme == SCHEME
    assert "auto_map" not in read_json(tmp_path / "run" / "config.json")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(RunFolderError, match=r"pytorch_model.bin and no model.safetensors .* convert it"):
        finetune(SMALL_DATA, tmp_path / "other", settings=SHORT, pretrained=folder)


def test_folders_without_a_usable_model_are_refused(folders, tmp_path):
    folder = tmp_path / "lm"
    save_model_folder(folder, model=MODELS["bert"], scheme=SCHEME)
    config = read_json(folder / "config.json")
    write_json(folder / "config.json", {**config, "model_type": "gpt2"})
    with pytest.raises(
        RunFolderError, match=r"the model type gpt2 in .*; expected a pretrained model of the"
    ):
        finetune(SMALL_DATA, tmp_path / "run", settings=SHORT, pretrained=folder)
    write_json(folder / "config.json", {**config, "num_hidden_layers": 3})
    with pytest.raises(
        RunFolderError, match=r"no fitting weights for 16 parameters such as bert.encoder.lay"
    ):
        finetune(SMALL_DATA, tmp_path / "run", settings=SHORT, pretrained=folder)
    write_json(folder / "config.json", config)
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(RunFolderError, match=r"weights that cannot be read \(.*copy the folder again"):
        finetune(SMALL_DATA, tmp_path / "third", settings=SHORT, pretrained=folder)


def test_lora_wants_peft_and_a_model_with_attention(folders, tmp_path, monkeypatch):
    settings = replace(SHORT, method="lora")
    with pytest.raises(SettingsError, match="method lora for an AWD-LSTM; expected a model with attention"):
        finetune(SMALL_DATA, tmp_path / "run", settings=settings, scheme=SCHEME)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(SettingsError, match=r"method lora without the package peft; .*genolm\[lora\]"):
        finetune(SMALL_DATA, tmp_path / "run", settings=settings, pretrained=folders / "bert")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "adapters"}, "found 'adapters'; expected one of full, probe, lora"),
        ({"warmup_steps": 5}, "warmup_steps 5 with the schedule slanted_triangular"),
        ({"task": "regression"}, "monitor 'auroc'; expected .* spearman, pearson, mse, loss"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(wrong, message):
    with pytest.raises(SettingsError, match=message):
        FinetuneSettings(**wrong)


def test_lora_settings_out_of_range_are_refused():
    with pytest.raises(SettingsError, match="lora with rank 0, alpha 16, dropout 0"):
        LoraSettings(rank=0)


def count_boxes(data: LabeledData) -> np.ndarray:
    return np.array([text.count("TA") for text in data.sequences])


@pytest.mark.parametrize("model_type", ["bert", "awd_lstm"])
def test_a_regression_learns_numbers_in_their_own_units(model_type, folders, tmp_path):
    names = tuple(str(1000.0 + 50.0 * number) for number in range(12))
    data = replace(DATA, labels=count_boxes(DATA), label_names=names)
    settings = replace(SETTINGS, task="regression", monitor="spearman")
    start = {"scheme": SCHEME} if model_type == "awd_lstm" else {"pretrained": folders / model_type}
    if model_type == "awd_lstm":
        settings = replace(settings, model=AwdLstmSettings(embedding_size=16, lstm_size=24, num_layers=1))
    metrics = finetune(data, tmp_path, settings=settings, **start)["test"]
    assert metrics["spearman"] > 0.8
    values = 1000.0 + 50.0 * count_boxes(data.select("test"))
    assert metrics["mse"] < 0.5 * values.var()
    found = classify_sequences(load_classifier(tmp_path), data.select("test").sequences)
    assert found.shape == (60, 1)
    assert ((found[:, 0] - values) ** 2).mean() == pytest.approx(metrics["mse"], rel=1e-3)


def test_several_labels_of_a_sequence(folders, tmp_path):
    has_skew = [text.count("G") > text.count("C") for text in DATA.sequences]
    data = replace(DATA, labels=DATA.labels * 2 + has_skew, label_names=(";", "skew", "box", "box; skew"))
    settings = replace(SETTINGS, task="multi_label")
    metrics = finetune(data, tmp_path, settings=settings, pretrained=folders / "bert")["test"]
    assert set(metrics) == {"auroc", "auprc", "n", "ci95", "labels"}
    assert metrics["ci95"]["auroc"][0] <= metrics["auroc"] <= metrics["ci95"]["auroc"][1]
    assert metrics["auroc"] == pytest.approx(
        np.mean([metrics["labels"][name]["auroc"] for name in ("box", "skew")])
    )
    assert metrics["labels"]["box"]["auroc"] > 0.9
    assert "auroc" in metrics["labels"]["skew"]["ci95"]
    classifier = load_classifier(tmp_path)
    assert (classifier.task, classifier.label_names) == ("multi_label", ("box", "skew"))
    found = classify_sequences(classifier, data.sequences[:8])
    assert np.abs(found.sum(axis=1) - 1).max() > 0.05, "labels are not exclusive"
