"""A small model with random weights for every kind of folder that genolm writes."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    ModernBertConfig,
    ModernBertForMaskedLM,
    ModernBertForSequenceClassification,
)

from genolm.models import AwdLstmConfig, AwdLstmForCausalLM, AwdLstmForSequenceClassification
from genolm.models.sequence_nets import SequenceNetSettings, build_sequence_net
from genolm.tokenization.scheme import KmerScheme
from genolm.training.persistence.run_folder import save_model_folder

NAMES = {0: "other", 1: "promoter"}
SCHEME = KmerScheme(k=3, stride=1)
MAX_TOKENS = 32  # of the models with attention
ENCODER = {
    "vocab_size": SCHEME.vocab_size,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": MAX_TOKENS,
    "initializer_range": 0.3,  # so that random weights tell sequences apart
    "pad_token_id": 0,
}
SPECIAL = {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
LSTM = {"vocab_size": SCHEME.vocab_size, "embedding_size": 8, "lstm_size": 12, "num_layers": 2}
BASES = KmerScheme(k=1, stride=1)
LANGUAGE_MODELS = ("bert_lm", "modernbert_lm", "awd_lstm_lm", "backward_lm")
CLASSIFIERS = (
    "bert_classifier",
    "modernbert_classifier",
    "awd_lstm_classifier",
    "deepbind_classifier",
    "danq_classifier",
)


def build_small_model(name: str) -> tuple[Any, KmerScheme]:
    """Return one of LANGUAGE_MODELS or CLASSIFIERS in eval mode, always the same weights, and its scheme."""
    if name in ("deepbind_classifier", "danq_classifier"):
        settings = SequenceNetSettings(architecture=name.removesuffix("_classifier"))
        return build_sequence_net(BASES, settings, names=tuple(NAMES.values()), seed=1).eval(), BASES
    torch.manual_seed(1)
    bert, modernbert = BertConfig(**ENCODER), ModernBertConfig(**ENCODER, **SPECIAL)
    lstm = AwdLstmConfig(**LSTM, kmer_k=3, kmer_stride=1)
    if name.endswith("_classifier"):
        for config in (bert, modernbert, lstm):
            config.id2label = NAMES
    model = {
        "bert_lm": lambda: BertForMaskedLM(bert),
        "modernbert_lm": lambda: ModernBertForMaskedLM(modernbert),
        "awd_lstm_lm": lambda: AwdLstmForCausalLM(lstm),
        "backward_lm": lambda: AwdLstmForCausalLM(AwdLstmConfig(**LSTM, kmer_k=3, direction="backward")),
        "bert_classifier": lambda: BertForSequenceClassification(bert),
        "modernbert_classifier": lambda: ModernBertForSequenceClassification(modernbert),
        "awd_lstm_classifier": lambda: AwdLstmForSequenceClassification(lstm),
    }[name]()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)  # biases, too
    return model.eval(), SCHEME


def save_small_model(folder: Path, name: str) -> Path:
    """Write one of them as a folder of a finished run, and return the folder."""
    model, scheme = build_small_model(name)
    save_model_folder(folder, model=model, scheme=scheme)
    return folder
