"""Masking for masked language models: what is hidden, what the model is shown instead, what it must tell.

With overlapping k-mers the neighbors of a masked token spell most of it out. `base_spans` therefore hides
bases: every token that sees a hidden base is masked, and one choice is made for all tokens of a span (mask,
random bases, or leave as it is), so that no token gives another one away. `dnabert` is the rule of DNABERT,
to compare with; `tokens` masks single tokens, for BPE.

Shapes: B rows, L bases, N k-mer tokens, T tokens with [CLS], [SEP] and padding.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.alphabet import UNKNOWN_CODE, Codes
from genolm.errors import DataError, SettingsError
from genolm.tokenization.encoder import encode_codes
from genolm.tokenization.scheme import (
    CLS_ID,
    MASK_ID,
    NUM_SPECIAL_TOKENS,
    PAD_ID,
    SEP_ID,
    UNK_ID,
    KmerScheme,
)
from genolm.training.masking.chance import Words, are_chosen, build_keys, draw_words
from genolm.training.masking.fates import Fate, Fates, Purpose, draw_fates, mask_each
from genolm.training.masking.settings import MaskSettings
from genolm.training.masking.spans import (
    Flags,
    Numbers,
    TokenGroups,
    any_in_windows,
    compute_survival,
    find_seen_bases,
    group_tokens,
    hide_bases,
    solve_start_rate,
)
from genolm.training.token_stream import IGNORED_LABEL

__all__ = [
    "MaskSettings",
    "MaskedBatch",
    "MaskedTokens",
    "build_keys",
    "compute_label_share",
    "mask_token_ids",
    "mask_windows",
]

Weights = npt.NDArray[np.float32]


class MaskedBatch(NamedTuple):
    """Windows as a masked language model takes them."""

    input_ids: Numbers
    """[B, T]; [CLS] k-mers [SEP] [PAD]..., as `encode_sequences` gives, but for what is masked"""
    attention_mask: Numbers
    """[B, T]; 1 on tokens, 0 on padding"""
    labels: Numbers
    """[B, T]; the true ids of the tokens that are scored, -100 elsewhere"""
    hidden: Flags
    """bool [B, L]; the bases of the spans; with dnabert and tokens, those seen by scored tokens alone"""
    label_weights: Weights | None
    """float32 [B, T], what each label counts, 0 where there is none; None if all count 1"""


class MaskedTokens(NamedTuple):
    """Token ids as a masked language model takes them."""

    input_ids: Numbers
    """[B, T]"""
    attention_mask: Numbers
    """[B, T]; 1 on tokens, 0 on padding"""
    labels: Numbers
    """[B, T]; the true ids of the tokens that are scored, -100 elsewhere"""


class _Masked(NamedTuple):
    """What a style makes of k-mer tokens."""

    ids: Numbers
    """[B, N], as shown"""
    scored: Flags
    """bool [B, N]"""
    hidden: Flags
    """bool [B, L]"""


def mask_windows(
    codes: Codes,
    lengths: Numbers,
    *,
    scheme: KmerScheme,
    settings: MaskSettings,
    keys: Words,
    share_done: float = 0.0,
    soft_masked: Flags | None = None,
) -> MaskedBatch:
    """Encode and mask windows of bases; a row depends on its bases and its key alone.

    base_spans: spans of span_bp begin by chance, so often that each base of a window is hidden with the
    probability `rate`. All tokens that see a hidden base are scored. Spans that share a token, or touch, have
    one fate: [MASK] on all their tokens; each hidden base replaced by one of the three others and the tokens
    cut anew, so that they fit together; or all left as they are. A window with a base to hide has at least
    one span; spans begin a little less often in short windows to make up for that, and only where a single
    span is more than the rate (windows below about span_bp / rate bases) is more hidden than asked for.

    dnabert: `mask_tokens` of examples/run_pretrain.py (Ji et al. 2021), whose mlm_probability is rate / k:
    with that probability a token is the center of k tokens in a row that are masked, cut at the ends of the
    sequence; each token has its own fate. The original draws random tokens from the whole vocabulary,
    special tokens included; here they are k-mers. It hides a single base of a lone run, and shows that one
    too where a token of the run is left as it is.

    tokens: each token by itself; with overlapping k-mers its neighbors give it away.

    Args:
        codes: uint8 [B, L], base codes; what lies behind the length of a row is not read.
        lengths: int64 [B], bp of each row.
        scheme: k-mer scheme.
        settings: what is hidden.
        keys: uint64 [B], of `build_keys`.
        share_done: share of the training that is done, 0 to 1.
        soft_masked: bool [B, L], soft-masked bases; they count soft_masked_weight.

    Raises:
        DataError: the shapes do not fit together.
    """
    _check_shapes(codes, lengths, keys, soft_masked)
    length_bp = codes.shape[1]
    if (lengths < length_bp).any():
        codes = np.where(np.arange(length_bp) < lengths[:, None], codes, np.uint8(UNKNOWN_CODE))
    counts = np.maximum((lengths - scheme.k) // scheme.stride + 1, 0)
    ids: Numbers = np.empty((len(codes), scheme.count_tokens(length_bp)), dtype=np.int64)
    encode_codes(codes, scheme, out=ids)
    if ids.size == 0:
        masked = _Masked(ids, np.zeros(ids.shape, dtype=bool), np.zeros(codes.shape, dtype=bool))
    elif settings.style == "base_spans":
        masked = _mask_spans(ids, codes, scheme, settings, keys, share_done)
    else:
        masked = _mask_kmers(ids, scheme, settings, keys, share_done, length_bp=length_bp)
    weights = None
    if soft_masked is not None and settings.soft_masked_weight < 1:
        lost = 1 - settings.soft_masked_weight
        weights = _frame(_weigh_tokens(masked, soft_masked, scheme, lost), counts, fill=0)
    input_ids = _frame(masked.ids, counts, fill=PAD_ID)
    input_ids[:, 0] = CLS_ID
    input_ids[np.arange(len(counts)), counts + 1] = SEP_ID
    return MaskedBatch(
        input_ids=input_ids,
        attention_mask=(np.arange(input_ids.shape[1]) < counts[:, None] + 2).astype(np.int64),
        labels=_frame(np.where(masked.scored, ids, IGNORED_LABEL), counts, fill=IGNORED_LABEL),
        hidden=masked.hidden,
        label_weights=weights,
    )


def mask_token_ids(
    input_ids: Numbers, *, settings: MaskSettings, keys: Words, vocab_size: int, share_done: float = 0.0
) -> MaskedTokens:
    """Mask single tokens of sequences that are encoded already, such as by BPE.

    Special tokens, [UNK] among them, are neither masked nor drawn; a row may by chance have no label.

    Args:
        input_ids: int64 [B, T], with [CLS], [SEP] and [PAD].
        settings: of the style `tokens`.
        keys: uint64 [B], of `build_keys`.
        vocab_size: token ids, the special ones included.
        share_done: share of the training that is done, 0 to 1.

    Raises:
        SettingsError: the style is another one.
    """
    if settings.style != "tokens":
        raise SettingsError(
            found=f"masking of the style {settings.style} for token ids",
            expected="the style tokens",
            remedy="set style to tokens, or choose a k-mer scheme",
        )
    positions = np.arange(input_ids.shape[1], dtype=np.int64)
    chosen = are_chosen(
        draw_words(keys[:, None], positions, purpose=Purpose.PLACE), np.float64(settings.get_rate(share_done))
    )
    chosen &= input_ids >= NUM_SPECIAL_TOKENS
    return MaskedTokens(
        input_ids=mask_each(input_ids, chosen, settings, keys, num_tokens=vocab_size - NUM_SPECIAL_TOKENS),
        attention_mask=(input_ids != PAD_ID).astype(np.int64),
        labels=np.where(chosen, input_ids, IGNORED_LABEL),
    )


def compute_label_share(scheme: KmerScheme, settings: MaskSettings, *, share_done: float = 0.0) -> float:
    """Return the share of the k-mers of a long window that are scored, to be expected.

    A token is not scored if no span reaches any of its k bases, or if it is in no run.

    >>> round(compute_label_share(KmerScheme(k=6, stride=1), MaskSettings(rate=0.15, span_bp=1)), 3)
    0.623
    >>> round(compute_label_share(KmerScheme(k=6, stride=1), MaskSettings(rate=0.15, style="dnabert")), 3)
    0.141
    """
    rate = settings.get_rate(share_done)
    if settings.style == "tokens":
        return rate
    if settings.style == "dnabert":
        return 1 - (1 - rate / scheme.k) ** scheme.k
    law = settings.build_span_law(share_done)
    misses = np.log1p(-solve_start_rate(law) * compute_survival(law))
    return float(-np.expm1(scheme.k * misses[0] + misses[1:].sum()))


def _mask_spans(
    ids: Numbers,
    codes: Codes,
    scheme: KmerScheme,
    settings: MaskSettings,
    keys: Words,
    share_done: float,
) -> _Masked:
    """Hide spans of bases, and give each group of tokens one fate."""
    is_kmer = ids != UNK_ID
    hideable = find_seen_bases(is_kmer, scheme, length_bp=codes.shape[1])
    law = settings.build_span_law(share_done)
    hidden = hide_bases(hideable, law=law, keys=keys, purpose=Purpose.PLACE)
    groups = group_tokens(hidden, scheme)
    fates = _draw_group_fates(groups, ids.shape, settings, keys)
    # A token with an unknown base shows nothing, and stays as it is.
    fates *= is_kmer
    shown = ids.copy()
    shown[fates == Fate.MASK] = MASK_ID
    places = np.flatnonzero(fates == Fate.RANDOM)
    rows, numbers = np.divmod(places, ids.shape[1])
    others = _replace_bases(codes, hidden, keys)
    seen = others[rows[:, None], numbers[:, None] * scheme.stride + np.arange(scheme.k)]
    digits = 4 ** np.arange(scheme.k - 1, -1, -1, dtype=np.int64)
    shown.reshape(-1)[places] = seen @ digits + NUM_SPECIAL_TOKENS
    return _Masked(shown, fates != Fate.NONE, hidden)


def _draw_group_fates(
    groups: TokenGroups, shape: tuple[int, ...], settings: MaskSettings, keys: Words
) -> Fates:
    rows, numbers = np.divmod(groups.firsts, shape[1])
    group_fates = draw_fates(keys[rows], numbers, settings)
    fates = np.zeros(shape, dtype=np.int8)
    fates.reshape(-1)[groups.tokens] = group_fates[groups.group_of]
    return fates


def _replace_bases(codes: Codes, hidden: Flags, keys: Words) -> Codes:
    """Replace every hidden base by one of the three others; only random tokens are cut from it."""
    rows, positions = np.nonzero(hidden)
    words = draw_words(keys[rows], positions, purpose=Purpose.REPLACEMENT)
    others = codes.copy()
    others[rows, positions] = (codes[rows, positions] + 1 + (words % np.uint64(3)).astype(np.uint8)) % 4
    return others


def _mask_kmers(
    ids: Numbers,
    scheme: KmerScheme,
    settings: MaskSettings,
    keys: Words,
    share_done: float,
    *,
    length_bp: int,
) -> _Masked:
    """Mask runs of k tokens around centers, as DNABERT does, or single tokens."""
    is_kmer = ids != UNK_ID
    width = scheme.k if settings.style == "dnabert" else 1
    probability = np.float64(settings.get_rate(share_done) / width)
    positions = np.arange(ids.shape[1], dtype=np.int64)
    chosen = are_chosen(draw_words(keys[:, None], positions, purpose=Purpose.PLACE), probability)
    chosen &= is_kmer
    # MASK_LIST of the original: from -1 to 1 (k = 3), to 2 (k = 4), from -2 to 2 (k = 5), to 3 (k = 6).
    num_after = width // 2
    padded = np.pad(chosen, ((0, 0), (num_after, width - 1 - num_after)))
    chosen = any_in_windows(padded, width) & is_kmer
    seen = find_seen_bases(chosen, scheme, length_bp=length_bp)
    hidden = seen & ~find_seen_bases(is_kmer & ~chosen, scheme, length_bp=length_bp)
    return _Masked(mask_each(ids, chosen, settings, keys, num_tokens=scheme.num_kmers), chosen, hidden)


def _weigh_tokens(masked: _Masked, soft_masked: Flags, scheme: KmerScheme, lost: float) -> Weights:
    """Return the mean weight of the hidden bases that each scored token sees; of all, where it sees none."""
    rows, numbers = np.nonzero(masked.scored)
    bases = rows[:, None], numbers[:, None] * scheme.stride + np.arange(scheme.k)
    counted = masked.hidden[bases]
    counted |= ~counted.any(axis=1, keepdims=True)
    weights = np.zeros(masked.scored.shape, dtype=np.float32)
    weights[rows, numbers] = 1 - lost * (soft_masked[bases] & counted).sum(axis=1) / counted.sum(axis=1)
    return weights


def _frame(tokens: npt.NDArray, counts: Numbers, *, fill: int) -> npt.NDArray:
    """Put `fill` in front of the tokens of each row and behind them, up to the longest row and its [SEP]."""
    longest = int(counts.max(initial=0))
    framed = np.full((len(counts), longest + 2), fill, dtype=tokens.dtype)
    framed[:, 1:-1] = tokens[:, :longest]
    if (counts < longest).any():
        framed[:, 1:-1][np.arange(longest) >= counts[:, None]] = fill
    return framed


def _check_shapes(codes: Codes, lengths: Numbers, keys: Words, soft_masked: Flags | None) -> None:
    rows = codes.shape[:1]
    fits = codes.ndim == 2 and lengths.shape == rows and keys.shape == rows
    fits = fits and (soft_masked is None or soft_masked.shape == codes.shape)
    if fits and lengths.min(initial=0) >= 0 and lengths.max(initial=0) <= codes.shape[1]:
        return
    found = {"codes": codes.shape, "lengths": lengths.shape, "keys": keys.shape}
    if soft_masked is not None:
        found["soft_masked"] = soft_masked.shape
    raise DataError(
        found=", ".join(f"{name} {shape}" for name, shape in found.items())
        + f", lengths up to {lengths.max(initial=0)}",
        expected="codes [B, L], lengths [B] from 0 to L, keys [B], soft_masked [B, L] or none",
        remedy="give one length and one key for each row of codes",
    )
