"""The likelihood of sequences under a causal language model.

Shapes: B rows, T tokens, V vocabulary.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedModel

from genolm.inference.hidden_states import iter_row_batches
from genolm.inference.scores import Scores
from genolm.tokenization.encoder import TokenIds, encode_sequences, pad_batch
from genolm.tokenization.scheme import NUM_SPECIAL_TOKENS
from genolm.tokenization.tokens import Tokens, require_kmers

MAX_LOGITS = 1 << 26  # of a batch, B * T * V: 256 MiB
MAX_PART_TOKENS = 1 << 14  # a longer sequence is read in parts, the state carried on
NO_TARGET = -1


def compute_causal_bits(
    model: PreTrainedModel,
    sequences: Sequence[str],
    *,
    scheme: Tokens,
    batch_size: int,
    on_done: Callable[[int], None] | None = None,
) -> Scores:
    """Return the bits of the new bases of each sequence, read from a fresh state; see `genolm.score`.

    `on_done` is told how many sequences are done.
    """
    kmers = require_kmers(scheme, what="a causal language model")
    config: Any = model.config
    token_ids = encode_sequences(sequences, kmers)
    bits = np.zeros(len(token_ids))
    bases = np.zeros(len(token_ids), dtype=np.int64)
    max_tokens = min(MAX_LOGITS // config.vocab_size, 4 * MAX_PART_TOKENS)
    done = 0
    lengths = [len(ids) for ids in token_ids]
    for rows in iter_row_batches(lengths, batch_size=batch_size, max_tokens=max_tokens):
        nats, counts = _score_rows(
            model,
            [token_ids[row] for row in rows],
            is_backward=config.direction == "backward",
            part_tokens=min(max_tokens, MAX_PART_TOKENS),
        )
        bits[rows], bases[rows] = nats / math.log(2), counts * kmers.stride
        done += len(rows)
        if on_done:
            on_done(done)
    return Scores(bits, bases)


def _score_rows(
    model: PreTrainedModel, token_ids: Sequence[TokenIds], *, is_backward: bool, part_tokens: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return nats and scored tokens of some rows; a single long one is read in parts.

    Several rows are read at once whatever their length: behind the padding no state could be carried on.
    """
    device = next(model.parameters()).device
    batch = pad_batch(token_ids)
    input_ids = torch.from_numpy(batch.input_ids)
    attention_mask = torch.from_numpy(batch.attention_mask)
    targets = find_targets(input_ids, is_backward=is_backward)
    width = input_ids.shape[1]
    step = part_tokens if len(token_ids) == 1 else width
    parts = [slice(start, start + step) for start in range(0, width, step)]
    nats = np.zeros(len(token_ids))
    state = None
    for part in reversed(parts) if is_backward else parts:
        with torch.no_grad():
            output: Any = model(
                input_ids=input_ids[:, part].to(device),
                attention_mask=attention_mask[:, part].to(device),
                state=state,
            )
        state = output.state
        nats += _sum_nats(output.logits, targets[:, part].to(device))
    return nats, (targets != NO_TARGET).sum(dim=1).numpy()


def find_targets(input_ids: Tensor, *, is_backward: bool) -> Tensor:
    """Return what each token has to predict, int64 [B, T], or -1: only k-mers read after a k-mer count.

    >>> find_targets(torch.tensor([[2, 7, 8, 9, 3]]), is_backward=False).tolist()
    [[-1, 8, 9, -1, -1]]
    >>> find_targets(torch.tensor([[2, 7, 8, 9, 3]]), is_backward=True).tolist()
    [[-1, -1, 7, 8, -1]]
    """
    targets = torch.full_like(input_ids, NO_TARGET)
    read, told = (slice(1, None), slice(None, -1)) if is_backward else (slice(None, -1), slice(1, None))
    are_kmers = (input_ids[:, read] >= NUM_SPECIAL_TOKENS) & (input_ids[:, told] >= NUM_SPECIAL_TOKENS)
    targets[:, read] = input_ids[:, told].where(are_kmers, NO_TARGET)
    return targets


def _sum_nats(logits: Tensor, targets: Tensor) -> npt.NDArray[np.float64]:
    """Return the cross entropy of the targets of each row, in sum: [B]."""
    is_scored = targets != NO_TARGET
    chances = logits[is_scored].float().log_softmax(dim=-1)
    nats = torch.zeros(targets.shape, dtype=torch.float64, device=targets.device)
    nats[is_scored] = -chances.gather(1, targets[is_scored][:, None])[:, 0].double()
    summed: npt.NDArray[np.float64] = nats.sum(dim=1).cpu().numpy()
    return summed
