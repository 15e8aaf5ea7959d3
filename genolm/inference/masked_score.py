"""The pseudo-likelihood of sequences under a masked language model: what is hidden in turn, in a few passes.

A pass hides every P-th base of a sequence, behind [MASK] on all k-mers that see it; with BPE, every P-th
token. So each of these units is hidden in exactly one pass.

Shapes: B copies of windows, T tokens, L bases, D width, V vocabulary, M masked tokens of a batch.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedModel

from genolm.alphabet import encode_bases
from genolm.inference.hidden_states import iter_row_batches
from genolm.inference.scores import Scores
from genolm.models.base_chances import compute_base_chances
from genolm.models.bert import compute_head_logits
from genolm.models.cpu_kernels import choose_cpu_kernels
from genolm.models.scoring import cut_long_inputs, find_max_tokens
from genolm.tokenization.encoder import TokenIds, encode_sequences, pad_batch
from genolm.tokenization.scheme import MASK_ID, NUM_SPECIAL_TOKENS, KmerScheme
from genolm.tokenization.tokens import BpeTokens, Tokens

MIN_PASSES = 8  # so that about as much is hidden at a time as in training
MAX_LOGITS = 1 << 25  # of a batch, B * T * V
MAX_BATCH_TOKENS = 1 << 15
GROUP_TOKENS = 1 << 16  # of the sequences that are scored together
SMALLEST_CHANCE = 1e-12

Numbers = npt.NDArray[np.int64]


class _Copies(NamedTuple):
    """Windows of sequences, each as often as there are passes."""

    token_ids: list[TokenIds]
    owners: Numbers
    """the sequence of each"""
    starts: Numbers
    """token of its sequence that a window begins with, [CLS] not counted"""
    passes: Numbers
    """number of the pass"""


class _Told(NamedTuple):
    """The chance of some hidden units, and where they are."""

    copies: Numbers
    """[units], row of the batch"""
    units: Numbers
    """[units], base or token of the window, counted from 0"""
    chances: npt.NDArray[np.float64]
    """[units, 4] of the bases; [units, 1] of the true token"""


def compute_masked_bits(
    model: PreTrainedModel,
    sequences: Sequence[str],
    *,
    scheme: Tokens,
    batch_size: int,
    on_done: Callable[[int], None] | None = None,
) -> Scores:
    """Return the bits of the bases of each sequence, each told while others are seen; see `genolm.score`.

    `on_done` is told how many sequences are done.
    """
    bits = np.zeros(len(sequences))
    bases = np.zeros(len(sequences), dtype=np.int64)
    token_ids = encode_sequences(sequences, scheme)
    for group in _iter_groups([len(ids) for ids in token_ids]):
        units = [
            token_ids[row][1:-1] if isinstance(scheme, BpeTokens) else encode_bases(sequences[row])
            for row in range(group.start, group.stop)
        ]
        longest = max(map(len, token_ids[group]))
        with choose_cpu_kernels(model, "no", num_tokens=longest):
            chances = _tell_units(model, token_ids[group], units, scheme=scheme, batch_size=batch_size)
        for row, of_unit, unit in zip(range(group.start, group.stop), chances, units, strict=True):
            is_told = of_unit > 0
            bits[row] = -np.log2(of_unit[is_told].clip(min=SMALLEST_CHANCE)).sum()
            bases[row] = (
                scheme.token_bp[unit[is_told]].sum() if isinstance(scheme, BpeTokens) else is_told.sum()
            )
        if on_done:
            on_done(group.stop)
    return Scores(bits, bases)


def count_passes(scheme: Tokens) -> int:
    """Return how many units apart those lie that are hidden at once.

    >>> count_passes(KmerScheme(k=3, stride=1)), count_passes(KmerScheme(k=6, stride=1))
    (8, 12)
    """
    return max(MIN_PASSES, 2 * scheme.k) if isinstance(scheme, KmerScheme) else MIN_PASSES


def find_masked_tokens(
    input_ids: Numbers, *, starts: Numbers, passes: Numbers, scheme: Tokens
) -> npt.NDArray[np.bool_]:
    """Say which tokens see a unit that is hidden in the pass of their row, bool [B, T].

    A token with an unknown base shows nothing, and stays as it is.

    >>> ids, zero = np.array([[2, *[9] * 11, 3]]), np.array([0])
    >>> find_masked_tokens(ids, starts=zero, passes=zero + 1, scheme=KmerScheme(k=2, stride=1)).astype(int)
    array([[0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0]])
    """
    k, stride = (scheme.k, scheme.stride) if isinstance(scheme, KmerScheme) else (1, 1)
    first_units = (starts[:, None] + np.arange(-1, input_ids.shape[1] - 1)) * stride
    sees = (passes[:, None] - first_units) % count_passes(scheme) < k
    found: npt.NDArray[np.bool_] = sees & (input_ids >= NUM_SPECIAL_TOKENS)
    return found


def _iter_groups(lengths: Sequence[int]) -> Iterator[slice]:
    """Yield runs of sequences with at most GROUP_TOKENS, or one longer one."""
    start, tokens = 0, 0
    for row, length in enumerate(lengths):
        if row > start and tokens + length > GROUP_TOKENS:
            yield slice(start, row)
            start, tokens = row, 0
        tokens += length
    if lengths:
        yield slice(start, len(lengths))


def _tell_units(
    model: PreTrainedModel,
    token_ids: Sequence[TokenIds],
    units: Sequence[npt.NDArray[Any]],
    *,
    scheme: Tokens,
    batch_size: int,
) -> list[npt.NDArray[np.float64]]:
    """Return the chance of every base or token, [units] for each sequence; 0 where none is told."""
    copies = _make_copies(
        token_ids, max_tokens=find_max_tokens(model.config), num_passes=count_passes(scheme)
    )
    stride = scheme.stride if isinstance(scheme, KmerScheme) else 1
    ends = np.cumsum([len(each) for each in units])
    offsets = ends - [len(each) for each in units]
    truth = np.concatenate(units).astype(np.int64)
    total, count = np.zeros(len(truth)), np.zeros(len(truth))
    config: Any = model.config
    max_tokens = min(MAX_LOGITS // config.vocab_size, MAX_BATCH_TOKENS)
    lengths = [len(ids) for ids in copies.token_ids]
    for rows in iter_row_batches(lengths, batch_size=batch_size, max_tokens=max_tokens):
        starts, passes = copies.starts[rows], copies.passes[rows]
        told = _tell_batch(
            model, [copies.token_ids[row] for row in rows], starts=starts, passes=passes, scheme=scheme
        )
        places = offsets[copies.owners[rows][told.copies]] + starts[told.copies] * stride + told.units
        columns = truth[places] if told.chances.shape[1] > 1 else 0
        np.add.at(total, places, told.chances[np.arange(len(places)), columns])
        np.add.at(count, places, 1)
    return np.split(total / count.clip(min=1), ends[:-1])


def _make_copies(token_ids: Sequence[TokenIds], *, max_tokens: int | None, num_passes: int) -> _Copies:
    windows = cut_long_inputs(token_ids, max_tokens=max_tokens)
    places = np.repeat(np.arange(len(windows.token_ids)), num_passes)
    return _Copies(
        [windows.token_ids[place] for place in places],
        windows.owners[places],
        windows.starts[places],
        np.tile(np.arange(num_passes), len(windows.token_ids)),
    )


def _tell_batch(
    model: PreTrainedModel,
    token_ids: Sequence[TokenIds],
    *,
    starts: Numbers,
    passes: Numbers,
    scheme: Tokens,
) -> _Told:
    """Hide what is to be hidden in each row, and return what the model says of it."""
    batch = pad_batch(token_ids)
    masked = find_masked_tokens(batch.input_ids, starts=starts, passes=passes, scheme=scheme)
    rows, tokens = np.nonzero(masked)
    shown = np.where(masked, MASK_ID, batch.input_ids)
    logits_MV = _run_masked(model, shown, batch.attention_mask, masked)
    if not isinstance(scheme, KmerScheme):
        wanted = torch.from_numpy(batch.input_ids[masked]).to(logits_MV.device)
        of_token = logits_MV.double().softmax(dim=-1).gather(1, wanted[:, None])
        return _Told(rows, tokens - 1, of_token.cpu().numpy())
    length_bp = max((batch.input_ids.shape[1] - 3) * scheme.stride + scheme.k, 0)
    chances_BL4 = compute_base_chances(
        logits_MV,
        torch.from_numpy(rows).to(logits_MV.device),
        torch.from_numpy((tokens - 1) * scheme.stride).to(logits_MV.device),
        scheme=scheme,
        shape=(len(token_ids), length_bp),
    )
    places_BL = starts[:, None] * scheme.stride + np.arange(length_bp)
    is_hidden_BL = places_BL % count_passes(scheme) == passes[:, None]
    of_bases = chances_BL4.double().cpu().numpy()
    copies, units = np.nonzero(is_hidden_BL & (of_bases.sum(axis=2) > 0))
    return _Told(copies, units, of_bases[copies, units])


def _run_masked(
    model: PreTrainedModel, input_ids: Numbers, attention_mask: Numbers, masked: npt.NDArray[np.bool_]
) -> Tensor:
    """Return the logits of the masked tokens, float32 [M, V]; the head runs on these alone."""
    device = next(model.parameters()).device
    with torch.no_grad():
        hidden_BTD = model.base_model(
            input_ids=torch.from_numpy(input_ids).to(device),
            attention_mask=torch.from_numpy(attention_mask).to(device),
        ).last_hidden_state
        network: Any = model
        return compute_head_logits(network, hidden_BTD[torch.from_numpy(masked).to(device)])
