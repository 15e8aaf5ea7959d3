"""Batches of whole sequences, each a function of its step number alone."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from genolm.tokenization.encoder import TokenIds, pad_batch
from genolm.tokenization.scheme import NUM_SPECIAL_TOKENS
from genolm.training.chance import compute_order
from genolm.training.micro_batches import StepInput
from genolm.training.token_stream import IGNORED_LABEL


class SequenceBatches:
    """Shuffled batches of encoded sequences; every epoch sees each sequence once."""

    def __init__(
        self,
        token_ids: Sequence[TokenIds],
        *,
        batch_size: int,
        seed: int,
        labels: np.ndarray | None = None,
        names: Sequence[str] = (),
    ) -> None:
        """Take encoded sequences; without `labels` the task is to predict the next k-mer.

        `names` are what messages call the sequences; without them it is their place, counted from 0.
        """
        self.token_ids, self.labels, self.names = token_ids, labels, names
        self.batch_size, self.seed = batch_size, seed
        self.steps_per_epoch = math.ceil(len(token_ids) / batch_size)
        self._order = lru_cache(maxsize=2)(self._compute_order)

    def count_rows(self, step: int) -> int:
        """Return the sequences of a step; the last of an epoch may have fewer."""
        start = step % self.steps_per_epoch * self.batch_size
        return min(self.batch_size, len(self.token_ids) - start)

    def build_input(self, step: int, rows: slice) -> StepInput:
        """Return the input of some rows of a step."""
        return self._collate(self._choose(step, rows))

    def build_largest(self, num_rows: int) -> StepInput:
        """Return the input of the longest sequences."""
        lengths = np.array([len(ids) for ids in self.token_ids])
        return self._collate(np.resize(np.argsort(-lengths, kind="stable")[:num_rows], num_rows))

    def name_rows(self, step: int, rows: slice) -> list[str]:
        """Return the names of the sequences."""
        return [
            self.names[index] if self.names else f"sequence {index}" for index in self._choose(step, rows)
        ]

    def _compute_order(self, epoch: int) -> np.ndarray:
        return compute_order(len(self.token_ids), seed=self.seed, epoch=epoch)

    def _choose(self, step: int, rows: slice) -> np.ndarray:
        epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
        start = step_in_epoch * self.batch_size
        return self._order(epoch)[start : start + self.batch_size][rows]

    def _collate(self, chosen: np.ndarray) -> StepInput:
        batch = pad_batch([self.token_ids[index] for index in chosen])
        inputs = {
            "input_ids": torch.from_numpy(batch.input_ids),
            "attention_mask": torch.from_numpy(batch.attention_mask),
        }
        tokens = int(batch.attention_mask.sum())
        if self.labels is None:
            labels = label_next_kmers(inputs["input_ids"])
            weight = int((labels[:, 1:] != IGNORED_LABEL).sum())
            return StepInput({**inputs, "labels": labels}, tokens, weight)
        return StepInput({**inputs, "labels": torch.from_numpy(self.labels[chosen])}, tokens, len(chosen))


def label_next_kmers(input_ids: torch.Tensor) -> torch.Tensor:
    """Return labels for `labels=` of a causal LM, int64 [B, T]: only k-mers that follow a k-mer are scored.

    A k-mer without context is all new bases, and [CLS], [SEP], [UNK] and padding are none.

    >>> label_next_kmers(torch.tensor([[2, 7, 8, 3, 0]])).tolist()
    [[-100, -100, 8, -100, -100]]
    """
    is_kmer = input_ids >= NUM_SPECIAL_TOKENS
    labels = input_ids.masked_fill(~is_kmer, IGNORED_LABEL)
    labels[:, 0] = IGNORED_LABEL
    labels[:, 1:].masked_fill_(~is_kmer[:, :-1], IGNORED_LABEL)
    return labels
