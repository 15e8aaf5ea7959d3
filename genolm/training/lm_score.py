"""How well a language model predicts held-out sequence, in bits per new base."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from genolm.alphabet import Codes
from genolm.corpus.bases import CorpusBases
from genolm.errors import DataError
from genolm.metrics import bits_per_base
from genolm.tokenization.encoder import TokenIds, encode_codes, pad_batch
from genolm.tokenization.scheme import CLS_ID, SEP_ID, KmerScheme
from genolm.training.hardware.ranks import Ranks, get_ranks
from genolm.training.sequence_batches import label_next_kmers


class LanguageModelScore(NamedTuple):
    """How well new bases are predicted: loss in nats per token, bits per base, and how many were scored."""

    loss: float
    bits_per_base: float
    bases: int


def cut_windows(bases: CorpusBases, *, window_bp: int, min_bp: int) -> list[Codes]:
    """Cut every stretch into windows of `window_bp` base codes; rests under `min_bp` are left out."""
    windows = [
        piece[start : start + window_bp]
        for piece in bases.iter_pieces()
        for start in range(0, len(piece), window_bp)
    ]
    return [window for window in windows if len(window) >= min_bp]


def compute_lm_score(
    model: nn.Module,
    token_ids: Sequence[TokenIds],
    *,
    scheme: KmerScheme,
    batch_size: int = 64,
    ranks: Ranks | None = None,
) -> LanguageModelScore:
    """Score the new bases of encoded sequences, each from a fresh state; every process scores its share.

    The first k-mer of a sequence is context only, so its first k bases are not scored.
    """
    ranks = ranks or get_ranks()
    token_ids = _take_share(token_ids, ranks)
    nats, tokens = 0.0, 0.0
    config: Any = model.config
    device = next(model.parameters()).device
    for start in range(0, len(token_ids), batch_size):
        batch = pad_batch(token_ids[start : start + batch_size])
        input_ids = torch.from_numpy(batch.input_ids).to(device)
        with torch.no_grad():
            labels = label_next_kmers(input_ids, direction=config.direction)
            output = model(input_ids, labels=labels)
        nats += output.loss.item() * output.num_scored.item()
        tokens += output.num_scored.item()
    nats, tokens = ranks.sum([nats, tokens])
    if tokens == 0:
        raise DataError(
            found="no token to score in the held-out sequences",
            expected=f"at least one sequence of {scheme.k + scheme.stride} known bases",
            remedy="check the validation split",
        )
    return LanguageModelScore(
        nats / tokens, bits_per_base(nats, int(tokens) * scheme.stride), int(tokens) * scheme.stride
    )


def _take_share(token_ids: Sequence[TokenIds], ranks: Ranks) -> list[TokenIds]:
    """Return this process's sequences, filled up so that all processes have as many.

    (Sharded parameters want every process to call the model as often.) What fills up has nothing to score.
    """
    own = list(token_ids[ranks.split_rows(len(token_ids))])
    empty = np.array([CLS_ID, SEP_ID], dtype=np.int32)
    return own + [empty] * (math.ceil(len(token_ids) / ranks.count) - len(own))


def describe_lm_score(
    model: nn.Module, token_ids: Sequence[TokenIds], scheme: KmerScheme
) -> dict[str, float]:
    """Return the score of a language model as metrics.json holds it."""
    score = compute_lm_score(model.eval(), token_ids, scheme=scheme)
    return {**score._asdict(), "perplexity": math.exp(score.loss)}


def encode_windows(windows: Iterable[Codes], scheme: KmerScheme) -> list[TokenIds]:
    """Turn base codes into token ids between [CLS] and [SEP], one int32 array each."""
    return [
        np.concatenate([[CLS_ID], encode_codes(window, scheme), [SEP_ID]], dtype=np.int32)
        for window in windows
    ]
