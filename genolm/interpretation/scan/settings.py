"""Settings of a genome scan."""

from dataclasses import dataclass

from genolm.errors import SettingsError
from genolm.training.hardware.precision import Precision


@dataclass(frozen=True, kw_only=True)
class ScanSettings:
    """Which windows of a genome are classified, and how.

    Raises:
        SettingsError: a length or a number is out of range.
    """

    window_bp: int
    """bp; best the length of the training sequences"""
    stride_bp: int = 1
    """bp from one window to the next"""
    anchor_bp: int | None = None
    """bp; the base of a window, counted from 0 in reading direction, where its value stands in the tracks,
    such as 60 for promoter windows from -60 to +20; None for the middle"""
    threshold: float | None = None
    """value from which a window belongs to a peak; None for what the validation split chose, or 0.5"""
    class_name: str | None = None
    """whose probability is written; None for the second of two classes"""
    batch_size: int = 1024
    """windows that the model takes at a time"""
    precision: Precision = "auto"
    """auto, no, bf16 or fp16"""
    block_windows: int = 1 << 14
    """windows of a part, which is scanned again when the scan is broken off in it"""

    def __post_init__(self) -> None:
        """Check every number."""
        for name in ("window_bp", "stride_bp", "batch_size", "block_windows"):
            if getattr(self, name) < 1:
                raise SettingsError(
                    found=f"{name} = {getattr(self, name)}", expected="1 or more", remedy=f"correct {name}"
                )
        if not 0 <= self.place_bp < self.window_bp:
            raise SettingsError(
                found=f"anchor_bp = {self.anchor_bp}",
                expected=f"a base of the window, 0 to {self.window_bp - 1}",
                remedy="set --anchor-bp within the window",
            )
        if self.stride_bp > self.window_bp:
            raise SettingsError(
                found=f"a stride of {self.stride_bp} bp and windows of {self.window_bp} bp",
                expected="no base left out between two windows",
                remedy=f"set --stride-bp to {self.window_bp} or less",
            )

    @property
    def place_bp(self) -> int:
        """Base of a window that its value stands for, from 0 in reading direction."""
        return self.window_bp // 2 if self.anchor_bp is None else self.anchor_bp
