"""Variants of a sequence, read by an AWD-LSTM only from about the first difference on.

What a network that reads in one direction has seen before a change is the same as without the change. So the
sequence as it is is read stretch by stretch, and each variant joins with a copy of its state and pools at the
stretch in which it begins to differ. For every substitution of a sequence that leaves a little more than half
of the tokens. (Joining at each token would leave half, but step by step the products are too small for the
processor: that took longer.)

Shapes: R rows, T tokens, P features of the pools, C classes.
"""

from typing import Any

import torch
from torch import Tensor, nn

from genolm.models import AwdLstmForSequenceClassification
from genolm.models.modeling_awd_lstm import Pools, collect_pools, join_pools, merge_pools

_NUM_STRETCHES = 8  # measured on a CPU: 6 to 12 are as fast, more or fewer are slower
_MAX_STRETCH_TOKENS = 128  # of a long sequence, for the sake of memory


def shares_prefixes(model: nn.Module) -> bool:
    """Say whether `compute_variant_logits` can read the rows of this model."""
    return isinstance(model, AwdLstmForSequenceClassification)


def compute_variant_logits(model: Any, ids_RT: Tensor) -> Tensor:
    """Compute the logits of a sequence and its variants, within rounding those of the model: float32 [R, C].

    Args:
        model: an AwdLstmForSequenceClassification of either direction, in eval mode.
        ids_RT: int64 token ids of one length, without padding, [CLS] and [SEP] in the same places. The first
            row is the sequence; the others are read from about where they differ from it.
    """
    ids_RT = ids_RT.flip(1) if model.config.direction == "backward" else ids_RT
    ids_RT = ids_RT.to(model.awd_lstm.embedding.weight.device)
    differs_RT = ids_RT != ids_RT[0]
    # A row that does not differ joins at the last token.
    first_R = torch.where(differs_RT.any(dim=1), differs_RT.int().argmax(dim=1), ids_RT.shape[1] - 1)
    first_R[0] = 0
    order = first_R.argsort(stable=True)
    pooled_RP = _read(model, ids_RT[order], first_R[order])
    return model.head(pooled_RP).float()[order.argsort()]


def _read(model: Any, ids_RT: Tensor, first_R: Tensor) -> Tensor:
    """Read the rows, in the order of their first difference; return the pools of all parts: [R, P]."""
    config, num_tokens = model.config, ids_RT.shape[1]
    is_base_T = (ids_RT[0] != config.cls_token_id) & (ids_RT[0] != config.sep_token_id)
    number_T = (is_base_T.cumsum(0) - 1).clamp(min=0)
    part_T = number_T * config.classifier_parts // is_base_T.sum().clamp(min=1)
    state = model.awd_lstm.build_state(1)
    pools = [_build_pools(model) for _ in range(config.classifier_parts)]
    stretch = min(-(-num_tokens // _NUM_STRETCHES), _MAX_STRETCH_TOKENS)
    for start in range(0, num_tokens, stretch):
        tokens = slice(start, start + stretch)
        num_rows = int((first_R < tokens.stop).sum())
        state = tuple((_add_rows(h, num_rows, dim=1), _add_rows(c, num_rows, dim=1)) for h, c in state)
        pools = [Pools(*(_add_rows(field, num_rows, dim=0) for field in each)) for each in pools]
        output = model.awd_lstm(ids_RT[:num_rows, tokens], state=state, in_reading_order=True)
        state = output.state
        for part in part_T[tokens].unique().tolist():
            is_pooled_RT = (is_base_T[tokens] & (part_T[tokens] == part)).expand(num_rows, -1)
            found = collect_pools(output.last_hidden_state.float(), is_pooled_RT)
            pools[part] = merge_pools(pools[part], found)
    return torch.cat([join_pools(each) for each in pools], dim=1)


def _build_pools(model: Any) -> Pools:
    """Return the pools of one row that has read nothing."""
    zeros_RD = model.awd_lstm.embedding.weight.new_zeros(1, model.config.embedding_size)
    return Pools(zeros_RD, zeros_RD - float("inf"), zeros_RD, zeros_RD[:, :1])


def _add_rows(values: Tensor, num_rows: int, *, dim: int) -> Tensor:
    """Let rows begin where the first row is."""
    first = values.narrow(dim, 0, 1)
    return torch.cat([values, *[first] * (num_rows - values.shape[dim])], dim=dim)
