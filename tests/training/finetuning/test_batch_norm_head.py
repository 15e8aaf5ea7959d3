"""The running figures of a head with batch normalization go with the weights: kept, chosen, resumed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from breaking import BreakingReporter, BrokenOffError
from safetensors.torch import load_file

from genolm.corpus.labeled import LabeledData
from genolm.models import AwdLstmConfig, AwdLstmForSequenceClassification
from genolm.models.settings import AwdLstmSettings, HeadSettings
from genolm.tokenization.scheme import KmerScheme
from genolm.training.classifier import FinetuneSettings, finetune
from genolm.training.loop import LoopSettings
from genolm.training.persistence.checkpoints import (
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
    take_snapshot,
)
from genolm.training.schedules import PhaseSettings

SETTINGS = FinetuneSettings(
    phases=(PhaseSettings(epochs=3, learning_rate=2e-2),),
    batch_size=8,
    monitor="loss",
    head=HeadSettings(size=6, norm="batch"),
    model=AwdLstmSettings(embedding_size=8, lstm_size=8, num_layers=1),
    loop=LoopSettings(precision="no", checkpoint_every_steps=2, log_every_steps=1),
)
STEPS_PER_EPOCH = 4  # of 25 sequences: the last step has one


def make_data() -> LabeledData:
    generator = np.random.default_rng(0)
    texts = ["".join(generator.choice(list("ACGT"), size=30)) for _ in range(35)]
    return LabeledData(
        sequences=texts,
        labels=np.arange(35) % 2,
        label_names=("a", "b"),
        splits=("train",) * 25 + ("validation",) * 10,
        ids=tuple(f"r{index}" for index in range(35)),
    )


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_a_broken_off_training_ends_with_the_same_figures(tmp_path):
    metrics = finetune(make_data(), tmp_path / "whole", settings=SETTINGS, scheme=KmerScheme(2, 1))
    with pytest.raises(BrokenOffError, match="broken off"):
        finetune(
            make_data(),
            tmp_path / "broken",
            settings=SETTINGS,
            scheme=KmerScheme(2, 1),
            reporter=BreakingReporter(7),
        )
    finetune(make_data(), tmp_path / "broken", settings=SETTINGS, scheme=KmerScheme(2, 1))
    whole, broken = read_weights(tmp_path / "whole"), read_weights(tmp_path / "broken")
    assert all(tensor.equal(broken[name]) for name, tensor in whole.items())
    best_epoch = metrics["best_step"] // STEPS_PER_EPOCH
    assert metrics["steps"] == 3 * STEPS_PER_EPOCH
    counted = int(whole["head.norm.num_batches_tracked"])
    assert counted == 3 * best_epoch, "the figures are those of the best epoch; a step with one row has none"


def test_a_checkpoint_holds_the_running_figures(tmp_path):
    config = AwdLstmConfig(
        vocab_size=21, embedding_size=4, lstm_size=4, num_layers=1, classifier_norm="batch"
    )
    model, other = AwdLstmForSequenceClassification(config), AwdLstmForSequenceClassification(config)
    with torch.no_grad():
        model.head.norm.running_mean.normal_()
        model.head.inner_norm[0].running_var.uniform_(1, 2)
        model.head.norm.num_batches_tracked.fill_(5)
    snapshot = take_snapshot(model)
    before = model.head.norm.running_mean.clone()
    model.head.norm.running_mean.zero_()
    assert torch.equal(snapshot.model["head.norm.running_mean"], before), "a copy, not the buffer itself"
    save_checkpoint(tmp_path / "checkpoint-1", snapshot, state={"step": 1})
    optimizer = torch.optim.AdamW(other.parameters())
    checkpoint = Checkpoint(tmp_path / "checkpoint-1", 1, {"step": 1})
    load_checkpoint(checkpoint, model=other, optimizer=optimizer, carry_rows=slice(0, 0))
    loaded = other.state_dict()
    assert set(snapshot.model) == set(loaded)
    assert all(tensor.equal(loaded[name]) for name, tensor in snapshot.model.items())
