"""How well a masked language model fills in hidden bases, in bits per base.

The tokens that see a hidden base each give a chance to every k-mer; summed over the k-mers that have a
certain base at its place, and averaged over those tokens, that is the model's chance of the base. It compares
with the bits per base of any other model of the same bases; a uniform one scores 2.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genolm.alphabet import UNKNOWN_CODE, Codes
from genolm.errors import DataError
from genolm.models.base_chances import compute_base_chances
from genolm.tokenization.scheme import KmerScheme
from genolm.training.hardware.ranks import Ranks, get_ranks
from genolm.training.masking.windows import MaskedBatch, MaskSettings, build_keys, mask_windows
from genolm.training.token_stream import IGNORED_LABEL

# Takes windows, their numbers, and which of them count here; returns sums over those.
BatchScore = Callable[[list[Codes], np.ndarray, np.ndarray], np.ndarray]


class MaskedScore(NamedTuple):
    """Figures over the hidden bases of some windows, and over the tokens that see them."""

    loss: float  # nats per token
    accuracy: float  # of tokens
    bits_per_base: float
    base_accuracy: float
    bases: int


def compute_masked_score(
    model: nn.Module,
    windows: Sequence[Codes],
    *,
    scheme: KmerScheme,
    settings: MaskSettings,
    batch_size: int = 32,
    ranks: Ranks | None = None,
) -> MaskedScore:
    """Hide bases of each window, always the same ones, behind [MASK], and let the model fill them in.

    Every process scores its share.

    Raises:
        DataError: there is no base to hide.
    """

    def score_batch(batch: list[Codes], numbers: np.ndarray, is_own: np.ndarray) -> np.ndarray:
        return _score_batch(model, batch, numbers, is_own, scheme=scheme, settings=settings)

    totals = sum_over_windows(score_batch, windows, num_figures=6, batch_size=batch_size, ranks=ranks)
    nats, tokens, right_tokens, bits, bases, right_bases = totals
    if bases == 0:
        raise DataError(
            found="no base to hide in the held-out sequences",
            expected=f"windows of {scheme.k} known bases or more",
            remedy="check the validation split",
        )
    return MaskedScore(nats / tokens, right_tokens / tokens, bits / bases, right_bases / bases, int(bases))


def sum_over_windows(
    score_batch: BatchScore,
    windows: Sequence[Codes],
    *,
    num_figures: int,
    batch_size: int,
    ranks: Ranks | None = None,
) -> list[float]:
    """Add up the figures of all windows, over all processes, of which each scores its share."""
    ranks = ranks or get_ranks()
    share = ranks.split_rows(len(windows))
    most = math.ceil(len(windows) / ranks.count)
    totals = np.zeros(num_figures)
    for start in range(0, most, batch_size):
        numbers = np.arange(start, min(start + batch_size, most)) + share.start
        is_own = numbers < share.stop
        # Sharded parameters want every process to call the model as often: the last window fills up.
        numbers = np.minimum(numbers, len(windows) - 1)
        totals += score_batch([windows[number] for number in numbers], numbers, is_own)
    return ranks.sum(totals.tolist())


def fill_in(model: nn.Module, masked: MaskedBatch) -> Tensor:
    """Return the logits of the scored tokens, float32 [tokens, vocabulary], on the CPU, in their order."""
    device = next(model.parameters()).device
    inputs = {"input_ids": torch.from_numpy(masked.input_ids), "labels": torch.from_numpy(masked.labels)}
    if not masked.attention_mask.all():
        inputs["attention_mask"] = torch.from_numpy(masked.attention_mask)
    with torch.no_grad():
        output = model(**{name: tensor.to(device) for name, tensor in inputs.items()}, return_logits=True)
    logits: Tensor = output.logits.float().cpu()
    return logits


def _score_batch(
    model: nn.Module,
    windows: list[Codes],
    numbers: np.ndarray,
    is_own: np.ndarray,
    *,
    scheme: KmerScheme,
    settings: MaskSettings,
) -> np.ndarray:
    """Return nats, tokens, right tokens, bits, bases and right bases, of the own windows alone."""
    codes, lengths = pad_windows(windows)
    masked = mask_windows(
        codes, lengths, scheme=scheme, settings=settings, keys=build_keys(0, 0, numbers), share_done=1.0
    )
    labels = torch.from_numpy(masked.labels)
    is_scored = labels != IGNORED_LABEL
    row, token = is_scored.nonzero(as_tuple=True)
    logits = fill_in(model, masked)
    counts = torch.from_numpy(is_own)[row]
    wanted = labels[is_scored]
    nats = F.cross_entropy(logits, wanted, reduction="none")
    right = logits.argmax(dim=-1) == wanted
    chance = compute_base_chances(logits, row, (token - 1) * scheme.stride, scheme=scheme, shape=codes.shape)
    hidden = torch.from_numpy(masked.hidden & is_own[:, None] & (codes != UNKNOWN_CODE))
    truth = torch.from_numpy(codes.astype(np.int64)).clamp(max=3)
    is_seen = chance.sum(dim=-1) > 0  # a base at the end may lie in no token
    hidden &= is_seen
    of_truth = chance.gather(-1, truth[..., None])[..., 0][hidden]
    right_base = (chance.argmax(dim=-1) == truth)[hidden]
    return np.array(
        [
            float(nats[counts].sum()),
            float(counts.sum()),
            float(right[counts].sum()),
            float(-of_truth.clamp(min=1e-12).log2().sum()),
            float(hidden.sum()),
            float(right_base.sum()),
        ]
    )


def pad_windows(windows: Sequence[Codes]) -> tuple[Codes, np.ndarray]:
    """Put windows into one array, uint8 [windows, longest], and return their lengths."""
    lengths = np.array([len(window) for window in windows], dtype=np.int64)
    codes = np.full((len(windows), int(lengths.max(initial=1))), UNKNOWN_CODE, dtype=np.uint8)
    for row, window in enumerate(windows):
        codes[row, : len(window)] = window
    return codes, lengths
