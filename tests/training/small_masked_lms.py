"""Small masked language models with random weights, and sequences with a planted motif."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertForMaskedLM, ModernBertConfig, ModernBertForMaskedLM

from genolm.corpus.labeled import LabeledData
from genolm.tokenization.scheme import KmerScheme
from genolm.training.classifier import FinetuneSettings
from genolm.training.job import LoopSettings
from genolm.training.persistence.run_folder import save_model_folder
from genolm.training.schedules import PhaseSettings

SCHEME = KmerScheme(k=3, stride=1)
MAX_TOKENS = 32
SIZE = {
    "vocab_size": SCHEME.vocab_size,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": MAX_TOKENS,
    "initializer_range": 0.2,  # so that a random encoder's vectors tell something
    "pad_token_id": 0,
}
MODELS = {
    "bert": BertForMaskedLM(BertConfig(**SIZE)),
    "modernbert": ModernBertForMaskedLM(
        ModernBertConfig(**SIZE, bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3)
    ),
}
SETTINGS = FinetuneSettings(
    phases=(PhaseSettings(epochs=6, learning_rate=5e-3),),
    schedule="linear",
    warmup_steps=3,
    group_factor=1.0,
    batch_size=16,
    classifier_dropout=0.1,
    loop=LoopSettings(precision="no", checkpoint_every_steps=100),
)
SHORT = replace(
    SETTINGS,
    phases=(
        PhaseSettings(epochs=1, learning_rate=5e-3, trained_groups=1),
        PhaseSettings(epochs=2, learning_rate=5e-3),
    ),
    warmup_steps=0,
    batch_size=8,
    loop=LoopSettings(precision="no", checkpoint_every_steps=5, log_every_steps=1),
)


def make_data(*, train: int, validation: int, test: int = 0) -> LabeledData:
    """Random sequences of 30 bases; those of label 1 hold TATAAT three times."""
    generator = np.random.default_rng(0)
    splits = ("train",) * train + ("validation",) * validation + ("test",) * test
    labels = np.arange(len(splits)) % 2
    sequences = []
    for label in labels:
        pieces = ["".join(generator.choice(list("ACGT"), size=6)) for _ in range(5)]
        for place in generator.permutation(5)[: 3 * label]:
            pieces[place] = "TATAAT"
        sequences.append("".join(pieces))
    ids = tuple(f"record_{index}" for index in range(len(splits)))
    return LabeledData(
        sequences=sequences, labels=labels, label_names=("none", "box"), splits=splits, ids=ids
    )


DATA = make_data(train=160, validation=40, test=60)
SMALL_DATA = make_data(train=24, validation=10)


def save_pretrained(root: Path) -> None:
    """Write a folder for each of MODELS, with weights that a seed decides."""
    for name, model in MODELS.items():
        torch.manual_seed(1)
        save_model_folder(root / name, model=type(model)(model.config), scheme=SCHEME)
