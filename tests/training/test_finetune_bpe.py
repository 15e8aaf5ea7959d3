"""Fine-tuning and predicting with a masked language model of BPE tokens."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from breaking import BreakingReporter, BrokenOffError
from safetensors.torch import load_file
from small_bpe import train_small_bpe
from small_masked_lms import SHORT, SMALL_DATA
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from genolm.errors import DataError, RunFolderError, SettingsError
from genolm.evaluation.classifier import evaluate_classifier
from genolm.files import compute_sha256, read_json
from genolm.inference.classify import classify_bases, classify_sequences, load_classifier
from genolm.models.bert import BertSettings, build_masked_lm
from genolm.models.sequence_nets import SequenceNetSettings
from genolm.models.strands import turn_sequences
from genolm.tokenization.encoder import encode_sequences
from genolm.training.classifier import finetune
from genolm.training.finetuning.data import build_targets, encode_split
from genolm.training.job import LoopSettings
from genolm.training.persistence.run_folder import save_model_folder

SEQUENCES = SMALL_DATA.sequences
LONG = SEQUENCES[0] * 3


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return train_small_bpe(tmp_path_factory.mktemp("bpe"))


@pytest.fixture(scope="module", params=["bert", "modernbert"])
def pretrained(request, tokens, tmp_path_factory):
    """A folder with the weights that a pretraining begins with."""
    folder = tmp_path_factory.mktemp("lm") / request.param
    settings = BertSettings(architecture=request.param, size="debug", max_tokens=24)
    save_model_folder(folder, model=build_masked_lm(tokens, settings, seed=0), scheme=tokens)
    return folder


@pytest.fixture(scope="module")
def trained(pretrained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    return folder, finetune(SMALL_DATA, folder, settings=SHORT, pretrained=pretrained)


def test_the_folder_gives_with_plain_classes_what_genolm_predicts(trained, tokens):
    folder, metrics = trained
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert compute_sha256(folder / name) == compute_sha256(tokens.folder / name)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    stock = AutoTokenizer.from_pretrained(folder)
    batch = stock(list(SEQUENCES), padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(**batch).logits.softmax(-1).numpy()
    classifier = load_classifier(folder)
    assert classifier.scheme == tokens
    found = classify_sequences(classifier, SEQUENCES, batch_size=7)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    scores = evaluate_classifier(classifier, SMALL_DATA.select("validation"))
    assert scores["mcc"] == pytest.approx(metrics["validation"]["mcc"])


def test_the_run_says_which_tokens_it_learned_from(trained, pretrained, tokens):
    config = read_json(trained[0] / "run_config.json")
    assert config["settings"]["tokenizer"] == "bpe_40"
    assert config["inputs"]["tokenizer"] == compute_sha256(tokens.folder / "tokenizer.json")
    assert finetune(SMALL_DATA, trained[0], settings=SHORT, pretrained=pretrained) == trained[1]
    other = pretrained.parent / "other"
    save_model_folder(
        other,
        model=build_masked_lm(tokens, BertSettings(size="debug", max_tokens=24), seed=0),
        scheme=train_small_bpe(other.parent / "tokens", seed=4),
    )
    with pytest.raises(RunFolderError, match=r"another run in .*\(inputs\.\w+ was"):
        finetune(SMALL_DATA, trained[0], settings=SHORT, pretrained=other)


def test_the_log_counts_the_bases_of_the_tokens(trained, tokens):
    lines = (trained[0] / "training_log.jsonl").read_text().splitlines()
    speeds = [line["speed"] for line in map(json.loads, lines) if "bases_per_s" in line.get("speed", {})]
    ratio = speeds[-1]["bases_per_s"] / speeds[-1]["tokens_per_s"]
    train = SMALL_DATA.select("train").sequences
    num_tokens = sum(map(len, AutoTokenizer.from_pretrained(tokens.folder)(list(train))["input_ids"]))
    assert ratio == pytest.approx(sum(map(len, train)) / num_tokens, rel=0.01)


def test_long_sequences_are_refused_or_cut_into_windows(trained, pretrained, tokens, tmp_path):
    words = AutoTokenizer.from_pretrained(tokens.folder).tokenize(LONG)
    bp = sum(map(len, words[:22]))
    message = (
        rf"sequence 2 with {len(words) + 2} tokens; expected at most 24 with \[CLS\] and \[SEP\], the "
        rf"positions of the model \(about {bp} bp in bpe_40\); shorten the sequences to about {bp} bp, or"
    )
    with pytest.raises(DataError, match=message):
        classify_sequences(load_classifier(trained[0]), [SEQUENCES[0], LONG])
    data = replace(SMALL_DATA, sequences=[LONG, *SEQUENCES[1:]])
    with pytest.raises(DataError, match="record_0 with "):
        finetune(data, tmp_path / "refused", settings=SHORT, pretrained=pretrained)
    settings = replace(SHORT, long_inputs="windows")
    finetune(data, tmp_path / "run", settings=settings, pretrained=pretrained)
    found = classify_sequences(load_classifier(tmp_path / "run"), [LONG, *SEQUENCES[1:3]])
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "the tokenizer bpe_40 for an AWD-LSTM from random weights; expected k-mers"),
        ({"network": SequenceNetSettings()}, "the tokenizer bpe_40"),
    ],
    ids=["awd-lstm", "network"],
)
def test_networks_from_random_weights_take_kmers(tokens, tmp_path, changes, message):
    with pytest.raises(SettingsError, match=message):
        finetune(SMALL_DATA, tmp_path / "run", settings=replace(SHORT, **changes), scheme=tokens)
    assert not (tmp_path / "run").exists()


def test_labels_of_bases_take_kmers(pretrained, trained, tmp_path):
    data = replace(SMALL_DATA, labels=np.zeros(len(SEQUENCES), dtype=np.int64), label_names=("AC" * 15,))
    settings = replace(SHORT, task="token_classification", monitor="mcc")
    with pytest.raises(SettingsError, match="the tokenizer bpe_40 for labels of bases; expected k-mers"):
        finetune(data, tmp_path / "run", settings=settings, pretrained=pretrained)
    assert not (tmp_path / "run").exists()
    with pytest.raises(SettingsError, match="the tokenizer bpe_40 for labels of bases"):
        classify_bases(load_classifier(trained[0]), ["ACGT"])


def test_a_training_that_broke_off_goes_on_to_the_same_weights(pretrained, trained, tmp_path):
    with pytest.raises(BrokenOffError, match="broken off after step 7"):
        finetune(
            SMALL_DATA, tmp_path / "run", settings=SHORT, pretrained=pretrained, reporter=BreakingReporter(7)
        )
    loop = LoopSettings(precision="no", checkpoint_every_steps=5, log_every_steps=1, workers=1)
    finetune(SMALL_DATA, tmp_path / "run", settings=replace(SHORT, loop=loop), pretrained=pretrained)
    one, other = (load_file(path / "model.safetensors") for path in (tmp_path / "run", trained[0]))
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_the_other_strand_has_to_fit_too(tokens):
    """The strands of a sequence differ in their number of BPE tokens."""
    one, other = (encode_sequences(each, tokens) for each in (SEQUENCES, turn_sequences(SEQUENCES)))
    index = next(index for index, ids in enumerate(one) if len(ids) < len(other[index]))
    data = replace(SMALL_DATA, sequences=[SEQUENCES[index]] * len(SEQUENCES))
    targets, limit = build_targets(data, "classification"), len(one[index])
    config = SimpleNamespace(max_position_embeddings=limit, average_strands=False)
    assert encode_split(data, targets, "train", scheme=tokens, model_config=config).ids == data.ids[:24]
    config.average_strands = True
    message = f"record_0 with {len(other[index])} tokens; expected at most {limit} with"
    with pytest.raises(DataError, match=message):
        encode_split(data, targets, "train", scheme=tokens, model_config=config)
