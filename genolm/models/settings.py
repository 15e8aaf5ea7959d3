"""Size and dropout of an AWD-LSTM, as recipes give them."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class AwdLstmSettings:
    """Size of an AWD-LSTM; the default is that of Merity et al. 2017."""

    embedding_size: int = 400
    lstm_size: int = 1152
    num_layers: int = 3


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
