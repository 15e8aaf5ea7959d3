"""Variants of a sequence, of which a convolutional network computes again only the positions that change.

A changed token changes the positions of the next layer whose kernels reach it, these a few more in the layer
after it, and so on. All other positions are those of the sequence as it is, which is computed once. So a
substitution costs what the reach of the network costs, not what the sequence does (fastISM: Nair, Shrikumar,
Schreiber and Kundaje 2022, Bioinformatics 38, 2397).

Shapes: R rows, T tokens or positions of a layer, W changed positions, F features, S parts, C classes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genolm.models.modeling_sequence_nets import (
    ConvolutionLayer,
    FinalNorm,
    ResidualBlock,
    ResidualStem,
    SequenceNetForSequenceClassification,
)


class _Changed(NamedTuple):
    """What a layer gives for the sequence as it is, and for each row where that differs."""

    reference_TF: Tensor
    window_RWF: Tensor
    starts_R: Tensor
    """the first position of each window; all of a window lies within the sequence"""

    @property
    def width(self) -> int:
        """Positions of a window."""
        return self.window_RWF.shape[1]


def computes_changes(model: nn.Module) -> bool:
    """Say whether `compute_changed_logits` can read the rows of this model."""
    return (
        isinstance(model, SequenceNetForSequenceClassification)
        and model.config.architecture in ("deepbind", "basset", "residual")
        and model.config.pooling in ("max", "mean")
    )


def compute_changed_logits(model: Any, ids_RT: Tensor) -> Tensor:
    """Compute the logits of a sequence and its variants, within rounding those of the model: float32 [R, C].

    Args:
        model: a SequenceNetForSequenceClassification of convolutions, in eval mode.
        ids_RT: int64 token ids of one length, without padding, [CLS] and [SEP] in the same places. The first
            row is the sequence; of the others all from the first to the last difference is computed.
    """
    config = model.config
    ids_RT = ids_RT.to(model.device)
    ids_RT = ids_RT[:, (ids_RT[0] != config.cls_token_id) & (ids_RT[0] != config.sep_token_id)]
    differs_RT = (ids_RT != ids_RT[0]).int()
    num_tokens = ids_RT.shape[1]
    first_R = differs_RT.argmax(dim=1)
    behind_R = num_tokens - differs_RT.flip(1).argmax(dim=1)
    behind_R = torch.where(differs_RT.any(dim=1), behind_R, first_R + 1)  # one that does not differ
    width = int((behind_R - first_R).max())
    starts_R = first_R.clamp(max=num_tokens - width)
    window_RW = ids_RT.gather(1, starts_R[:, None] + torch.arange(width, device=ids_RT.device))
    embedding = model.encoder.embedding
    changed = _Changed(embedding(ids_RT[0]), embedding(window_RW), starts_R)
    for layer in model.encoder.layers:
        changed = _apply(layer, changed)
    return model.head(_pool_parts(changed, num_parts=config.num_parts, pooling=config.pooling)).float()


def _apply(layer: Any, changed: _Changed) -> _Changed:
    if isinstance(layer, ConvolutionLayer):
        changed = _map_positions(_convolve(layer.kernels, changed), F.relu)
        return _keep_largest(changed, layer.pool_width) if layer.pool_width > 1 else changed
    if isinstance(layer, ResidualStem):
        return _convolve(layer.kernels, changed)
    if isinstance(layer, FinalNorm):
        return _normalize(layer.norm, changed)
    if not isinstance(layer, ResidualBlock):
        raise TypeError(f"a layer of unknown kind: {type(layer).__name__}")
    change = changed
    for norm, convolution in zip(layer.norms, layer.convolutions, strict=True):
        change = _convolve(convolution, _normalize(norm, change))
    return _Changed(
        changed.reference_TF + change.reference_TF,
        _cut(changed, change.starts_R, change.width) + change.window_RWF,
        change.starts_R,
    )


def _normalize(norm: nn.Module, changed: _Changed) -> _Changed:
    return _map_positions(changed, lambda values_TF: F.relu(norm(values_TF)))


def _map_positions(changed: _Changed, function: Callable[[Tensor], Tensor]) -> _Changed:
    """Apply what acts on each position by itself."""
    return changed._replace(
        reference_TF=function(changed.reference_TF), window_RWF=function(changed.window_RWF)
    )


def _convolve(layer: Any, changed: _Changed) -> _Changed:
    """Apply a `Convolution`; the windows grow by its reach."""
    before, after = layer.margins
    num_positions = len(changed.reference_TF)
    width = min(before + changed.width + after, num_positions)
    starts_R = (changed.starts_R - after).clamp(0, num_positions - width)
    seen_RWF = _cut(changed, starts_R - before, before + width + after)
    seen_1TF = F.pad(changed.reference_TF, (0, 0, before, after))[None]
    reference_1TF, window_RWF = (
        layer.conv(values.transpose(1, 2)).transpose(1, 2) for values in (seen_1TF, seen_RWF)
    )
    return _Changed(reference_1TF[0], window_RWF, starts_R)


def _keep_largest(changed: _Changed, pool_width: int) -> _Changed:
    """Keep the largest of every `pool_width` positions, none of which is below 0."""
    num_positions = -(-len(changed.reference_TF) // pool_width)
    width = min((changed.width + pool_width - 2) // pool_width + 1, num_positions)
    starts_R = (changed.starts_R // pool_width).clamp(max=num_positions - width)
    seen_RWF = _cut(changed, starts_R * pool_width, width * pool_width)
    missing = num_positions * pool_width - len(changed.reference_TF)
    seen_1TF = F.pad(changed.reference_TF, (0, 0, 0, missing))[None]
    reference_1TF, window_RWF = (
        F.max_pool1d(values.transpose(1, 2), pool_width).transpose(1, 2) for values in (seen_1TF, seen_RWF)
    )
    return _Changed(reference_1TF[0], window_RWF, starts_R)


def _cut(changed: _Changed, starts_R: Tensor, width: int) -> Tensor:
    """Return what each row has from a position on that is not behind its window, with zeros around the
    sequence: [R, width, F]; all of the window must fit."""
    num_positions, num_features = changed.reference_TF.shape
    offset_R1 = (changed.starts_R - starts_R)[:, None]
    if changed.width == num_positions:  # the same offset for all
        before = int(offset_R1[0])
        return F.pad(changed.window_RWF, (0, 0, before, width - before - num_positions))
    place_W = torch.arange(width, device=starts_R.device)
    position_RW = starts_R[:, None] + place_W
    is_inside_RW = (position_RW >= 0) & (position_RW < num_positions)
    padded_TF = F.pad(changed.reference_TF, (0, 0, 0, 1))
    values_RWF = F.embedding(position_RW.where(is_inside_RW, num_positions), padded_TF)
    index_RW1 = (offset_R1 + place_W[: changed.width])[..., None]
    return values_RWF.scatter_(1, index_RW1.expand(-1, -1, num_features), changed.window_RWF)


def _pool_parts(changed: _Changed, *, num_parts: int, pooling: str) -> Tensor:
    """Take the maximum or the mean over each part of the sequence, as the model's pool does: [R, S * F].

    A part that a window touches is made of the window's positions in it, and of what the reference has in it
    before and behind the window, which is known from the running maximum or sum of either direction.
    """
    reference_TF, window_RWF, starts_R = changed
    num_rows, num_features = len(window_RWF), reference_TF.shape[1]
    num_positions = len(reference_TF)
    part_T = torch.arange(num_positions, device=starts_R.device) * num_parts // num_positions
    reduce = "amax" if pooling == "max" else "sum"
    pooled_SF = reference_TF.new_zeros(num_parts, num_features).scatter_reduce(
        0, part_T[:, None].expand_as(reference_TF), reference_TF, reduce=reduce, include_self=False
    )
    before_TF, behind_TF = (
        _run_over_parts(values_TF, parts_T, pooling=pooling)
        for values_TF, parts_T in ((reference_TF, part_T), (reference_TF.flip(0), part_T.flip(0)))
    )
    neutral_1F = reference_TF.new_full((1, num_features), float("-inf") if pooling == "max" else 0.0)
    before_TF, behind_TF = torch.cat([neutral_1F, before_TF]), torch.cat([behind_TF.flip(0), neutral_1F])
    position_RW = starts_R[:, None] + torch.arange(-1, changed.width + 1, device=starts_R.device)
    values_RWF = torch.cat(
        [before_TF[starts_R, None], window_RWF, behind_TF[starts_R + changed.width, None]], dim=1
    )
    part_RW = part_T[position_RW.clamp(0, num_positions - 1)]
    pooled_RSF = pooled_SF.repeat(num_rows, 1, 1).scatter_reduce_(
        1, part_RW[..., None].expand_as(values_RWF), values_RWF, reduce=reduce, include_self=False
    )
    if pooling == "mean":
        pooled_RSF /= torch.bincount(part_T, minlength=num_parts).clamp(min=1)[:, None]
    return pooled_RSF.flatten(1)


def _run_over_parts(values_TF: Tensor, part_T: Tensor, *, pooling: str) -> Tensor:
    """Return the maximum or sum of each position and those before it in its part, [T, F]."""
    parts = values_TF.split(torch.unique_consecutive(part_T, return_counts=True)[1].tolist())
    if pooling == "max":
        return torch.cat([part.cummax(dim=0).values for part in parts])
    return torch.cat([part.cumsum(dim=0) for part in parts])
