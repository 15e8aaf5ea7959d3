"""The settings of masking, checked."""

from dataclasses import dataclass
from typing import Literal

from genolm.errors import SettingsError
from genolm.training.masking.spans import SpanLaw, SpanLengths


@dataclass(frozen=True, kw_only=True)
class MaskSettings:
    """What is hidden from a masked language model."""

    style: Literal["base_spans", "dnabert", "tokens"] = "base_spans"
    """whole bases, with all tokens that see them; DNABERT's rule; or single tokens (BPE, nucleotides)"""
    rate: float = 0.15
    """expected share of hidden bases; with tokens, of scored tokens; with dnabert, k times the share of
    tokens that are centers of a run of k (runs overlap: at 0.15 and k = 6, 14 % of the tokens are scored)"""
    later_rate: float | None = None
    """the rate of the last part of the training; None for one rate"""
    later_from: float = 1.0
    """share of the training after which later_rate holds"""
    span_bp: int = 1
    """bp that a span hides, or hides on average; read with base_spans alone"""
    span_lengths: SpanLengths = "fixed"
    """all spans of span_bp, or of geometric lengths with that mean"""
    mask_share: float = 0.8
    """share of spans (of tokens, with dnabert and tokens) that are shown as [MASK]"""
    random_share: float = 0.1
    """share that is shown with other bases, or as other tokens; the rest is shown as it is"""
    soft_masked_weight: float = 1.0
    """what a soft-masked (repeat) base counts in the loss; GPN takes 0.1"""

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            SettingsError: a setting is out of its range; all such are named.
        """
        shares = self.mask_share + self.random_share
        rules = {
            "style: base_spans, dnabert or tokens": self.style in ("base_spans", "dnabert", "tokens"),
            "rate above 0 (nothing hidden) and below 1 (everything hidden)": 0 < self.rate < 1,
            "later_rate above 0 and below 1, or null": self.later_rate is None or 0 < self.later_rate < 1,
            "later_from from 0 to 1": 0 <= self.later_from <= 1,
            "span_bp a whole number from 1": type(self.span_bp) is int and self.span_bp >= 1,
            "span_lengths: fixed or geometric": self.span_lengths in ("fixed", "geometric"),
            "mask_share and random_share from 0, in sum above 0 and at most 1": self.mask_share >= 0
            and self.random_share >= 0
            and 0 < shares <= 1 + 1e-9,
            "soft_masked_weight from 0 to 1": 0 <= self.soft_masked_weight <= 1,
        }
        if broken := [rule for rule, holds in rules.items() if not holds]:
            words = " ".join(broken).replace(":", " ").split()
            found = ", ".join(f"{name} = {value}" for name, value in vars(self).items() if name in words)
            raise SettingsError(
                found=found, expected="; ".join(broken), remedy="correct the masking settings"
            )

    def get_rate(self, share_done: float) -> float:
        """Return the rate after a share of the training.

        >>> settings = MaskSettings(rate=0.15, later_rate=0.2, later_from=0.5)
        >>> settings.get_rate(0.49), settings.get_rate(0.5)
        (0.15, 0.2)
        """
        if self.later_rate is not None and share_done >= self.later_from:
            return self.later_rate
        return self.rate

    def build_span_law(self, share_done: float) -> SpanLaw:
        """Return how often spans begin after a share of the training, and how long they are."""
        return SpanLaw(self.get_rate(share_done), self.span_bp, self.span_lengths)
