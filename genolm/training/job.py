"""What a training is told: how it runs, what it learns, and how it ended."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from transformers import PreTrainedModel

from genolm.errors import SettingsError
from genolm.training.hardware.precision import Precision
from genolm.training.micro_batches import Batches
from genolm.training.schedules import PhasedSchedule


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How a training runs, whatever it learns.

    Those from `micro_batch_rows` on say how a machine does the work, and may change when a run goes on.
    """

    precision: Precision = "auto"  # of the forward pass; auto is bf16 where the CPU or GPU computes in it
    weight_decay: float = 0.01  # decoupled, on matrices only
    adam_beta2: float = 0.99
    max_grad_norm: float = 1.0  # gradients are scaled down to this norm
    micro_batch_rows: int = 0  # rows in one forward pass; 0 means all that a process has of a batch
    auto_batch: bool = False  # find the micro_batch_rows that fit into memory
    workers: int = 0  # processes that make batches ahead; 0 means that the training makes them itself
    gradient_checkpointing: bool = False  # compute activations twice instead of keeping them
    compile: bool = False  # torch.compile the model; draws the dropout otherwise
    checkpoint_every_steps: int = 200
    keep_checkpoints: int = 2
    log_every_steps: int = 20
    trackers: tuple[str, ...] = ()  # besides the log: tensorboard, wandb, trackio

    FREE: ClassVar[tuple[str, ...]] = (
        "micro_batch_rows",
        "auto_batch",
        "workers",
        "gradient_checkpointing",
        "compile",
        "checkpoint_every_steps",
        "keep_checkpoints",
        "log_every_steps",
        "trackers",
    )

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.checkpoint_every_steps, self.keep_checkpoints, self.log_every_steps) < 1:
            raise SettingsError(
                found="a number of steps or checkpoints below 1",
                expected="checkpoint_every_steps, keep_checkpoints and log_every_steps of at least 1",
                remedy="correct the loop settings",
            )
        if min(self.micro_batch_rows, self.workers) < 0 or self.max_grad_norm <= 0:
            raise SettingsError(
                found=f"micro_batch_rows {self.micro_batch_rows}, workers {self.workers}, "
                f"max_grad_norm {self.max_grad_norm}",
                expected="micro_batch_rows and workers of 0 or more, a positive max_grad_norm",
                remedy="correct the loop settings",
            )


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """What `run_training` needs to know of a task."""

    title: str
    batches: Batches
    schedule: PhasedSchedule
    evaluate: Callable[[PreTrainedModel], dict[str, float]]  # figures, "loss" among them; on every process
    monitor: str  # name of the evaluated figure that chooses the best weights
    larger_is_better: bool
    eval_every_steps: int
    patience: int  # evaluations without a gain before it stops; 0 means never
    stateful: bool = False  # the model returns a state that the next step takes
    is_language_model: bool = False  # its loss is one of tokens, so it can be told in bits per base
    bases_per_token: float = 1.0


class TrainingOutcome(NamedTuple):
    """How a training ended; the model holds the best weights."""

    steps: int
    best_step: int
    best_metrics: dict[str, float]
    tokens: int

    def describe(self, *, bases_per_token: int) -> dict[str, Any]:
        """Return what metrics.json of a language model says of its training."""
        return {
            "steps": self.steps,
            "best_step": self.best_step,
            "tokens_seen": self.tokens,
            "bases_seen": self.tokens * bases_per_token,
        }
