"""Variants of a sequence, read by an AWD-LSTM only from the first difference on.

What a network that reads in one direction has seen before a change is the same as without the change. So the
sequence as it is is read once, and each variant goes on from a copy of its state and pools. For every
substitution of a sequence that leaves half of the tokens. The network is written out step by step here, so
that rows can join at each token: the products of the first layer with the embedding are looked up in a table,
and on a CPU the plain matrix products run several times as fast as torch's LSTM.

Shapes: R rows, T tokens, S parts of a sequence that are pooled by themselves, D width of the last layer, F of
any, G gates (4 * F), V vocabulary, C classes.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from genolm.models import AwdLstmForSequenceClassification

ROW_STEP = 32  # rows begin so many at a time: for each new number of them oneDNN builds its kernels anew


class _Layer(NamedTuple):
    """Weights of an LSTM layer, turned for products from the left; and the state of the rows."""

    input_FG: Tensor
    """of the first layer [V, G]: the products with the embedding of each token, the bias in them"""
    state_FG: Tensor
    bias_G: Tensor
    h_RF: Tensor
    c_RF: Tensor


class _Pools(NamedTuple):
    """Last, greatest and summed states of the last layer in each part."""

    last_RSD: Tensor
    max_RSD: Tensor
    sum_RSD: Tensor


def shares_prefixes(model: nn.Module) -> bool:
    """Say whether `compute_variant_logits` can read the rows of this model."""
    return isinstance(model, AwdLstmForSequenceClassification)


def compute_variant_logits(model: Any, ids_RT: Tensor) -> Tensor:
    """Compute the logits of a sequence and its variants, within rounding those of the model: float32 [R, C].

    Args:
        model: an AwdLstmForSequenceClassification of either direction, in eval mode.
        ids_RT: int64 token ids of one length, without padding, [CLS] and [SEP] in the same places. The first
            row is the sequence; the others are read from where they differ from it.
    """
    weight = model.awd_lstm.embedding.weight
    ids_RT = (ids_RT.flip(1) if model.config.direction == "backward" else ids_RT).to(weight.device)
    differs_RT = ids_RT != ids_RT[0]
    num_tokens = ids_RT.shape[1]
    first_R = torch.where(differs_RT.any(dim=1), differs_RT.int().argmax(dim=1), num_tokens)
    first_R[0] = 0
    order = first_R.argsort(stable=True)
    # The number of rows that have begun when a token is read, and at the end. Some begin a little earlier.
    num_begun = torch.bincount(first_R, minlength=num_tokens + 1).cumsum(0)
    num_begun = (num_begun + ROW_STEP - 1) // ROW_STEP * ROW_STEP
    ids_TR = ids_RT[order].T.contiguous()
    pooled_RP = _read(model, ids_TR, num_begun.clamp(max=len(ids_RT)).tolist())
    return model.head(pooled_RP).float()[order.argsort()]


def _read(model: Any, ids_TR: Tensor, num_begun: list[int]) -> Tensor:
    """Read the rows, in the order of their beginning; return last, greatest and mean states: [R, S * 3 * D]."""
    config = model.config
    layers = _build_layers(model, ids_TR.shape[1])
    state_RD = layers[-1].h_RF
    num_parts = config.classifier_parts
    zeros_RSD = state_RD.new_zeros(len(state_RD), num_parts, state_RD.shape[1])
    pools = _Pools(zeros_RSD, torch.full_like(zeros_RSD, float("-inf")), zeros_RSD.clone())
    states = [state for layer in layers for state in (layer.h_RF, layer.c_RF)] + list(pools)
    is_base_T = (ids_TR[:, 0] != config.cls_token_id) & (ids_TR[:, 0] != config.sep_token_id)
    part_T = (is_base_T.cumsum(0) - 1) * num_parts // is_base_T.sum().clamp(min=1)
    num_rows = 1
    for ids_R, is_base, part, num_now in zip(
        ids_TR, is_base_T.tolist(), part_T.tolist(), num_begun, strict=False
    ):
        _copy_first(states, num_rows, num_now)
        num_rows = num_now
        _step(layers, ids_R[:num_rows])
        if is_base:
            _pool(pools, part, state_RD[:num_rows])
    _copy_first(states, num_rows, num_begun[-1])
    count_S1 = torch.bincount(part_T[is_base_T], minlength=num_parts)[:, None]
    pooled_RSP = torch.cat([pools.last_RSD, pools.max_RSD, pools.sum_RSD / count_S1.clamp(min=1)], dim=2)
    return pooled_RSP.masked_fill(count_S1 == 0, 0.0).flatten(1)


def _pool(pools: _Pools, part: int, state_RD: Tensor) -> None:
    """Add a position to the pools of its part."""
    last_RD, max_RD, sum_RD = (pool_RSD[: len(state_RD), part] for pool_RSD in pools)
    last_RD.copy_(state_RD)
    torch.maximum(max_RD, state_RD, out=max_RD)
    sum_RD += state_RD


def _copy_first(parts: list[Tensor], start: int, stop: int) -> None:
    """Let rows begin where the first row is."""
    if stop > start:
        for part in parts:
            part[start:stop] = part[0]


def _build_layers(model: Any, num_rows: int) -> list[_Layer]:
    layers = []
    embedding_VF = model.awd_lstm.embedding.weight
    for number, lstm in enumerate(model.awd_lstm.lstm_layers):
        scale_G = _scale_change(lstm)
        bias_G = (lstm.bias_ih_l0 + lstm.bias_hh_l0) * scale_G
        input_FG = (lstm.weight_ih_l0.T * scale_G).contiguous()
        if number == 0:
            input_FG = torch.addmm(bias_G, embedding_VF, input_FG)
        zeros_RF = embedding_VF.new_zeros(num_rows, lstm.hidden_size)
        state_FG = (lstm.weight_hh_l0.T * scale_G).contiguous()
        layers.append(_Layer(input_FG, state_FG, bias_G, zeros_RF, zeros_RF.clone()))
    return layers


def _scale_change(lstm: Any) -> Tensor:
    """Return factors that double the third gate: tanh(x) is 2 * sigmoid(2 * x) - 1: one call does all."""
    scale_G = torch.ones_like(lstm.bias_ih_l0)
    scale_G[2 * lstm.hidden_size : 3 * lstm.hidden_size] = 2.0
    return scale_G


def _step(layers: list[_Layer], ids_R: Tensor) -> None:
    """Read one token of the rows that have begun."""
    below_RF = None
    for layer in layers:
        h_RF, c_RF = layer.h_RF[: len(ids_R)], layer.c_RF[: len(ids_R)]
        if below_RF is None:
            gates_RG = layer.input_FG[ids_R]
        else:
            gates_RG = torch.addmm(layer.bias_G, below_RF, layer.input_FG)
        gates_RG = torch.addmm(gates_RG, h_RF, layer.state_FG)
        entry, keep, change, exit_ = gates_RG.sigmoid_().chunk(4, dim=1)
        c_RF.mul_(keep).add_(entry * (2 * change - 1))
        torch.mul(exit_, c_RF.tanh(), out=h_RF)
        below_RF = h_RF
