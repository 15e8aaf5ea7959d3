"""Sequences as vectors: what a model has computed before its head, pooled over the tokens."""

from collections.abc import Sequence
from typing import Literal, get_args, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedModel

from genolm.errors import SettingsError
from genolm.inference.hidden_states import iter_hidden_states
from genolm.inference.loading import AnyModel, resolve_model
from genolm.inference.texts import clean_sequences
from genolm.models.bert import MODEL_CLASSES
from genolm.models.scoring import Windows, cut_long_inputs, find_max_tokens
from genolm.models.strands import turn_sequences
from genolm.progress import Reporter
from genolm.tokenization.encoder import encode_sequences

Pooling = Literal["mean", "max", "last", "cls"]
Vectors = npt.NDArray[np.float32]


@overload
def embed(
    model: AnyModel,
    sequences: Sequence[str],
    *,
    pooling: Pooling = "mean",
    layer: int = -1,
    both_strands: bool = False,
    batch_size: int = 64,
    reporter: Reporter | None = None,
) -> Vectors: ...


@overload
def embed(
    model: AnyModel,
    sequences: Sequence[str],
    *,
    pooling: Literal["tokens"],
    layer: int = -1,
    both_strands: Literal[False] = False,
    batch_size: int = 64,
    reporter: Reporter | None = None,
) -> list[Vectors]: ...


def embed(
    model: AnyModel,
    sequences: Sequence[str],
    *,
    pooling: Pooling | Literal["tokens"] = "mean",
    layer: int = -1,
    both_strands: bool = False,
    batch_size: int = 64,
    reporter: Reporter | None = None,
) -> Vectors | list[Vectors]:
    """Turn sequences into vectors; what a sequence gives does not depend on the others.

    Only tokens that stand for bases count, not [CLS] and [SEP]. A sequence longer than the positions of the
    model is cut into windows of its length, half a window apart: the vector is the mean of those of the
    windows (with max the largest of each number, with last that of the last window). Networks without
    positions read any length at once.

    Args:
        model: a folder or the name of a shipped model, or what `load_model` returns: language model or
            classifier.
        sequences: DNA texts.
        pooling: mean, max or last of the tokens' vectors; of a network that reads backward, last is that of
            the first token, which it reads last. cls: the vector of [CLS], of a BERT or ModernBERT alone. Or
            tokens: the vector of each token (of a network that pools on its way, each position).
        layer: as in transformers' `hidden_states`: 0 is the embedding, 1 the first layer, -1 the last.
        both_strands: the mean of the vectors of the sequence and of its reverse complement.
        batch_size: sequences, or windows of long ones, at a time; fewer of very long ones.
        reporter: shows the progress.

    Returns:
        float32 [n, size]; with tokens a list of float32 [tokens, size].

    Raises:
        RunFolderError: there is no such model.
        SettingsError: the model has no such pooling or layer.
        DataError: a letter is no nucleotide code, or a sequence is too short to give a token.
    """
    loaded = resolve_model(model)
    _check_pooling(pooling, loaded.model, both_strands=both_strands)
    texts = clean_sequences(sequences, loaded.scheme)
    strands = [texts, turn_sequences(texts)] if both_strands else [texts]
    token_ids = encode_sequences([text for strand in strands for text in strand], loaded.scheme)
    windows = cut_long_inputs(token_ids, max_tokens=find_max_tokens(loaded.model.config))
    with (reporter or Reporter()).task("embed", total=len(windows.token_ids)) as task:
        done = 0
        rows: list[npt.NDArray[np.int64]] = []
        found: list[Vectors] = []
        for batch in iter_hidden_states(loaded.model, windows.token_ids, layer=layer, batch_size=batch_size):
            rows.append(batch.rows)
            if pooling == "tokens":
                found += [
                    each[keep].cpu().numpy() for each, keep in zip(batch.hidden, batch.is_base, strict=True)
                ]
            else:
                is_backward = getattr(loaded.model.config, "direction", "forward") == "backward"
                pooled = pool_tokens(batch.hidden, batch.is_base, pooling=pooling, is_backward=is_backward)
                found += list(pooled.cpu().numpy())
            done += len(batch.rows)
            task.update(done)
    if not found:
        return [] if pooling == "tokens" else np.zeros((0, 0), dtype=np.float32)
    of_window = [found[place] for place in np.argsort(np.concatenate(rows))]
    if pooling == "tokens":
        return _join_token_rows(of_window, windows, num_sequences=len(token_ids))
    vectors = _join_windows(np.stack(of_window), windows, pooling=pooling, num_sequences=len(token_ids))
    return vectors.reshape(len(strands), len(texts), -1).mean(axis=0)


