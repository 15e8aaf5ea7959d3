"""Batches of whole sequences, each a function of its step number alone."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from genolm.tokenization.encoder import TokenIds, pad_batch
from genolm.training.chance import compute_order
from genolm.training.loop import StepInput


class SequenceBatches:
    """Shuffled batches of encoded sequences; every epoch sees each sequence once."""

    def __init__(
        self, token_ids: Sequence[TokenIds], *, batch_size: int, seed: int, labels: np.ndarray | None = None
    ) -> None:
        """Take encoded sequences; without `labels` the task is to predict the next token."""
        self.token_ids, self.labels = token_ids, labels
        self.batch_size, self.seed = batch_size, seed
        self.steps_per_epoch = math.ceil(len(token_ids) / batch_size)

    def build_input(self, step: int) -> StepInput:
        """Return the batch of a step; the last of an epoch may be smaller."""
        epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
        order = compute_order(len(self.token_ids), seed=self.seed, epoch=epoch)
        chosen = order[step_in_epoch * self.batch_size : (step_in_epoch + 1) * self.batch_size]
        return self._collate(chosen)

    def _collate(self, chosen: np.ndarray) -> StepInput:
        batch = pad_batch([self.token_ids[index] for index in chosen])
        inputs = {
            "input_ids": torch.from_numpy(batch.input_ids),
            "attention_mask": torch.from_numpy(batch.attention_mask),
        }
        if self.labels is None:
            return StepInput({**inputs, "labels": inputs["input_ids"]}, int(batch.attention_mask.sum()))
        return StepInput({**inputs, "labels": torch.from_numpy(self.labels[chosen])}, len(chosen))
