"""What becomes of a token that is scored: [MASK], another one, or left as it is."""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from genolm.tokenization.scheme import MASK_ID, NUM_SPECIAL_TOKENS
from genolm.training.masking.chance import Words, draw_words, to_fractions
from genolm.training.masking.settings import MaskSettings
from genolm.training.masking.spans import Flags, Numbers

Fates = npt.NDArray[np.int8]


class Purpose(IntEnum):
    """What the words of a key are for."""

    PLACE = 0
    FATE = 1
    REPLACEMENT = 2


class Fate(IntEnum):
    """Of a token, or of all tokens of a span."""

    NONE = 0
    MASK = 1
    RANDOM = 2
    KEEP = 3


def mask_each(
    ids: Numbers, chosen: Flags, settings: MaskSettings, keys: Words, *, num_tokens: int
) -> Numbers:
    """Give each chosen token a fate of its own; a random one may be any k-mer or piece, the true one too.

    Args:
        ids: int64 [B, N], true ids.
        chosen: bool [B, N].
        settings: the shares of the fates.
        keys: uint64 [B].
        num_tokens: ids from the first that is not special on, to draw from.

    Returns:
        int64 [B, N], as shown to the model.
    """
    rows, positions = np.nonzero(chosen)
    fates = draw_fates(keys[rows], positions, settings)
    words = draw_words(keys[rows], positions, purpose=Purpose.REPLACEMENT)
    random_ids = (words % np.uint64(num_tokens)).astype(np.int64) + NUM_SPECIAL_TOKENS
    shown = ids.copy()
    shown[rows, positions] = np.select(
        [fates == Fate.MASK, fates == Fate.RANDOM], [np.int64(MASK_ID), random_ids], ids[rows, positions]
    )
    return shown


def draw_fates(keys: Words, counters: Numbers, settings: MaskSettings) -> Fates:
    """Return one fate for each key and counter, int8: mask, random or keep, in the shares of the settings."""
    fractions = to_fractions(draw_words(keys, counters, purpose=Purpose.FATE))
    borders = np.array([settings.mask_share, settings.mask_share + settings.random_share])
    return (Fate.MASK + np.searchsorted(borders, fractions, side="right")).astype(np.int8)
