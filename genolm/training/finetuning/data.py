"""Labeled sequences as a network learns them: numbers for the labels of each task, token ids, windows."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.corpus.labeled import LabeledData
from genolm.errors import DataError
from genolm.models.scoring import Task, check_lengths, cut_long_inputs, find_max_tokens
from genolm.models.strands import averages_strands, turn_sequences
from genolm.tokenization.encoder import TokenIds, encode_sequences
from genolm.tokenization.tokens import Tokens, require_kmers
from genolm.training.finetuning.augmentation import Augmentation
from genolm.training.finetuning.token_labels import build_base_targets, build_token_batches
from genolm.training.sequence_batches import SequenceBatches

LABEL_SEPARATOR = ";"
VALUE_NAME = "value"  # what a regression's only output is called in config.json


class Targets(NamedTuple):
    """What is to be predicted for each sequence."""

    names: tuple[str, ...]
    """of the outputs of the network"""
    values: npt.NDArray[Any]
    """classes int64 [n]; numbers float32 [n]; labels float32 [n, labels], 1 where a sequence has it; or
    object [n], for each sequence the classes of its bases int64 [bases], -100 where there is no label"""


class Examples(NamedTuple):
    """The sequences of one split; the fields run in parallel."""

    token_ids: list[TokenIds]
    values: npt.NDArray[Any]
    """as in Targets"""
    ids: tuple[str, ...]
    sequences: list[str] = []  # noqa: RUF012  never changed
    """upper-case DNA"""
    other_strand: list[TokenIds] = []  # noqa: RUF012
    """of the reverse complements, where the model predicts by both strands"""


class Unit(NamedTuple):
    """In which unit a regression learns: a number is mean + scale * what the network gives."""

    mean: float
    scale: float

    def normalize(self, examples: Examples) -> Examples:
        """Return the examples with their values in this unit."""
        if self == Unit(0.0, 1.0):
            return examples
        return examples._replace(values=((examples.values - self.mean) / self.scale).astype(np.float32))


def build_targets(data: LabeledData, task: Task) -> Targets:
    """Turn the labels of a file into what the network of a task predicts.

    For the task multi_label a label is a list of names, such as `promoter;enhancer`, or `;` for none. For
    token_classification it has one letter for each base, such as `..EEEEII..`, and `-` for no label.

    Raises:
        DataError: a sequence has no label, or one that does not suit the task.
    """
    if task == "classification":
        return Targets(data.label_names, data.labels)
    if task == "token_classification":
        return Targets(*build_base_targets(data))
    if (data.labels < 0).any():
        raise DataError(
            found=f"no label of {data.ids[int(data.labels.argmin())]}",
            expected="a label for every sequence",
            remedy="correct the label column",
        )
    if task == "regression":
        numbers = np.array([_read_number(name) for name in data.label_names], dtype=np.float32)
        return Targets((VALUE_NAME,), numbers[data.labels])
    sets = [_split_names(label) for label in data.label_names]
    names = tuple(sorted(set().union(*sets)))
    has_name = np.array([[name in each for name in names] for each in sets], dtype=np.float32)
    return Targets(names, has_name[data.labels])


def _read_number(label: str) -> float:
    try:
        number = float(label)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(
            found=f"the label {label!r}",
            expected="a number, since the task is a regression",
            remedy="correct the label column, or set task=classification",
        )
    return number


def _split_names(label: str) -> set[str]:
    """Split a label of several names.

    >>> sorted(_split_names("b; a")), _split_names(";")
    (['a', 'b'], set())
    """
    return {name.strip() for name in label.split(LABEL_SEPARATOR)} - {""}


def check_targets(data: LabeledData, targets: Targets, task: Task) -> None:
    """Check that the train and validation splits can be learned from.

    Raises:
        DataError: a split is empty, lacks a class or a label, or all its numbers are the same.
    """
    for split in ("train", "validation"):
        values = targets.values[_find_rows(data, split)]
        if task == "regression":
            if len(np.unique(values)) < 2:
                raise DataError(
                    found=f"{len(values)} sequences with {len(np.unique(values))} different numbers "
                    f"in the {split} split",
                    expected="two different numbers or more in the train and validation splits",
                    remedy="correct the split column, or the label column",
                )
            continue
        if task == "multi_label":
            missing = [name for name, column in zip(targets.names, values.T, strict=True) if not column.any()]
        else:
            is_token_task = task == "token_classification" and len(values)
            present = set((np.concatenate(values) if is_token_task else values).tolist())
            missing = [name for index, name in enumerate(targets.names) if index not in present]
        if missing or not targets.names:
            raise DataError(
                found=f"no sequence with label {', '.join(missing) or 'of any name'} in the {split} split",
                expected="every label in the train and validation splits",
                remedy="correct the split column",
            )


def encode_split(
    data: LabeledData, targets: Targets, split: str, *, scheme: Tokens, model_config: Any
) -> Examples:
    """Encode the sequences of a split; there may be none.

    Raises:
        DataError: a sequence is longer than the model.
    """
    part = data.select(split)
    turned = turn_sequences(part.sequences) if averages_strands(model_config) else []
    token_ids, other_ids = encode_sequences(part.sequences, scheme), encode_sequences(turned, scheme)
    # In BPE the strands of a sequence differ in their number of tokens.
    check_lengths(model_config, [*token_ids, *other_ids], scheme=scheme, names=part.ids * 2)
    values = targets.values[_find_rows(data, split)]
    return Examples(token_ids, values, part.ids, part.sequences, other_ids)


def find_unit(examples: Examples) -> Unit:
    """Return mean and standard deviation, so that a rate suits numbers of any size."""
    return Unit(float(examples.values.mean()), float(examples.values.std()))


def build_batches(
    examples: Examples,
    *,
    task: Task,
    scheme: Tokens,
    model_config: Any,
    batch_size: int,
    seed: int,
    augmentation: Augmentation | None = None,
) -> SequenceBatches:
    """Return shuffled batches; each window of a long sequence is an example with the sequence's label.

    An augmentation says how each epoch reads the sequences, none of which may be a window then.

    Raises:
        DataError: the labels are of bases, none of which a token speaks for.
    """
    max_tokens = find_max_tokens(model_config)
    if task == "token_classification":
        return build_token_batches(
            examples.token_ids,
            examples.values.tolist(),
            ids=examples.ids,
            max_tokens=max_tokens,
            scheme=require_kmers(scheme, what="labels of bases"),
            batch_size=batch_size,
            seed=seed,
        )
    windows = cut_long_inputs(examples.token_ids, max_tokens=max_tokens)
    return SequenceBatches(
        windows.token_ids,
        batch_size=batch_size,
        seed=seed,
        labels=examples.values[windows.owners],
        names=[examples.ids[owner] for owner in windows.owners],
        read=None if augmentation is None else augmentation.read,
    )


def _find_rows(data: LabeledData, split: str) -> Sequence[int]:
    return [index for index, name in enumerate(data.splits) if name == split]
