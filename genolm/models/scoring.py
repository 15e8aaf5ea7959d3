"""Probabilities of a classifier over encoded sequences, in batches."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from genolm.tokenization.encoder import TokenIds, pad_batch


def compute_probabilities(
    model: PreTrainedModel,
    token_ids: Sequence[TokenIds],
    *,
    batch_size: int = 64,
    on_batch: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Return the probability of each class, float32 [sequences, classes], in the order given.

    The model is used as it stands: in eval mode the result does not depend on the batches.
    `on_batch` is told how many sequences are done.
    """
    device = next(model.parameters()).device
    num_labels = model.config.num_labels or 1
    probabilities = np.empty((len(token_ids), num_labels), dtype=np.float32)
    for start in range(0, len(token_ids), batch_size):
        batch = pad_batch(token_ids[start : start + batch_size])
        with torch.no_grad():
            output = model(
                input_ids=torch.from_numpy(batch.input_ids).to(device),
                attention_mask=torch.from_numpy(batch.attention_mask).to(device),
            )
        rows = slice(start, start + len(batch.input_ids))
        probabilities[rows] = output.logits.float().softmax(dim=-1).cpu().numpy()
        if on_batch:
            on_batch(rows.stop)
    return probabilities


def select_scores(probabilities: np.ndarray) -> np.ndarray:
    """Return what the metrics take: the probability of class 1 [n] for two classes, else all [n, classes]."""
    return probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities
