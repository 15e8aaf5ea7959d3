"""What a classifier says of encoded sequences, in batches: probabilities, or values of a regression."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedModel

from genolm.errors import DataError
from genolm.models.cpu_kernels import choose_cpu_kernels
from genolm.tokenization.encoder import TokenIds, pad_batch
from genolm.tokenization.scheme import KmerScheme
from genolm.tokenization.tokens import Tokens

Task = Literal["classification", "regression", "multi_label", "token_classification"]
LongInputs = Literal["refuse", "windows"]

# As transformers calls the tasks of whole sequences in config.json.
PROBLEM_TYPES: dict[Task, str] = {
    "classification": "single_label_classification",
    "regression": "regression",
    "multi_label": "multi_label_classification",
}
# How the classes of transformers end that have a head for each token; config.json names its class.
LABELING_CLASS_ENDING = "ForTokenClassification"


class Windows(NamedTuple):
    """Pieces of encoded sequences, and the place of the sequence that each comes from."""

    token_ids: list[TokenIds]
    owners: npt.NDArray[np.int64]
    """[windows], not decreasing"""
    starts: npt.NDArray[np.int64]
    """[windows], the place of a window's first token in its sequence, [CLS] not counted"""


def find_task(config: Any) -> Task:
    """Say what a model with a head does; one number without more said is a regression."""
    if any(name.endswith(LABELING_CLASS_ENDING) for name in config.architectures or ()):
        return "token_classification"
    if config.problem_type == PROBLEM_TYPES["multi_label"]:
        return "multi_label"
    return "regression" if config.num_labels == 1 else "classification"


