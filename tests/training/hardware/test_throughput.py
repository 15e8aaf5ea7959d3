import resource
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertForMaskedLM

from genolm.models import AwdLstmConfig, AwdLstmForCausalLM, AwdLstmForSequenceClassification
from genolm.training.hardware.throughput import estimate_flops_per_token, read_peak_memory_bytes


def build_bert(**changes) -> BertForMaskedLM:
    settings = {
        "vocab_size": 69,
        "hidden_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 40,
        "max_position_embeddings": 64,
        "attn_implementation": "eager",
    }
    return BertForMaskedLM(BertConfig(**{**settings, **changes}))


@pytest.mark.parametrize("sequence_length", [8, 32])
@pytest.mark.parametrize("tie_word_embeddings", [True, False])
def test_a_transformer_needs_what_pytorch_counts(sequence_length, tie_word_embeddings):
    model = build_bert(tie_word_embeddings=tie_word_embeddings)
    ids = torch.randint(5, 69, (2, sequence_length), generator=torch.Generator().manual_seed(0))
    counter = FlopCounterMode(display=False)
    with counter:
        model(input_ids=ids, labels=ids).loss.backward()
    expected = counter.get_total_flops() / ids.numel()
    assert estimate_flops_per_token(model, sequence_length=sequence_length) == expected


def test_attention_grows_with_the_length_and_nothing_else_does():
    short, long = (estimate_flops_per_token(build_bert(), sequence_length=length) for length in (100, 350))
    assert long - short == 12 * 3 * 24 * 250


@pytest.mark.parametrize(
    ("successor_softmax", "kmer_stride", "rows"), [(True, 1, 4), (True, 2, 16), (False, 1, 69)]
)
@pytest.mark.parametrize("tie_word_embeddings", [True, False])
def test_an_awd_lstm_counts_its_gates_and_the_decoder_rows_it_scores(
    successor_softmax, kmer_stride, rows, tie_word_embeddings
):
    """Layers 5 -> 7 -> 5: four gates, each over the input and the hidden state."""
    config = AwdLstmConfig(
        embedding_size=5,
        lstm_size=7,
        num_layers=2,
        successor_softmax=successor_softmax,
        kmer_stride=kmer_stride,
        tie_word_embeddings=tie_word_embeddings,
    )
    lstm = 4 * 7 * (5 + 7) + 4 * 5 * (7 + 5)
    found = estimate_flops_per_token(AwdLstmForCausalLM(config), sequence_length=70)
    assert found == 6 * (lstm + rows * 5)


def test_a_classifier_counts_its_head_and_no_decoder():
    config = AwdLstmConfig(embedding_size=5, lstm_size=7, num_layers=1, classifier_size=6, num_labels=2)
    model = AwdLstmForSequenceClassification(config)
    assert estimate_flops_per_token(model, sequence_length=70) == 6 * (4 * 5 * (5 + 5) + 15 * 6 + 6 * 2)


def test_a_model_without_a_config_counts_its_matrices():
    assert estimate_flops_per_token(nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4)), sequence_length=9) == 72


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux tells the peak in a file")
def test_peak_memory_is_what_the_kernel_says():
    lines = Path("/proc/self/status").read_text().splitlines()
    kibibytes = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    found = read_peak_memory_bytes(torch.device("cpu"))
    assert 1000 * kibibytes < found < 100_000 * kibibytes  # a process may inherit the peak of what started it


@pytest.mark.parametrize(("platform", "expected"), [("darwin", 5000), ("linux", 5_120_000)])
def test_the_unit_is_that_of_the_platform(platform, expected, monkeypatch):
    class Usage:
        ru_maxrss = 5000

    monkeypatch.setattr(resource, "getrusage", lambda _: Usage)
    monkeypatch.setattr(sys, "platform", platform)
    assert read_peak_memory_bytes(torch.device("cpu")) == expected


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_peak_memory_of_a_gpu_is_what_pytorch_allocated():
    device = torch.device("cuda")
    torch.cuda.reset_peak_memory_stats(device)
    block = torch.ones(50_000_000, dtype=torch.uint8, device=device)
    assert read_peak_memory_bytes(device) >= block.numel()
    assert read_peak_memory_bytes(device) == torch.cuda.max_memory_allocated(device)
