"""Fine-tuning: what becomes of the vectors of the tokens before the head."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_masked_lms import SCHEME, SHORT, SMALL_DATA, save_pretrained
from transformers import AutoModelForSequenceClassification

from genolm.config import build_settings
from genolm.errors import RunFolderError, SettingsError
from genolm.files import read_json
from genolm.inference.classify import classify_sequences, load_classifier
from genolm.tokenization.encoder import encode_sequences, pad_batch
from genolm.training.classifier import FinetuneSettings, finetune

SEQUENCES = ["ACGTACGTACGGGTATAAT", "TTGAC", "CATCATNCATTT"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Pretrained folders by model type."""
    root = tmp_path_factory.mktemp("pretrained")
    save_pretrained(root)
    return root


def compute_by_hand(model, pooling: str) -> np.ndarray:
    """Probabilities from the hidden states of a ModernBERT, each sequence by itself."""
    probabilities = []
    for ids in encode_sequences(SEQUENCES, SCHEME):
        with torch.no_grad():
            hidden = model.model(input_ids=torch.from_numpy(ids)[None].long()).last_hidden_state[0]
            pooled = hidden[0] if pooling == "cls" else hidden.mean(dim=0)
            probabilities.append(model.classifier(model.head(pooled)).softmax(-1).numpy())
    return np.array(probabilities)


@pytest.mark.parametrize(
    ("method", "pooling"), [("full", "mean"), ("probe", "mean"), ("lora", "mean"), ("full", "cls")]
)
def test_a_modernbert_pools_as_it_is_told_and_says_so_in_its_config(method, pooling, folders, tmp_path):
    settings = replace(SHORT, method=method, pooling=pooling)
    finetune(SMALL_DATA, tmp_path / "run", settings=settings, pretrained=folders / "modernbert")
    assert read_json(tmp_path / "run" / "config.json")["classifier_pooling"] == pooling
    assert read_json(tmp_path / "run" / "run_config.json")["settings"]["pooling"] == pooling
    classifier = load_classifier(tmp_path / "run")
    found = classify_sequences(classifier, SEQUENCES)
    np.testing.assert_allclose(found, compute_by_hand(classifier.model, pooling), atol=1e-5)
    other = compute_by_hand(classifier.model, "cls" if pooling == "mean" else "mean")
    assert np.abs(found - other).max() > 0.01, "the pooling changes what comes out"
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run").eval()
    batch = pad_batch(encode_sequences(SEQUENCES, SCHEME))
    with torch.no_grad():
        logits = plain(
            input_ids=torch.from_numpy(batch.input_ids), attention_mask=torch.from_numpy(batch.attention_mask)
        ).logits
    np.testing.assert_allclose(logits.softmax(-1).numpy(), found, atol=1e-5)


def test_another_pooling_is_another_run_and_another_model(folders, tmp_path):
    results = {}
    for pooling in ("cls", "mean"):
        settings = replace(SHORT, pooling=pooling)
        finetune(SMALL_DATA, tmp_path / pooling, settings=settings, pretrained=folders / "modernbert")
        results[pooling] = classify_sequences(load_classifier(tmp_path / pooling), SEQUENCES)
    assert np.abs(results["cls"] - results["mean"]).max() > 1e-3
    with pytest.raises(RunFolderError, match=r"pooling was cls, is now mean"):
        finetune(
            SMALL_DATA,
            tmp_path / "cls",
            settings=replace(SHORT, pooling="mean"),
            pretrained=folders / "modernbert",
        )


def test_a_bert_reads_cls_whether_it_is_told_or_not(folders, tmp_path):
    results = []
    for pooling in ("default", "cls"):
        settings = replace(SHORT, pooling=pooling)
        finetune(SMALL_DATA, tmp_path / pooling, settings=settings, pretrained=folders / "bert")
        results.append((tmp_path / pooling / "model.safetensors").read_bytes())
        assert "classifier_pooling" not in read_json(tmp_path / pooling / "config.json")
    assert results[0] == results[1]


def test_a_bert_has_no_mean(folders, tmp_path):
    with pytest.raises(
        SettingsError,
        match=r"pooling mean for a BERT; expected .* reads \[CLS\] alone.*start from a ModernBERT",
    ):
        finetune(SMALL_DATA, tmp_path, settings=replace(SHORT, pooling="mean"), pretrained=folders / "bert")


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_an_awd_lstm_pools_in_one_way(pooling, tmp_path):
    with pytest.raises(
        SettingsError, match=f"pooling {pooling} for an AWD-LSTM; .* joins last, max and mean"
    ):
        finetune(SMALL_DATA, tmp_path, settings=replace(SHORT, pooling=pooling), scheme=SCHEME)


@pytest.mark.parametrize("pooling", ["max", "attention"])
def test_a_pooling_that_no_plain_class_has_is_refused_with_the_reason(pooling):
    with pytest.raises(
        SettingsError,
        match=f"pooling {pooling} in test; .*no longer loads with plain Auto classes; set pooling=mean",
    ):
        build_settings(FinetuneSettings, {"pooling": pooling}, where="test")


def test_other_settings_of_the_pooling_are_refused():
    with pytest.raises(SettingsError, match="'sum'; expected one of default, cls, mean"):
        FinetuneSettings(pooling="sum")
    with pytest.raises(SettingsError, match="pooling mean with the task token_classification"):
        FinetuneSettings(pooling="mean", task="token_classification", monitor="mcc")
