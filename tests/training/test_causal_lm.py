import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from breaking import BreakingReporter, BrokenOffError
from transformers import AutoModelForCausalLM

from genolm.corpus.bases import CorpusBases, load_corpus_bases
from genolm.corpus.build import build_corpus
from genolm.corpus.settings import CorpusSettings
from genolm.errors import DataError, RunFolderError, SettingsError
from genolm.models import AwdLstmConfig, AwdLstmForCausalLM
from genolm.models.settings import AwdLstmSettings, DropoutSettings
from genolm.tokenization.encoder import encode_sequences
from genolm.tokenization.scheme import KmerScheme
from genolm.training.adaptation import AdaptSettings, adapt
from genolm.training.causal_lm import PretrainCausalSettings, build_causal_lm, pretrain_causal
from genolm.training.lm_score import compute_lm_score, cut_windows
from genolm.training.loop import LoopSettings
from genolm.training.persistence.run_folder import save_model_folder
from genolm.training.token_stream import TokenStreamSettings

SCHEME = KmerScheme(k=3, stride=1)
LOOP = LoopSettings(precision="no", checkpoint_every_steps=40, log_every_steps=1)
SETTINGS = PretrainCausalSettings(
    tokens=80_000,
    learning_rate=2e-2,
    evaluations=3,
    eval_window_bp=256,
    model=AwdLstmSettings(embedding_size=16, lstm_size=24, num_layers=2),
    dropout=DropoutSettings(multiplier=0.1),
    stream=TokenStreamSettings(lanes=16, bptt_tokens=30, document_bp=1_000, both_strands=False),
    loop=LOOP,
)
ADAPT_SETTINGS = AdaptSettings(epochs=2, learning_rate=5e-2, batch_size=4, loop=LOOP)
# An order-2 Markov chain: after any two bases, one has this probability and the others share the rest.
LIKELY = 0.88
CHAIN_BITS = -(LIKELY * math.log2(LIKELY) + (1 - LIKELY) * math.log2((1 - LIKELY) / 3))


def draw_chain(length_bp: int, *, seed: int, shift: int = 0) -> str:
    generator = np.random.default_rng(seed)
    is_likely, other = generator.random(length_bp) < LIKELY, generator.integers(1, 4, size=length_bp)
    codes = [0, 1]
    for index in range(2, length_bp):
        favorite = (2 * codes[-2] + codes[-1] + 1 + shift) % 4
        codes.append(int(favorite if is_likely[index] else (favorite + other[index]) % 4))
    return "".join("ATCG"[code] for code in codes)


def compute_unigram_bits(text: str) -> float:
    shares = np.array([text.count(base) for base in "ACGT"]) / len(text)
    return float(-(shares * np.log2(shares)).sum())


@pytest.fixture(scope="module")
def chain() -> str:
    return draw_chain(60_000, seed=0)


