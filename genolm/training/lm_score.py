"""How well a language model predicts held-out sequence, in bits per new base."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from genolm.alphabet import Codes
from genolm.corpus.bases import CorpusBases
from genolm.errors import DataError
from genolm.metrics import bits_per_base
from genolm.tokenization.encoder import TokenIds, encode_codes, pad_batch
from genolm.tokenization.scheme import CLS_ID, NUM_SPECIAL_TOKENS, SEP_ID, KmerScheme
from genolm.training.token_stream import IGNORED_LABEL


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
    model: nn.Module, token_ids: Sequence[TokenIds], *, scheme: KmerScheme, batch_size: int = 64
) -> LanguageModelScore:
    """Score the new bases of encoded sequences, each from a fresh state.

    The first k-mer of a sequence is context only, so its first k bases are not scored.
    """
    nats, tokens = 0.0, 0
    device = next(model.parameters()).device
    for start in range(0, len(token_ids), batch_size):
        batch = pad_batch(token_ids[start : start + batch_size])
        input_ids = torch.from_numpy(batch.input_ids).to(device)
        is_kmer = input_ids >= NUM_SPECIAL_TOKENS
        labels = input_ids.masked_fill(~is_kmer, IGNORED_LABEL)
        labels[:, 1:].masked_fill_(~is_kmer[:, :-1], IGNORED_LABEL)  # a k-mer without context is all new
        with torch.no_grad():
            output = model(input_ids, labels=labels)
        nats += output.loss.item() * output.num_scored.item()
        tokens += int(output.num_scored.item())
    if tokens == 0:
        raise DataError(
            found="no token to score in the held-out sequences",
            expected=f"at least one sequence of {scheme.k + scheme.stride} known bases",
            remedy="check the validation split",
        )
    return LanguageModelScore(
        nats / tokens, bits_per_base(nats, tokens * scheme.stride), tokens * scheme.stride
    )


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
