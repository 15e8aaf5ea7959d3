"""Size and dropout of an AWD-LSTM, as recipes give them."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from genolm.errors import SettingsError

HeadNorm = Literal["layer", "batch"]
Direction = Literal["forward", "backward"]  # backward: a sequence is read from its last token to its first


@dataclass(frozen=True, kw_only=True)
class AwdLstmSettings:
    """Size of an AWD-LSTM, as in Merity et al. 2017, and the direction in which it reads.

    What goes on with a pretrained model takes both from it.
    """

    embedding_size: int = 400
    lstm_size: int = 1152
    num_layers: int = 3
    direction: Direction = "forward"  # backward: each sequence from its end (not the other strand)

    def __post_init__(self) -> None:
        """Check the choice."""
        if self.direction not in get_args(Direction):
            raise SettingsError(
                found=f"direction {self.direction!r}",
                expected=f"one of {', '.join(get_args(Direction))}",
                remedy="correct the model settings",
            )


@dataclass(frozen=True, kw_only=True)
class HeadSettings:
    """What stands on an AWD-LSTM to classify: a layer between the pools and the outputs."""

    size: int = 50  # width of the layer
    norm: HeadNorm = "layer"  # batch: as fastai, learns by the statistics of batches; rows of 1 are taken
    parts: int = 1  # pool so many parts of a sequence, each by itself: for sequences aligned at some base

    def __post_init__(self) -> None:
        """Check choice and range."""
        if min(self.size, self.parts) < 1 or self.norm not in get_args(HeadNorm):
            raise SettingsError(
                found=f"a head of size {self.size} and {self.parts} parts with norm {self.norm!r}",
                expected=f"size and parts of at least 1, norm one of {', '.join(get_args(HeadNorm))}",
                remedy="correct the head settings",
            )

    def build_config(self) -> dict[str, Any]:
        """Return the entries of an AwdLstmConfig.

        The layer has ReLUs, as in ULMFiT. The pools of parts are so wide an input that a step of AdamW may
        switch a unit off for all sequences, and a ReLU stays off then. There the units leak, and come back.
        """
        return {
            "classifier_size": self.size,
            "classifier_norm": self.norm,
            "classifier_parts": self.parts,
            "classifier_activation": "relu" if self.parts == 1 else "leaky_relu",
        }


@dataclass(frozen=True, kw_only=True)
class DropoutSettings:
    """Dropout probabilities of a training stage, all scaled by `multiplier`."""

    multiplier: float = 0.3
    embedding: float = 0.02
    input: float = 0.25
    hidden: float = 0.15
    weight: float = 0.2
    output: float = 0.1

    def build_config(self) -> dict[str, Any]:
        """Return the entries of an AwdLstmConfig."""
        names = ("embedding", "input", "hidden", "weight", "output")
        return {f"{name}_dropout": self.multiplier * getattr(self, name) for name in names}