@pytest.fixture(scope="module")
def corpus(chain, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("chain")
    (folder / "genome.fa").write_text(f">one\n{chain}\n")
    build_corpus([folder / "genome.fa"], folder / "corpus", settings=CorpusSettings(block_bp=3_000))
    return folder / "corpus"


@pytest.fixture(scope="module")
def pretrained(corpus, tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("lm") / "run"
    return folder, pretrain_causal(corpus, folder, scheme=SCHEME, settings=SETTINGS)


def test_a_language_model_learns_the_planted_chain(pretrained, chain):
    folder, metrics = pretrained
    unigram_bits = compute_unigram_bits(chain)
    assert unigram_bits > 1.9, "single bases tell nothing"
    for split in ("validation", "test"):
        assert CHAIN_BITS - 0.02 < metrics[split]["bits_per_base"] < CHAIN_BITS + 0.12
        assert metrics[split]["bits_per_base"] < 0.6 * unigram_bits
    assert json.loads((folder / "metrics.json").read_text()) == metrics


def test_the_metrics_of_a_language_model(pretrained, corpus):
    _, metrics = pretrained
    assert set(metrics) == {"steps", "best_step", "tokens_seen", "bases_seen", "validation", "test"}
    assert metrics["steps"] == math.ceil(80_000 / (16 * 30))
    assert metrics["tokens_seen"] == pytest.approx(80_000, rel=0.05)
    assert metrics["bases_seen"] == metrics["tokens_seen"]
    for split in ("validation", "test"):
        score = metrics[split]
        assert set(score) == {"loss", "bits_per_base", "bases", "perplexity"}
        assert score["perplexity"] == pytest.approx(math.exp(score["loss"]))
        assert score["bits_per_base"] == pytest.approx(score["loss"] / math.log(2))
        windows = cut_windows(load_corpus_bases(corpus, split), window_bp=256, min_bp=4)
        assert score["bases"] == sum(len(window) - 3 for window in windows)


def test_the_run_folder_is_a_model_folder(pretrained):
    folder, _ = pretrained
    assert {file.name for file in folder.iterdir()} == {
        "config.json",
        "loss_curve.png",
        "metrics.json",
        "model.safetensors",
        "modeling_awd_lstm.py",
        "run_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "training_log.jsonl",
    }
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert (model.config.kmer_k, model.config.kmer_stride, model.config.vocab_size) == (3, 1, 69)
    assert model.config.weight_dropout == pytest.approx(0.02)


def test_the_saved_weights_are_the_scored_ones(pretrained, corpus):
    folder, metrics = pretrained
    model = AwdLstmForCausalLM.from_pretrained(folder).eval()
    windows = cut_windows(load_corpus_bases(corpus, "test"), window_bp=256, min_bp=4)
    texts = ["".join("ATCG"[code] for code in window) for window in windows]
    score = compute_lm_score(model, encode_sequences(texts, SCHEME), scheme=SCHEME)
    assert score.bits_per_base == pytest.approx(metrics["test"]["bits_per_base"], abs=1e-6)


def test_the_steps_are_evaluated_as_often_as_asked(pretrained):
    folder, metrics = pretrained
    records = [json.loads(line) for line in (folder / "training_log.jsonl").read_text().splitlines()]
    evaluated = [record["step"] for record in records if "evaluation" in record]
    assert evaluated == [55, 110, 165, 167]
    best = min(
        (record for record in records if "evaluation" in record), key=lambda r: r["evaluation"]["loss"]
    )
    assert metrics["best_step"] == best["step"]


def test_a_finished_language_model_is_returned_at_once(pretrained, corpus):
    folder, metrics = pretrained
    times = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    again = pretrain_causal(corpus, folder, scheme=SCHEME, settings=SETTINGS, reporter=BreakingReporter(1))
    assert again == metrics
    assert {file: file.stat().st_mtime_ns for file in folder.iterdir()} == times


def test_a_run_folder_with_other_settings_is_refused(pretrained, corpus):
    with pytest.raises(RunFolderError, match=r"settings.learning_rate was 0.02, is now 0.01"):
        pretrain_causal(corpus, pretrained[0], scheme=SCHEME, settings=replace(SETTINGS, learning_rate=1e-2))
    with pytest.raises(RunFolderError, match=r"settings.seed was 0, is now 1"):
        pretrain_causal(corpus, pretrained[0], scheme=SCHEME, settings=SETTINGS, seed=1)
    with pytest.raises(RunFolderError, match=r"settings.tokenizer was kmer_k3_s1, is now kmer_k3_s2"):
        pretrain_causal(corpus, pretrained[0], scheme=KmerScheme(3, 2), settings=SETTINGS)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_broken_off_pretraining_ends_like_an_unbroken_one(stride, corpus, tmp_path):
    settings = replace(SETTINGS, tokens=12_000, loop=replace(LOOP, checkpoint_every_steps=10))
    scheme = KmerScheme(3, stride)
    whole = pretrain_causal(corpus, tmp_path / "whole", scheme=scheme, settings=settings)
    with pytest.raises(BrokenOffError, match="after step 17"):
        pretrain_causal(
            corpus, tmp_path / "parts", scheme=scheme, settings=settings, reporter=BreakingReporter(17)
        )
    assert pretrain_causal(corpus, tmp_path / "parts", scheme=scheme, settings=settings) == whole
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts")]
    assert weights[0] == weights[1]
    assert whole["bases_seen"] == stride * whole["tokens_seen"]


def test_a_corpus_without_validation_is_refused(tmp_path):
    (tmp_path / "genome.fa").write_text(f">one\n{'ACGTTGCA' * 200}\n")
    build_corpus([tmp_path / "genome.fa"], tmp_path / "corpus", settings=CorpusSettings(split="none"))
    settings = replace(SETTINGS, stream=replace(SETTINGS.stream, lanes=2))
    with pytest.raises(DataError, match=r"no validation split .*; build the corpus with split: blocks"):
        pretrain_causal(tmp_path / "corpus", tmp_path / "run", scheme=SCHEME, settings=settings)


@pytest.mark.parametrize(
    "wrong",
    [{"tokens": 0}, {"evaluations": 0}, {"learning_rate": 0.0}, {"eval_window_bp": 0}, {"eval_max_bp": 0}],
)
def test_pretraining_settings_out_of_range_are_refused(wrong):
    with pytest.raises(SettingsError, match=f"{next(iter(wrong))} {next(iter(wrong.values()))}"):
        PretrainCausalSettings(**wrong)


def test_the_multiplier_scales_every_dropout():
    config = DropoutSettings(multiplier=0.5, hidden=0.4).build_config()
    assert config == {
        "embedding_dropout": 0.01,
        "input_dropout": 0.125,
        "hidden_dropout": 0.2,
        "weight_dropout": 0.1,
        "output_dropout": 0.05,
    }


def test_start_weights_follow_the_seed():
    first, same, other = (build_causal_lm(SCHEME, SETTINGS, seed=seed).decoder.weight for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_adapting_helps_on_sequences_of_another_chain(pretrained, tmp_path):
    texts = [draw_chain(200, seed=seed, shift=1) for seed in range(100)]
    metrics = adapt(
        pretrained[0],
        tmp_path / "run",
        train_sequences=texts[:80],
        validation_sequences=texts[80:],
        settings=ADAPT_SETTINGS,
    )
    assert set(metrics) == {"steps", "best_step", "tokens_seen", "validation", "validation_before"}
    assert metrics["steps"] == 2 * 20
    assert metrics["tokens_seen"] == 2 * 80 * 200  # 198 3-mers, [CLS] and [SEP]
    assert metrics["validation_before"]["bits_per_base"] > 2, "the other chain surprises the model"
    assert metrics["validation"]["bits_per_base"] < metrics["validation_before"]["bits_per_base"] - 2
    assert metrics["validation"]["bases"] == 20 * 197
    again = adapt(
        pretrained[0],
        tmp_path / "run",
        train_sequences=texts[:80],
        validation_sequences=texts[80:],
        settings=ADAPT_SETTINGS,
        reporter=BreakingReporter(1),
    )
    assert again == metrics
    with pytest.raises(RunFolderError, match=r"inputs.sequences was"):
        adapt(
            pretrained[0],
            tmp_path / "run",
            train_sequences=texts[:79],
            validation_sequences=texts[80:],
            settings=ADAPT_SETTINGS,
        )


def test_adapting_needs_a_finished_model(tmp_path):
    with pytest.raises(RunFolderError, match=r"no tokenizer_config.json in"):
        adapt(
            tmp_path,
            tmp_path / "run",
            train_sequences=["A"],
            validation_sequences=["A"],
            settings=ADAPT_SETTINGS,
        )


def test_adapting_needs_a_validation_sequence_to_score(tmp_path):
    model = build_causal_lm(SCHEME, SETTINGS, seed=0)
    save_model_folder(tmp_path / "lm", model=model, scheme=SCHEME)
    with pytest.raises(
        DataError, match=r"no token to score .*; expected at least one sequence of 4 known bases"
    ):
        adapt(
            tmp_path / "lm",
            tmp_path / "run",
            train_sequences=["ACGTACGT"],
            validation_sequences=["ACG", "ANANANAN"],
            settings=ADAPT_SETTINGS,
        )


def build_scored_model(scheme: KmerScheme, *, successor_softmax: bool = True) -> AwdLstmForCausalLM:
    torch.manual_seed(0)
    config = AwdLstmConfig(
        vocab_size=scheme.vocab_size,
        embedding_size=6,
        lstm_size=8,
        num_layers=2,
        kmer_k=scheme.k,
        kmer_stride=scheme.stride,
        successor_softmax=successor_softmax,
    )
    return AwdLstmForCausalLM(config).eval()


@pytest.mark.parametrize("successor_softmax", [True, False])
@pytest.mark.parametrize(
    "scheme", [KmerScheme(3, 1), KmerScheme(4, 2), KmerScheme(2, 2)], ids=lambda s: s.name
)
def test_a_score_sums_the_new_bases_of_each_sequence_by_itself(scheme, successor_softmax):
    model = build_scored_model(scheme, successor_softmax=successor_softmax)
    texts = [draw_chain(length_bp, seed=length_bp) for length_bp in (30, 9, 17, 4, 25)]
    token_ids = encode_sequences(texts, scheme)
    score = compute_lm_score(model, token_ids, scheme=scheme, batch_size=2)
    nats, tokens = 0.0, 0
    for ids in token_ids:
        with torch.no_grad():
            log_probabilities = model(torch.from_numpy(ids)[None].long()).logits[0].log_softmax(-1)
        for position, (_, following) in enumerate(pairwise(ids[1:-1].tolist()), start=1):
            nats -= log_probabilities[position, following].item()
            tokens += 1
    assert tokens == sum((len(text) - scheme.k) // scheme.stride for text in texts)
    assert score.bases == tokens * scheme.stride
    assert score.loss == pytest.approx(nats / tokens, abs=1e-5)
    assert score.bits_per_base == pytest.approx(nats / math.log(2) / score.bases, abs=1e-5)


@pytest.mark.parametrize(
    "scheme", [KmerScheme(3, 1), KmerScheme(4, 2), KmerScheme(3, 3)], ids=lambda s: s.name
)
def test_a_uniform_model_scores_exactly_two_bits_per_base(scheme):
    model = build_scored_model(scheme)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    score = compute_lm_score(model, encode_sequences([draw_chain(50, seed=1)], scheme), scheme=scheme)
    assert score.bits_per_base == pytest.approx(2.0, abs=1e-6)


def test_windows_of_hand_made_rows():
    bases = CorpusBases(
        np.arange(23, dtype=np.uint8),
        np.array([0, 10, 12, 23]),
        row_weights=np.ones(3),
        soft_masked=np.empty((0, 2), dtype=np.int64),
    )
    windows = cut_windows(bases, window_bp=5, min_bp=2)
    assert [window.tolist() for window in windows] == [
        [0, 1, 2, 3, 4],
        [5, 6, 7, 8, 9],
        [10, 11],
        [12, 13, 14, 15, 16],
        [17, 18, 19, 20, 21],
    ]


@pytest.mark.parametrize("successor_softmax", [True, False])
def test_a_k_mer_behind_an_unknown_one_is_not_scored(successor_softmax):
    model = build_scored_model(SCHEME, successor_softmax=successor_softmax)
    token_ids = encode_sequences(["ACGTNACGTAA"], SCHEME)  # ACG CGT, three unknown, ACG CGT GTA TAA
    assert compute_lm_score(model, token_ids, scheme=SCHEME).bases == 1 + 3


def test_adapting_needs_a_sequence_to_train_on(pretrained, tmp_path):
    with pytest.raises(DataError, match="found no sequence to train on"):
        adapt(
            pretrained[0],
            tmp_path / "run",
            train_sequences=[],
            validation_sequences=["ACGTACGT"],
            settings=ADAPT_SETTINGS,
        )


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0}, {"patience": -1}]
)
def test_adapt_settings_out_of_range_are_refused(wrong):
    with pytest.raises(SettingsError, match=f"{next(iter(wrong))} {next(iter(wrong.values()))}"):
        AdaptSettings(**wrong)


def test_a_backward_language_model_learns_the_chain_from_its_end(corpus, chain, tmp_path):
    """A chain has the same bits per base read either way; stage 2 and its scores take the direction on."""
    settings = replace(SETTINGS, model=replace(SETTINGS.model, direction="backward"))
    metrics = pretrain_causal(corpus, tmp_path / "lm", scheme=SCHEME, settings=settings)
    for split in ("validation", "test"):
        assert CHAIN_BITS - 0.02 < metrics[split]["bits_per_base"] < CHAIN_BITS + 0.12
        windows = cut_windows(load_corpus_bases(corpus, split), window_bp=256, min_bp=4)
        assert metrics[split]["bases"] == sum(len(window) - 3 for window in windows)
    texts = [chain[start : start + 200] for start in range(0, 8_000, 200)]
    adapted = adapt(
        tmp_path / "lm",
        tmp_path / "domain",
        train_sequences=texts[:30],
        validation_sequences=texts[30:],
        settings=replace(ADAPT_SETTINGS, learning_rate=1e-3),
    )
    assert adapted["validation_before"]["bases"] == 10 * 197
    assert adapted["validation"]["bits_per_base"] < CHAIN_BITS + 0.12
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "domain").config.direction == "backward"