def pool_tokens(hidden: Tensor, is_base: Tensor, *, pooling: Pooling, is_backward: bool = False) -> Tensor:
    """Return one vector for each row, [B, F], from hidden states [B, T, F] and which of them count [B, T].

    >>> hidden, is_base = torch.tensor([[[9.0], [1.0], [3.0]]]), torch.tensor([[False, True, True]])
    >>> [pool_tokens(hidden, is_base, pooling=each).item() for each in ("mean", "max", "last", "cls")]
    [2.0, 3.0, 3.0, 9.0]
    """
    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "max":
        return hidden.masked_fill(~is_base[..., None], float("-inf")).amax(dim=1)
    if pooling == "last":
        places = torch.arange(is_base.shape[1], device=is_base.device)
        read = -places if is_backward else places
        last = torch.where(is_base, read, -is_base.shape[1]).argmax(dim=1)
        return hidden[torch.arange(len(hidden), device=hidden.device), last]
    weights = is_base.to(hidden.dtype)[..., None]
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1)


def _check_pooling(pooling: str, model: PreTrainedModel, *, both_strands: bool) -> None:
    if pooling not in (*get_args(Pooling), "tokens"):
        raise SettingsError(
            found=f"pooling {pooling!r}",
            expected=f"one of {', '.join(get_args(Pooling))}, tokens",
            remedy="choose one of these",
        )
    if pooling == "cls" and model.config.model_type not in MODEL_CLASSES:
        raise SettingsError(
            found=f"pooling cls for the model type {model.config.model_type}",
            expected=f"a {' or '.join(MODEL_CLASSES)}, whose [CLS] sees the whole sequence",
            remedy="choose mean, max or last",
        )
    if pooling == "tokens" and both_strands:
        raise SettingsError(
            found="vectors of tokens on both strands",
            expected="one strand: the tokens of the two do not lie at the same bases",
            remedy="leave both_strands out, or choose another pooling",
        )


def _join_windows(vectors: Vectors, windows: Windows, *, pooling: Pooling, num_sequences: int) -> Vectors:
    """Return the vector of each sequence from those of its windows."""
    joined = np.zeros((num_sequences, vectors.shape[1]), dtype=np.float32)
    if pooling == "max":
        joined[:] = -np.inf
        np.maximum.at(joined, windows.owners, vectors)
    elif pooling == "last":
        ends = np.append(np.flatnonzero(np.diff(windows.owners)), len(windows.owners) - 1)
        joined[:] = vectors[ends]
    else:
        np.add.at(joined, windows.owners, vectors)
        joined /= np.bincount(windows.owners, minlength=num_sequences)[:, None].astype(np.float32)
    return joined


def _join_token_rows(rows: list[Vectors], windows: Windows, *, num_sequences: int) -> list[Vectors]:
    """Return the vectors of each sequence's tokens; where windows overlap, the mean of both."""
    joined: list[Vectors] = []
    borders = np.searchsorted(windows.owners, np.arange(num_sequences + 1))
    for first, end in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True):
        if end == first + 1:
            joined.append(rows[first])
            continue
        starts = windows.starts[first:end].tolist()
        total = np.zeros((starts[-1] + len(rows[end - 1]), rows[first].shape[1]), dtype=np.float32)
        count = np.zeros((len(total), 1), dtype=np.float32)
        for start, row in zip(starts, rows[first:end], strict=True):
            total[start : start + len(row)] += row
            count[start : start + len(row)] += 1
        joined.append((total / count).astype(np.float32, copy=False))
    return joined
