"""What is really hidden from a masked language model, counted over the first windows of a training."""

from typing import NamedTuple

import numpy as np

from genolm.alphabet import UNKNOWN_CODE
from genolm.tokenization.scheme import MASK_ID, NUM_SPECIAL_TOKENS
from genolm.tokenization.tokens import BpeTokens, Tokens
from genolm.training.masking.batches import MaskedBatches, MaskedRows
from genolm.training.masking.bpe import find_token_bases
from genolm.training.masking.settings import MaskSettings
from genolm.training.masking.spans import Flags, find_seen_bases, group_tokens
from genolm.training.token_stream import IGNORED_LABEL

SAMPLE_BP = 100_000
MIN_WINDOWS, MAX_WINDOWS = 64, 256


class MaskStatistics(NamedTuple):
    """Figures over some windows; a share of nothing is 0."""

    windows: int
    bases: int
    """known ones"""
    seen_share: float
    """of the bases, those that lie in a token; the others are behind the last one"""
    hidden_share: float
    """of the bases, those that no token shows but as [MASK], replaced or by chance as they are; the rate,
    with base_spans and BPE"""
    tokens_per_window: float
    """without special ones"""
    scored_tokens_per_window: float
    spans: int
    """groups of tokens with one fate: with base_spans spans that no token tells apart, else scored tokens"""
    mask_share: float
    """of the spans, those shown as [MASK]"""
    random_share: float
    """shown with other bases, or as another token"""
    keep_share: float
    """shown as they are"""

    @property
    def bases_per_token(self) -> float:
        """Return the bases that a token adds, on average."""
        return self.seen_share * self.bases / max(1.0, self.tokens_per_window * self.windows)

    def describe(self) -> str:
        """Return one line for a person."""
        scored = self.scored_tokens_per_window / max(1.0, self.tokens_per_window)
        text = (
            f"in the first {self.windows:,} windows {self.hidden_share:.1%} of the bases are hidden and "
            f"{scored:.1%} of the tokens scored ({self.scored_tokens_per_window:.1f} in a window); of "
            f"{self.spans:,} spans {self.mask_share:.1%} are [MASK], {self.random_share:.1%} replaced, "
            f"{self.keep_share:.1%} as they are"
        )
        unseen_share = 1 - self.seen_share
        return text if unseen_share < 0.005 else f"{text}; {unseen_share:.1%} of the bases are in no token"


def compute_mask_statistics(batches: MaskedBatches) -> MaskStatistics:
    """Count over the first windows of a training: as many as 100,000 bp have, but 64 to 256.

    A replaced token that happens to be the true one counts as kept, for so it looks to the model.
    """
    wanted = int(np.clip(SAMPLE_BP // batches.windows.length_bp, MIN_WINDOWS, MAX_WINDOWS))
    totals, windows = np.zeros(8, dtype=np.int64), 0
    for step in range(batches.num_steps):
        num_rows = min(batches.count_rows(step), wanted - windows)
        rows = batches.mask_rows(step, slice(0, num_rows))
        totals += _count_rows(rows, batches.scheme, batches.mask)
        windows += num_rows
        if windows >= wanted:
            break
    bases, seen, hidden, tokens, scored, masked, replaced, kept = totals.tolist()
    spans = masked + replaced + kept
    return MaskStatistics(
        windows=windows,
        bases=bases,
        seen_share=seen / max(1, bases),
        hidden_share=hidden / max(1, bases),
        tokens_per_window=tokens / max(1, windows),
        scored_tokens_per_window=scored / max(1, windows),
        spans=spans,
        mask_share=masked / max(1, spans),
        random_share=replaced / max(1, spans),
        keep_share=kept / max(1, spans),
    )


def _count_rows(rows: MaskedRows, scheme: Tokens, settings: MaskSettings) -> np.ndarray:
    """Return bases, seen and hidden bases, tokens, scored tokens, and spans masked, replaced and kept."""
    batch, codes = rows.batch, rows.codes
    scored = batch.labels != IGNORED_LABEL
    true_ids = np.where(scored, batch.labels, batch.input_ids)
    is_token = true_ids >= NUM_SPECIAL_TOKENS
    known = (codes != UNKNOWN_CODE) & (np.arange(codes.shape[1]) < rows.lengths[:, None])
    if isinstance(scheme, BpeTokens):
        seen = find_token_bases(is_token, true_ids, tokens=scheme, length_bp=codes.shape[1])
    else:
        seen = find_seen_bases(is_token[:, 1:-1], scheme, length_bp=codes.shape[1])
    sums = (known, known & seen, known & batch.hidden, is_token, scored)
    return np.array([*(flags.sum() for flags in sums), *_count_fates(rows, scored, scheme, settings)])


def _count_fates(rows: MaskedRows, scored: Flags, scheme: Tokens, settings: MaskSettings) -> list[int]:
    """Return how many spans are shown as [MASK], with other bases, and as they are."""
    shown, labels = rows.batch.input_ids, rows.batch.labels
    is_mask = scored & (shown == MASK_ID)
    is_other = scored & (shown != labels) & ~is_mask
    if settings.style != "base_spans" or isinstance(scheme, BpeTokens):
        return [int(is_mask.sum()), int(is_other.sum()), int((scored & ~is_mask & ~is_other).sum())]
    groups = group_tokens(rows.batch.hidden[:, : rows.lengths.max(initial=0)], scheme)
    # A token with an unknown base is never masked, so one token does not tell the fate of its span.
    num_groups = len(groups.firsts)
    masked, replaced = (
        np.bincount(groups.group_of[flags[:, 1:-1].ravel()[groups.tokens]], minlength=num_groups) > 0
        for flags in (is_mask, is_other)
    )
    return [int(masked.sum()), int(replaced.sum()), int(num_groups - masked.sum() - replaced.sum())]
