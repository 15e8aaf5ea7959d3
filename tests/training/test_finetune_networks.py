"""Convolutional and recurrent networks under the same training as every other classifier."""

from dataclasses import replace

import numpy as np
import pytest
from breaking import BreakingReporter, BrokenOffError
from small_masked_lms import DATA, SETTINGS, SMALL_DATA

from genolm.errors import SettingsError
from genolm.files import compute_sha256
from genolm.inference.classify import classify_sequences, load_classifier
from genolm.models.sequence_nets import SequenceNetSettings
from genolm.tokenization.scheme import KmerScheme
from genolm.training.classifier import finetune
from genolm.training.job import LoopSettings
from genolm.training.schedules import PhaseSettings

NUCLEOTIDE = KmerScheme(k=1, stride=1)
DEEPBIND = SequenceNetSettings(architecture="deepbind", classifier_dropout=0.2)
DANQ = SequenceNetSettings(architecture="danq", num_kernels=8, kernel_width=6, pool_width=3, hidden_size=8)
PHASES = (PhaseSettings(epochs=12, learning_rate=1e-2),)
NETWORK = replace(SETTINGS, network=DEEPBIND, phases=PHASES)


def test_deepbind_learns_the_planted_motif_and_is_read_back(tmp_path):
    metrics = finetune(DATA, tmp_path / "run", settings=NETWORK, scheme=NUCLEOTIDE)
    assert metrics["test"]["auroc"] > 0.9
    classifier = load_classifier(tmp_path / "run")
    assert classifier.model.config.architecture == "deepbind"
    found = classify_sequences(classifier, DATA.select("test").sequences)
    assert (found.argmax(axis=1) == DATA.select("test").labels).mean() == metrics["test"]["accuracy"]


@pytest.mark.parametrize("network", [DEEPBIND, DANQ], ids=["deepbind", "danq"])
def test_a_broken_off_training_ends_like_an_unbroken_one(network, tmp_path):
    loop = LoopSettings(precision="no", checkpoint_every_steps=2, log_every_steps=1)
    phases = (PhaseSettings(epochs=3, learning_rate=1e-2),)
    settings = replace(SETTINGS, network=network, phases=phases, batch_size=8, loop=loop)
    whole = finetune(SMALL_DATA, tmp_path / "whole", settings=settings, scheme=NUCLEOTIDE)
    for step in (2, 7):
        with pytest.raises(BrokenOffError, match=f"after step {step}"):
            finetune(
                SMALL_DATA,
                tmp_path / "broken",
                settings=settings,
                scheme=NUCLEOTIDE,
                reporter=BreakingReporter(step),
            )
    again = finetune(SMALL_DATA, tmp_path / "broken", settings=settings, scheme=NUCLEOTIDE)
    assert again == whole
    weights = [compute_sha256(tmp_path / name / "model.safetensors") for name in ("whole", "broken")]
    assert weights[0] == weights[1]


def test_a_network_of_kmers_has_an_embedding_which_vectors_may_begin(tmp_path):
    scheme = KmerScheme(k=2, stride=1)
    network = replace(DEEPBIND, embedding_size=6)
    phases = (PhaseSettings(epochs=1, learning_rate=1e-3),)
    settings = replace(NETWORK, network=network, phases=phases, warmup_steps=0)
    vectors = np.random.default_rng(0).normal(size=(scheme.vocab_size, 6)).astype(np.float32)
    finetune(SMALL_DATA, tmp_path / "run", settings=settings, scheme=scheme, embeddings=vectors)
    weight = load_classifier(tmp_path / "run").model.get_input_embeddings().weight.detach().numpy()
    assert np.corrcoef(weight[5:].ravel(), vectors[5:].ravel())[0, 1] > 0.95


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"method": "lora"},
            "found method lora for a convolutional or recurrent network; expected",
        ),
        ({"pooling": "mean"}, "found pooling mean for a convolutional"),
    ],
)
def test_what_a_network_cannot_do_is_refused(changes, message, tmp_path):
    with pytest.raises(SettingsError, match=message):
        finetune(SMALL_DATA, tmp_path / "run", settings=replace(NETWORK, **changes), scheme=NUCLEOTIDE)
    assert not (tmp_path / "run").exists()


def test_one_hot_bases_take_neither_kmers_nor_vectors(tmp_path):
    with pytest.raises(SettingsError, match=r"found the tokenizer kmer_k3_s1 with one-hot bases"):
        finetune(SMALL_DATA, tmp_path / "run", settings=NETWORK, scheme=KmerScheme(k=3, stride=1))
    vectors = np.ones((NUCLEOTIDE.vocab_size, 4), dtype=np.float32)
    with pytest.raises(SettingsError, match="found embeddings for one-hot bases"):
        finetune(SMALL_DATA, tmp_path / "run", settings=NETWORK, scheme=NUCLEOTIDE, embeddings=vectors)
    assert not (tmp_path / "run").exists()
