"""Settings of a variant table."""

from dataclasses import dataclass
from typing import Literal, get_args

from genolm.errors import SettingsError

StrandChoice = Literal["both", "plus", "minus"]
MAX_MISMATCH_SHARE = 0.01  # of the records whose REF was compared with the genome


@dataclass(frozen=True, kw_only=True)
class VariantSettings:
    """What the model is shown of each allele.

    Raises:
        SettingsError: a length or a number is out of range, or the strand is unknown.
    """

    window_bp: int
    """bp; best the length of the training sequences"""
    offset_bp: int | None = None
    """bp; the base of the window, from 0 on the plus strand, where the variant begins; None for the middle"""
    strand: StrandChoice = "both"
    """both is the mean over the strands"""
    class_name: str | None = None
    """whose probability is compared; None for the second of two classes"""
    batch_size: int = 64
    """windows that the model takes at a time"""
    records_at_a_time: int = 512
    """records of the file held in memory"""

    def __post_init__(self) -> None:
        """Check every number."""
        for name in ("window_bp", "batch_size", "records_at_a_time"):
            if getattr(self, name) < 1:
                raise SettingsError(
                    found=f"{name} = {getattr(self, name)}", expected="1 or more", remedy=f"correct {name}"
                )
        if not 0 <= self.place_bp < self.window_bp:
            raise SettingsError(
                found=f"offset_bp = {self.offset_bp}",
                expected=f"a base of the window, 0 to {self.window_bp - 1}",
                remedy="set --offset-bp within the window",
            )
        if self.strand not in get_args(StrandChoice):
            raise SettingsError(
                found=f"the strand '{self.strand}'",
                expected=", ".join(get_args(StrandChoice)),
                remedy="correct --strand",
            )

    @property
    def place_bp(self) -> int:
        """Base of the window where the variant begins."""
        return self.window_bp // 2 if self.offset_bp is None else self.offset_bp