def compute_probabilities(
    model: PreTrainedModel,
    token_ids: Sequence[TokenIds],
    *,
    batch_size: int = 64,
    on_batch: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Return the probability of each class, float32 [sequences, classes], in the order given.

    Those of a multi-label model are of each label by itself; a regression gives its values [sequences, 1].
    Of a model whose config.json says `long_inputs: windows`, the logits of the overlapping windows of a
    sequence are averaged. One with a head for each token is for `genolm.models.token_scoring`.

    The model is used as it stands: in eval mode the result does not depend on the batches.
    `on_batch` is told how many sequences are done.
    """
    task = find_task(model.config)
    if getattr(model.config, "long_inputs", "refuse") == "refuse":
        return _run_batches(model, token_ids, task=task, batch_size=batch_size, on_batch=on_batch)
    windows = cut_long_inputs(token_ids, max_tokens=find_max_tokens(model.config))
    owners = np.append(windows.owners, len(token_ids))
    logits = _run_batches(
        model,
        windows.token_ids,
        task=None,
        batch_size=batch_size,
        on_batch=on_batch and (lambda done: on_batch(int(owners[done]))),
    )
    sums = np.zeros((len(token_ids), logits.shape[1]))
    np.add.at(sums, windows.owners, logits)
    means = sums / np.bincount(windows.owners, minlength=len(token_ids))[:, None]
    return _apply_link(torch.from_numpy(means.astype(np.float32)), task).numpy()


def _run_batches(
    model: PreTrainedModel,
    token_ids: Sequence[TokenIds],
    *,
    task: Task | None,
    batch_size: int,
    on_batch: Callable[[int], None] | None,
) -> np.ndarray:
    """Return what the model says of each row; the logits where there is no task."""
    results = np.empty((len(token_ids), model.config.num_labels or 1), dtype=np.float32)
    with choose_cpu_kernels(model, "no", num_tokens=max(map(len, token_ids), default=0)):
        for rows, logits in iter_logits(model, token_ids, batch_size=batch_size):
            results[rows] = _apply_link(logits, task).cpu().numpy()
            if on_batch:
                on_batch(rows.stop)
    return results


def iter_logits(
    model: PreTrainedModel, token_ids: Sequence[TokenIds], *, batch_size: int
) -> Iterator[tuple[slice, Tensor]]:
    """Yield which rows a batch has, and their logits: float32 [rows, ...] on the model's device."""
    device = next(model.parameters()).device
    for start in range(0, len(token_ids), batch_size):
        batch = pad_batch(token_ids[start : start + batch_size])
        with torch.no_grad():
            output = model(
                input_ids=torch.from_numpy(batch.input_ids).to(device),
                attention_mask=torch.from_numpy(batch.attention_mask).to(device),
            )
        yield slice(start, start + len(batch.input_ids)), output.logits.float()


def _apply_link(logits: Tensor, task: Task | None) -> Tensor:
    if task == "classification":
        return logits.softmax(dim=-1)
    return logits.sigmoid() if task == "multi_label" else logits


def select_scores(probabilities: np.ndarray) -> np.ndarray:
    """Return what the metrics take: the probability of class 1 [n] for two classes, else all [n, classes]."""
    return probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities


def find_max_tokens(config: Any) -> int | None:
    """Return how many tokens a model has positions for, [CLS] and [SEP] among them; None if any number."""
    limit: int | None = getattr(config, "max_position_embeddings", None)
    return limit


def find_longest_input(config: Any) -> int | None:
    """Return how many tokens a model classifies at most, [CLS] and [SEP] among them; None if any number.

    An AWD-LSTM that pools parts of a sequence has to read it in one piece.
    """
    return int(config.max_bptt_tokens) if _pools_parts(config) else find_max_tokens(config)


def _pools_parts(config: Any) -> bool:
    return getattr(config, "classifier_parts", 1) > 1


def check_lengths(
    config: Any, token_ids: Sequence[TokenIds], *, scheme: Tokens, names: Sequence[str] = ()
) -> None:
    """Check that a model has positions for all sequences, unless it cuts them into windows.

    Args:
        config: of the model.
        token_ids: encoded, with [CLS] and [SEP].
        scheme: by which they were cut.
        names: of the sequences, for the message.

    Raises:
        DataError: one is too long.
    """
    limit = find_longest_input(config)
    if limit is None or getattr(config, "long_inputs", "refuse") == "windows":
        return
    other_way = (
        "fine-tune with head.parts=1" if _pools_parts(config) else "fine-tune with long_inputs=windows"
    )
    for index, ids in enumerate(token_ids):
        if len(ids) > limit:
            if isinstance(scheme, KmerScheme):
                longest = f"{(limit - 3) * scheme.stride + scheme.k:,} bp"
            else:
                longest = f"about {scheme.token_bp[ids[: limit - 1]].sum():,} bp"
            raise DataError(
                found=f"{names[index] if names else f'sequence {index + 1}'} with {len(ids):,} tokens",
                expected=f"at most {limit:,} with [CLS] and [SEP], the positions of the model "
                f"({longest} in {scheme.name})",
                remedy=f"shorten the sequences to {longest}, or {other_way}",
            )


def cut_long_inputs(token_ids: Sequence[TokenIds], *, max_tokens: int | None) -> Windows:
    """Cut what is longer than the model into windows of its length, half a window apart or less.

    Every window has the [CLS] and the [SEP] of its sequence; the last one ends where the sequence does.

    >>> ids = np.array([2, 11, 12, 13, 14, 15, 3])
    >>> windows = cut_long_inputs([np.array([2, 9, 3]), ids], max_tokens=6)
    >>> [window.tolist() for window in windows.token_ids], windows.owners.tolist()
    ([[2, 9, 3], [2, 11, 12, 13, 14, 3], [2, 12, 13, 14, 15, 3]], [0, 1, 1])
    """
    cut, owners, starts = [], [], []
    for owner, ids in enumerate(token_ids):
        for start, window in _iter_windows(ids, max_tokens or len(ids)):
            cut.append(window)
            owners.append(owner)
            starts.append(start)
    return Windows(cut, np.array(owners, dtype=np.int64), np.array(starts, dtype=np.int64))


def _iter_windows(ids: TokenIds, max_tokens: int) -> Iterator[tuple[int, TokenIds]]:
    if len(ids) <= max_tokens:
        yield 0, ids
        return
    inner, size = ids[1:-1], max_tokens - 2
    last = len(inner) - size
    num_windows = 1 + -(-last // max(size // 2, 1))
    for start in np.linspace(0, last, num_windows).round().astype(int).tolist():
        yield start, np.concatenate([ids[:1], inner[start : start + size], ids[-1:]])
