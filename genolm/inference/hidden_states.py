"""What a network has computed for each token, whatever its architecture, in batches.

Shapes: B batch, T positions, F features of a layer.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedModel

from genolm.errors import SettingsError
from genolm.models import SequenceNetForSequenceClassification
from genolm.tokenization.encoder import TokenIds, pad_batch

MAX_BATCH_TOKENS = 1 << 16  # of a batch, padding included, which bounds the memory of long sequences


class HiddenBatch(NamedTuple):
    """The hidden states of a batch."""

    rows: npt.NDArray[np.int64]
    """[B], the places of its sequences"""
    hidden: Tensor
    """float32 [B, T, F], on the device of the model"""
    is_base: Tensor
    """bool [B, T], positions that stand for bases: no [CLS], [SEP] or padding"""


def iter_hidden_states(
    model: PreTrainedModel, token_ids: Sequence[TokenIds], *, layer: int = -1, batch_size: int
) -> Iterator[HiddenBatch]:
    """Yield the hidden states of encoded sequences, the longest first, with little padding.

    Args:
        model: in eval mode; what a row gives does not depend on the other rows.
        token_ids: with [CLS] and [SEP]; no longer than the model.
        layer: as in transformers' `hidden_states`: 0 is the embedding, 1 the first layer, -1 the last.
        batch_size: sequences at a time; fewer of long ones.

    Raises:
        SettingsError: the model has no such layer.
    """
    run: Callable[..., tuple[Tensor, Tensor]] = (
        _run_sequence_net if isinstance(model, SequenceNetForSequenceClassification) else _run_encoder
    )
    device = next(model.parameters()).device
    for rows in iter_row_batches([len(ids) for ids in token_ids], batch_size=batch_size):
        batch = pad_batch([token_ids[row] for row in rows])
        input_ids = torch.from_numpy(batch.input_ids).to(device)
        attention_mask = torch.from_numpy(batch.attention_mask).to(device)
        with torch.no_grad():
            hidden, is_base = run(model, input_ids, attention_mask, layer=layer)
        yield HiddenBatch(rows, hidden.float(), is_base)


def iter_row_batches(
    lengths: Sequence[int], *, batch_size: int, max_tokens: int = MAX_BATCH_TOKENS
) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the rows of batches, from the longest to the shortest; one longer than the limit goes alone.

    >>> [rows.tolist() for rows in iter_row_batches([3, 9, 3, 4], batch_size=2, max_tokens=8)]
    [[1], [3, 0], [2]]
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    start = 0
    while start < len(order):
        size = min(batch_size, max(max_tokens // max(lengths[order[start]], 1), 1))
        yield order[start : start + size]
        start += size


def _run_encoder(
    model: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor, *, layer: int
) -> tuple[Tensor, Tensor]:
    """Run a BERT, ModernBERT or AWD-LSTM without its head: one vector for each token."""
    config: Any = model.config
    number = _find_layer(layer, num_layers=config.num_hidden_layers)
    is_last = number == config.num_hidden_layers
    output: Any = model.base_model(
        input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=not is_last
    )
    hidden = output.last_hidden_state if is_last else output.hidden_states[number]
    positions = torch.arange(input_ids.shape[1], device=input_ids.device)
    last = attention_mask.sum(dim=1)[:, None] - 1
    return hidden, (positions >= 1) & (positions < last)


def _run_sequence_net(
    model: SequenceNetForSequenceClassification, input_ids: Tensor, attention_mask: Tensor, *, layer: int
) -> tuple[Tensor, Tensor]:
    """Run a convolutional or recurrent network; behind a pooling layer a position is several tokens."""
    number = _find_layer(layer, num_layers=len(model.encoder.layers))
    hidden, lengths = model.encoder.embed(input_ids, attention_mask)
    for part in list(model.encoder.layers)[:number]:
        hidden, lengths = part(hidden, lengths)
    return hidden, torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]


def _find_layer(layer: int, *, num_layers: int) -> int:
    """Return the number of a layer, counted from the embedding.

    >>> _find_layer(-1, num_layers=4), _find_layer(0, num_layers=4)
    (4, 0)
    """
    number = layer + num_layers + 1 if layer < 0 else layer
    if 0 <= number <= num_layers:
        return number
    raise SettingsError(
        found=f"layer {layer}",
        expected=f"0 (the embedding) to {num_layers}, or -1 (the last) to {-num_layers - 1}",
        remedy="choose another layer",
    )
