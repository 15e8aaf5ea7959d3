"""How well a masked language model fills in hidden BPE tokens."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from genolm.alphabet import Codes
from genolm.errors import DataError
from genolm.metrics import bits_per_base
from genolm.tokenization.tokens import BpeTokens
from genolm.training.hardware.ranks import Ranks
from genolm.training.masking.bpe import mask_bpe_windows
from genolm.training.masking.chance import build_keys
from genolm.training.masking.score import fill_in, pad_windows, sum_over_windows
from genolm.training.masking.settings import MaskSettings
from genolm.training.token_stream import IGNORED_LABEL


class BpeScore(NamedTuple):
    """Figures over the hidden tokens of some windows."""

    loss: float  # nats per token
    accuracy: float  # of tokens
    bits_per_base: float  # bits of all hidden tokens over the bases in them
    tokens: int
    bases: int


def compute_bpe_score(
    model: nn.Module,
    windows: Sequence[Codes],
    *,
    tokens: BpeTokens,
    settings: MaskSettings,
    batch_size: int = 32,
    ranks: Ranks | None = None,
) -> BpeScore:
    """Hide tokens of each window, always the same ones, and let the model fill them in.

    Its bits per base are not quite those of other models. One [MASK] stands for one token between tokens that
    are shown, which gives away that bases begin and end there, and that the merges did not join them with
    their neighbors; a model of bases is not told that. On the other hand the length of the token is not told
    and costs bits, while k-mer models know how many bases are hidden; and only the true token counts, though
    another row of tokens may spell the same bases. So compare them between models of one tokenizer.

    Every process scores its share.

    Raises:
        DataError: no token is hidden.
        SettingsError: settings that do not suit BPE.
    """

    def score_batch(batch: list[Codes], numbers: np.ndarray, is_own: np.ndarray) -> np.ndarray:
        codes, lengths = pad_windows(batch)
        masked = mask_bpe_windows(
            codes, lengths, tokens=tokens, settings=settings, keys=build_keys(0, 0, numbers), share_done=1.0
        )
        is_scored = masked.labels != IGNORED_LABEL
        wanted = torch.from_numpy(masked.labels[is_scored])
        counts = torch.from_numpy(is_own[np.nonzero(is_scored)[0]])
        logits = fill_in(model, masked)
        nats = F.cross_entropy(logits, wanted, reduction="none")
        right = logits.argmax(dim=-1) == wanted
        sums = (nats[counts].sum(), counts.sum(), right[counts].sum())
        return np.array([*map(float, sums), float(masked.hidden[is_own].sum())])

    totals = sum_over_windows(score_batch, windows, num_figures=4, batch_size=batch_size, ranks=ranks)
    nats, num_tokens, num_right, bases = totals
    if num_tokens == 0:
        raise DataError(
            found="no hidden token in the held-out sequences",
            expected="windows of some dozen tokens",
            remedy="check the validation split, or set a higher masked.mask.rate",
        )
    return BpeScore(
        nats / num_tokens,
        num_right / num_tokens,
        bits_per_base(nats, int(bases)),
        int(num_tokens),
        int(bases),
    )
