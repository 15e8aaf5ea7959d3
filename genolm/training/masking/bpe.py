"""Windows of bases as BPE tokens, some of them hidden.

BPE tokens share no base, so a token that is hidden by itself is not spelled out by its neighbors.

Shapes: B rows, L bases, T tokens with [CLS], [SEP] and padding.
"""

import numpy as np

from genolm.alphabet import BASE_OF_CODE, Codes
from genolm.errors import DataError, SettingsError
from genolm.tokenization.encoder import pad_batch
from genolm.tokenization.scheme import CLS_ID, NUM_SPECIAL_TOKENS, SEP_ID
from genolm.tokenization.tokens import BpeTokens
from genolm.training.masking.chance import Words
from genolm.training.masking.settings import MaskSettings
from genolm.training.masking.spans import Flags, Numbers
from genolm.training.masking.windows import MaskedBatch, mask_token_ids
from genolm.training.token_stream import IGNORED_LABEL


def encode_bpe_windows(codes: Codes, lengths: Numbers, *, tokens: BpeTokens) -> Numbers:
    """Turn windows into [CLS] tokens [SEP] [PAD]..., at most `tokens.max_tokens` of them.

    Args:
        codes: uint8 [B, L], base codes; what lies behind the length of a row is not read.
        lengths: int64 [B], bp of each row.
        tokens: the tokenizer.

    Returns:
        int64 [B, T], as wide as the longest row.

    Raises:
        DataError: the shapes do not fit together.
    """
    if codes.ndim != 2 or lengths.shape != codes.shape[:1] or lengths.max(initial=0) > codes.shape[1]:
        raise DataError(
            found=f"codes {codes.shape}, lengths {lengths.shape} up to {lengths.max(initial=0)}",
            expected="codes [B, L] and lengths [B] from 0 to L",
            remedy="give one length for each row of codes",
        )
    text, width = BASE_OF_CODE[codes].tobytes().decode("ascii"), codes.shape[1]
    rows = [text[row * width : row * width + bp] for row, bp in enumerate(lengths.tolist())]
    return pad_batch([np.array(tokens.encode(bases), dtype=np.int64) for bases in rows]).input_ids


def mask_bpe_windows(
    codes: Codes,
    lengths: Numbers,
    *,
    tokens: BpeTokens,
    settings: MaskSettings,
    keys: Words,
    share_done: float = 0.0,
) -> MaskedBatch:
    """Encode windows and hide single tokens; a row depends on its bases and its key alone.

    Args:
        codes: uint8 [B, L], base codes; what lies behind the length of a row is not read.
        lengths: int64 [B], bp of each row.
        tokens: the tokenizer.
        settings: of the style `tokens`; the rate is that of tokens, and so on average that of bases.
        keys: uint64 [B], of `build_keys`.
        share_done: share of the training that is done, 0 to 1.

    Raises:
        SettingsError: settings that do not suit BPE.
        DataError: the shapes do not fit together.
    """
    check_bpe_masking(settings, tokens.name)
    true_ids = encode_bpe_windows(codes, lengths, tokens=tokens)
    return _hide_tokens(true_ids, codes.shape[1], tokens, settings, keys, share_done)


def mask_longest_bpe_window(
    num_rows: int, length_bp: int, *, tokens: BpeTokens, settings: MaskSettings, keys: Words
) -> MaskedBatch:
    """Return so many masked windows with the most tokens that there can be, one base each."""
    num_tokens = min(length_bp + 2, tokens.max_tokens or length_bp + 2)
    true_ids = np.full((num_rows, num_tokens), NUM_SPECIAL_TOKENS, dtype=np.int64)
    true_ids[:, 0], true_ids[:, -1] = CLS_ID, SEP_ID
    return _hide_tokens(true_ids, length_bp, tokens, settings, keys, 0.0)


def _hide_tokens(
    true_ids: Numbers,
    length_bp: int,
    tokens: BpeTokens,
    settings: MaskSettings,
    keys: Words,
    share_done: float,
) -> MaskedBatch:
    masked = mask_token_ids(
        true_ids, settings=settings, keys=keys, vocab_size=tokens.vocab_size, share_done=share_done
    )
    scored = masked.labels != IGNORED_LABEL
    hidden = find_token_bases(scored, true_ids, tokens=tokens, length_bp=length_bp)
    return MaskedBatch(*masked, hidden=hidden, label_weights=None)


def find_token_bases(flags: Flags, true_ids: Numbers, *, tokens: BpeTokens, length_bp: int) -> Flags:
    """Return which bases lie in a flagged token, bool [B, length_bp].

    Args:
        flags: bool [B, T].
        true_ids: int64 [B, T], of `encode_bpe_windows`.
        tokens: the tokenizer.
        length_bp: of the widest row, or more.
    """
    sizes_bp = tokens.token_bp[true_ids]
    is_covered = np.arange(length_bp) < sizes_bp.sum(axis=1)[:, None]
    bases = np.zeros(is_covered.shape, dtype=bool)
    bases[is_covered] = np.repeat(flags.ravel(), sizes_bp.ravel())
    return bases


def check_bpe_masking(settings: MaskSettings, name: str) -> None:
    """Refuse settings that mean nothing for BPE.

    Raises:
        SettingsError: the style is not `tokens`, or soft-masked bases have a weight of their own.
    """
    if settings.style != "tokens":
        raise SettingsError(
            found=f"masking of the style {settings.style} with {name}",
            expected="the style tokens: BPE tokens share no base",
            remedy="set masked.mask.style=tokens, or choose a k-mer scheme",
        )
    if settings.soft_masked_weight != 1:
        raise SettingsError(
            found=f"soft_masked_weight {settings.soft_masked_weight} with {name}",
            expected="1: a BPE token may be soft-masked in part",
            remedy="set masked.mask.soft_masked_weight=1, or choose a k-mer scheme",
        )
