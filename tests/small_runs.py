"""Run folders as a training leaves them, of small models with random weights."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import ModernBertConfig, ModernBertForMaskedLM, PreTrainedModel

from genolm.models import AwdLstmConfig, AwdLstmForCausalLM, AwdLstmForSequenceClassification
from genolm.models.sequence_nets import SequenceNetSettings, build_sequence_net
from genolm.tokenization.scheme import KmerScheme
from genolm.training.causal_lm import PretrainCausalSettings
from genolm.training.classifier import FinetuneSettings
from genolm.training.masked_lm import PretrainMaskedSettings
from genolm.training.persistence.run_folder import finish_run_folder, open_run_folder

SCHEME = KmerScheme(k=3, stride=1)
NAMES = {0: "other", 1: "promoter"}
TRAININGS = {  # command and settings; all others are fine-tuned
    "causal": ("pretrain causal", PretrainCausalSettings()),
    "masked": ("pretrain masked", PretrainMaskedSettings()),
}
LM_METRICS = {"loss": 1.3, "bits_per_base": 1.9, "bases": 1000, "perplexity": 3.67}
CLASS_METRICS = {"accuracy": 0.75, "mcc": 0.5, "auroc": 0.8, "n": 4, "confusion": [[1, 1], [0, 2]]}


def build_model(kind: str) -> PreTrainedModel:
    sizes = {"vocab_size": SCHEME.vocab_size, "embedding_size": 8, "lstm_size": 12, "num_layers": 2}
    labels = {"id2label": NAMES, "label2id": {name: index for index, name in NAMES.items()}}
    if kind == "causal":
        return AwdLstmForCausalLM(AwdLstmConfig(**sizes, kmer_k=3))
    if kind == "classifier":
        return AwdLstmForSequenceClassification(AwdLstmConfig(**sizes, kmer_k=3, **labels))
    if kind == "network":
        settings = SequenceNetSettings(architecture="deepbind", embedding_size=4)
        return build_sequence_net(SCHEME, settings, names=tuple(NAMES.values()), seed=0)
    special = {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3, "pad_token_id": 0}
    return ModernBertForMaskedLM(
        ModernBertConfig(
            vocab_size=SCHEME.vocab_size,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=32,
            **special,
        )
    )


def save_run(folder: Path, kind: str, **settings: Any) -> None:
    """Write what a training of this kind leaves, by the functions that a training calls."""
    figures = LM_METRICS if kind in TRAININGS else CLASS_METRICS
    command, own = TRAININGS.get(kind, ("finetune", FinetuneSettings()))
    with open_run_folder(
        folder,
        command=command,
        settings={**asdict(own), "tokenizer": SCHEME.name, "seed": 0, **settings},
        inputs={"data": "0" * 64},
    ):
        log = [{"step": step, "loss": 1.4 - step / 10, "learning_rate": 0.01} for step in (1, 2)]
        (folder / "training_log.jsonl").write_text("".join(json.dumps(each) + "\n" for each in log))
        metrics = {"steps": 2, "best_step": 2, "validation": figures, "test": figures}
        finish_run_folder(folder, model=build_model(kind).eval(), scheme=SCHEME, metrics=metrics)
