"""Labels of single bases: read from strings, one letter a base, and taught to the tokens that speak for them.

The rule between tokens and bases is that of `genolm.models.token_scoring`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from genolm.corpus.labeled import LabeledData
from genolm.errors import DataError
from genolm.models.scoring import cut_long_inputs
from genolm.models.token_scoring import Probabilities, find_center_bases
from genolm.tokenization.encoder import TokenIds, pad_batch
from genolm.tokenization.scheme import KmerScheme
from genolm.training.micro_batches import StepInput
from genolm.training.sequence_batches import SequenceBatches
from genolm.training.token_stream import IGNORED_LABEL

UNLABELED = "-"  # the letter of a base about which nothing is known

BaseLabels = npt.NDArray[np.int64]


class BaseTargets(NamedTuple):
    """What is to be predicted for each base."""

    names: tuple[str, ...]
    """letters, in their order"""
    values: npt.NDArray[Any]
    """object [n], for each sequence the classes of its bases: int64 [bases], -100 where there is no label"""


def build_base_targets(data: LabeledData) -> BaseTargets:
    """Turn strings of one letter for each base into classes; `-` is none.

    Raises:
        DataError: a string is not as long as its sequence, or there are fewer than two classes.
    """
    letters = [_read_letters(label) for label in data.label_names]
    for index, label in enumerate(data.labels.tolist()):
        if label < 0 or len(letters[label]) != len(data.sequences[index]):
            found = "no label" if label < 0 else f"a label of {len(letters[label]):,} letters"
            raise DataError(
                found=f"{found} of {data.ids[index]}, a sequence of {len(data.sequences[index]):,} bp",
                expected="a label with one letter for each base, such as ..EEEEII..",
                remedy=f"correct the label column; write {UNLABELED} where a base has no label",
            )
    present = np.unique(np.concatenate([*letters, _read_letters(UNLABELED)]))
    classes = present[present != ord(UNLABELED)]
    if len(classes) < 2:
        raise DataError(
            found=f"{len(classes)} kind of letter in the labels, {UNLABELED} not counted",
            expected="two classes or more",
            remedy="check which column holds the labels",
        )
    values = np.empty(len(data), dtype=object)
    for index, label in enumerate(data.labels.tolist()):
        each = letters[label]
        values[index] = np.where(each == ord(UNLABELED), IGNORED_LABEL, np.searchsorted(classes, each))
    return BaseTargets(tuple(map(chr, classes.tolist())), values)


def _read_letters(label: str) -> npt.NDArray[np.uint32]:
    """Return the characters of a label as their numbers, white space left out."""
    return np.frombuffer("".join(label.split()).encode("utf-32-le"), dtype=np.uint32)


def label_tokens(base_labels: BaseLabels, *, num_tokens: int, scheme: KmerScheme) -> BaseLabels:
    """Return the label of each token's center base with none for [CLS] and [SEP], int64 [tokens + 2].

    >>> label_tokens(np.array([0, 1, -100, 2]), num_tokens=2, scheme=KmerScheme(k=3, stride=1)).tolist()
    [-100, 1, -100, -100]
    """
    return np.pad(base_labels[find_center_bases(num_tokens, scheme=scheme)], 1, constant_values=IGNORED_LABEL)


class TokenBatches(SequenceBatches):
    """Shuffled batches of encoded sequences with a label for each token."""

    def __init__(
        self,
        token_ids: Sequence[TokenIds],
        token_labels: Sequence[BaseLabels],
        *,
        batch_size: int,
        seed: int,
        names: Sequence[str] = (),
    ) -> None:
        """Take encoded sequences and labels as `label_tokens` gives; each sequence has one or more."""
        super().__init__(token_ids, batch_size=batch_size, seed=seed, names=names)
        self.token_labels = token_labels

    def _collate(self, chosen: np.ndarray) -> StepInput:
        batch = pad_batch([self.token_ids[index] for index in chosen])
        labels = np.full(batch.input_ids.shape, IGNORED_LABEL, dtype=np.int64)
        labels[batch.attention_mask == 1] = np.concatenate([self.token_labels[index] for index in chosen])
        inputs = {
            "input_ids": torch.from_numpy(batch.input_ids),
            "attention_mask": torch.from_numpy(batch.attention_mask),
            "labels": torch.from_numpy(labels),
        }
        return StepInput(inputs, int(batch.attention_mask.sum()), int((labels != IGNORED_LABEL).sum()))


def build_token_batches(
    token_ids: Sequence[TokenIds],
    base_labels: Sequence[BaseLabels],
    *,
    ids: Sequence[str],
    max_tokens: int | None,
    scheme: KmerScheme,
    batch_size: int,
    seed: int,
) -> TokenBatches:
    """Return batches of the windows that have a label; without one the loss of a window is undefined.

    Raises:
        DataError: no window has one.
    """
    labels = [
        label_tokens(each, num_tokens=len(row) - 2, scheme=scheme)
        for row, each in zip(token_ids, base_labels, strict=True)
    ]
    windows = cut_long_inputs(token_ids, max_tokens=max_tokens)
    cut = [
        np.pad(labels[owner][1 + start : len(row) - 1 + start], 1, constant_values=IGNORED_LABEL)
        for row, owner, start in zip(*windows, strict=True)
    ]
    kept = [index for index, each in enumerate(cut) if (each != IGNORED_LABEL).any()]
    if not kept:
        raise DataError(
            found="no token with a label in the train split",
            expected=f"labels at bases that are the center of a token of {scheme.name}",
            remedy="correct the label column, or choose a model with stride 1",
        )
    return TokenBatches(
        [windows.token_ids[index] for index in kept],
        [cut[index] for index in kept],
        batch_size=batch_size,
        seed=seed,
        names=[ids[windows.owners[index]] for index in kept],
    )


def split_rows(rows: Probabilities, token_ids: Sequence[TokenIds]) -> list[Probabilities]:
    """Cut the rows of all tokens, [CLS] and [SEP] left out, into those of each sequence."""
    return np.split(rows, np.cumsum([len(ids) - 2 for ids in token_ids])[:-1])
