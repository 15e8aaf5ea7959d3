"""Where a training stands: what a checkpoint's state.json holds, and what decides the best weights."""

import math
from dataclasses import dataclass, field
from typing import Any

from genolm.training.persistence.checkpoints import NO_BEST


@dataclass
class TrainingState:
    """Counters and the choice so far; with weights, optimizer and carried state all that a run needs."""

    step: int = 0
    tokens: int = 0
    best_step: int = NO_BEST
    best_metrics: dict[str, float] | None = None
    evals_without_gain: int = 0
    loss_sum: float = 0.0  # of the steps since the last logged one
    loss_steps: int = 0
    skipped_steps: int = 0  # in a row, for want of a finite gradient in fp16
    processes: int = 1  # that ran it last
    grad_scaler: dict[str, Any] = field(default_factory=dict)  # of fp16

    def count_step(self, loss: float, tokens: int) -> None:
        """Count a step that was taken."""
        self.step += 1
        self.tokens += tokens
        self.loss_sum += loss
        self.loss_steps += 1

    def take_mean_loss(self) -> float:
        """Return the mean loss since the last call."""
        mean = self.loss_sum / max(self.loss_steps, 1)
        self.loss_sum, self.loss_steps = 0.0, 0
        return mean

    def take_evaluation(self, metrics: dict[str, float], *, monitor: str, larger_is_better: bool) -> bool:
        """Record an evaluation; return whether it is the best so far.

        Of two with the same monitored figure, the one with the lower loss is better; a figure that is no
        number, or None for want of a class, is the worst.
        """

        def rank(figures: dict[str, float]) -> tuple[float, float]:
            sign = 1 if larger_is_better else -1
            return _rank(figures[monitor], sign=sign), _rank(figures["loss"], sign=-1)

        if self.best_metrics and rank(metrics) <= rank(self.best_metrics):
            self.evals_without_gain += 1
            return False
        self.best_step, self.best_metrics, self.evals_without_gain = self.step, metrics, 0
        return True


def _rank(figure: float | None, *, sign: int) -> float:
    return -math.inf if figure is None or math.isnan(figure) else sign * figure
