"""Batches of whole sequences, each a function of its step number alone."""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch

from genolm.models.settings import Direction
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
        direction: Direction = "forward",
        read: Callable[[np.ndarray, int], list[TokenIds]] | None = None,
    ) -> None:
        """Take encoded sequences; without `labels` the task is to predict the k-mer that is read next.

        `names` are what messages call the sequences; without them it is their place, counted from 0.
        `read` gives the tokens of some sequences in an epoch, where these change: none may get longer.
        """
        self.direction: Direction = direction
        self._read = read
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
        chosen = self._choose(step, rows)
        if self._read is None:
            return self._collate(chosen)
        return self._pad(chosen, self._read(chosen, step // self.steps_per_epoch))

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
        return self._pad(chosen, [self.token_ids[index] for index in chosen])

    def _pad(self, chosen: np.ndarray, token_ids: list[TokenIds]) -> StepInput:
        batch = pad_batch(token_ids)
        inputs = {
            "input_ids": torch.from_numpy(batch.input_ids),
            "attention_mask": torch.from_numpy(batch.attention_mask),
        }
        tokens = int(batch.attention_mask.sum())
        if self.labels is None:
            labels = label_next_kmers(inputs["input_ids"], direction=self.direction)
            weight = int((labels != IGNORED_LABEL).sum())
            return StepInput({**inputs, "labels": labels}, tokens, weight)
        return StepInput({**inputs, "labels": torch.from_numpy(self.labels[chosen])}, tokens, len(chosen))


def label_next_kmers(input_ids: torch.Tensor, *, direction: Direction = "forward") -> torch.Tensor:
    """Return labels for `labels=` of a causal LM, int64 [B, T]: only k-mers read after a k-mer are scored.

    A k-mer without context is all new bases, and [CLS], [SEP], [UNK] and padding are none.

    >>> label_next_kmers(torch.tensor([[2, 7, 8, 3, 0]])).tolist()
    [[-100, -100, 8, -100, -100]]
    >>> label_next_kmers(torch.tensor([[2, 7, 8, 3, 0]]), direction="backward").tolist()
    [[-100, 7, -100, -100, -100]]
    """
    if direction == "backward":
        return label_next_kmers(input_ids.flip(1)).flip(1)
    is_kmer = input_ids >= NUM_SPECIAL_TOKENS
    labels = input_ids.masked_fill(~is_kmer, IGNORED_LABEL)
    labels[:, 0] = IGNORED_LABEL
    labels[:, 1:].masked_fill_(~is_kmer[:, :-1], IGNORED_LABEL)
    return labels
