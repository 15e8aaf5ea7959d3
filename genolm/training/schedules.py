"""Learning-rate schedules: each maps a step of a phase to a share of the phase's highest rate."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from genolm.errors import SettingsError

ScheduleName = Literal["one_cycle", "slanted_triangular", "linear", "constant"]


class Rate(NamedTuple):
    """Share of the highest learning rate, and the momentum (the first beta of Adam)."""

    scale: float
    momentum: float


def one_cycle(step: int, *, num_steps: int) -> Rate:
    """Cosine up from 1/25 over the first quarter, cosine down to 1e-5; the momentum moves the other way.

    As in fastai's text learners, momentum .8, .7, .8 (Smith 2018, arXiv 1803.09820).

    >>> one_cycle(25, num_steps=100)
    Rate(scale=1.0, momentum=0.7)
    """
    position = (step / num_steps) / 0.25
    if position < 1:
        weight = (1 - math.cos(math.pi * position)) / 2
        return Rate(1 / 25 + (1 - 1 / 25) * weight, 0.8 - 0.1 * weight)
    weight = (1 + math.cos(math.pi * (position - 1) / 3)) / 2
    return Rate(1e-5 + (1 - 1e-5) * weight, 0.8 - 0.1 * weight)


def slanted_triangular(step: int, *, num_steps: int, cut_fraction: float = 0.1, ratio: float = 32) -> Rate:
    """Linear up over the first tenth, linear down after it (Howard and Ruder 2018, section 3.2).

    >>> slanted_triangular(10, num_steps=100).scale
    1.0
    """
    cut = max(1, math.floor(num_steps * cut_fraction))
    share = step / cut if step < cut else max(0.0, 1 - (step - cut) / max(1, num_steps - cut))
    return Rate((1 + share * (ratio - 1)) / ratio, 0.8)


def linear(step: int, *, num_steps: int, warmup_steps: int = 0) -> Rate:
    """Linear up from 0 over the warm-up, linear down to 0 after it, as BERT is usually fine-tuned.

    >>> [linear(step, num_steps=6, warmup_steps=2).scale for step in range(6)]
    [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]
    """
    if step < warmup_steps:
        return Rate(step / warmup_steps, 0.9)
    return Rate((num_steps - step) / (num_steps - warmup_steps), 0.9)


def constant(step: int, *, num_steps: int) -> Rate:
    """The highest rate throughout."""
    return Rate(1.0, 0.9)


SCHEDULES = {
    "one_cycle": one_cycle,
    "slanted_triangular": slanted_triangular,
    "linear": linear,
    "constant": constant,
}


@dataclass(frozen=True, kw_only=True)
class PhaseSettings:
    """A part of a training with one schedule and one set of trained layer groups."""

    epochs: int  # passes over the examples
    learning_rate: float  # highest rate of the last layer group
    trained_groups: int = 0  # layer groups that learn, counted from the output; 0 means all

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.epochs < 1 or self.learning_rate <= 0 or self.trained_groups < 0:
            raise SettingsError(
                found=f"epochs {self.epochs}, learning_rate {self.learning_rate}, "
                f"trained_groups {self.trained_groups}",
                expected="epochs of at least 1, a positive learning_rate, trained_groups of 0 or more",
                remedy="correct the phase in the recipe",
            )


class GroupRate(NamedTuple):
    """What an optimizer's parameter group gets at one step."""

    learning_rate: float
    momentum: float
    trained: bool


@dataclass(frozen=True)
class PhasedSchedule:
    """Phases in turn, with discriminative rates and gradual unfreezing (Howard and Ruder 2018)."""

    phases: tuple[PhaseSettings, ...]
    steps_per_epoch: int
    schedule: ScheduleName
    group_factor: float  # each layer group learns this many times slower than the one above it
    frozen_groups: int = 0  # layer groups, counted from the input, that never learn
    warmup_steps: int = 0  # of each phase, for the linear schedule

    def __post_init__(self) -> None:
        """Check that the warm-up is read, and that every phase outlasts it."""
        if self.warmup_steps and self.schedule != "linear":
            raise SettingsError(
                found=f"warmup_steps {self.warmup_steps} with the schedule {self.schedule}",
                expected="warmup_steps with the schedule linear only: the others have their own",
                remedy="set schedule: linear, or warmup_steps: 0",
            )
        shortest = min(phase.epochs for phase in self.phases) * self.steps_per_epoch
        if shortest < self.warmup_steps:
            raise SettingsError(
                found=f"warmup_steps {self.warmup_steps} in a phase of {shortest} steps",
                expected="as many as the phase has, or fewer",
                remedy="lower warmup_steps, or train for more epochs",
            )

    @property
    def num_steps(self) -> int:
        """Steps of all phases together."""
        return self.steps_per_epoch * sum(phase.epochs for phase in self.phases)

    @property
    def has_frozen_groups(self) -> bool:
        """Say whether some layer groups do not learn at some steps."""
        return self.frozen_groups > 0 or any(phase.trained_groups for phase in self.phases)

    def compute_rates(self, step: int, *, num_groups: int) -> list[GroupRate]:
        """Return the rate of each layer group, input first."""
        for phase in self.phases:
            phase_steps = phase.epochs * self.steps_per_epoch
            if step < phase_steps:
                break
            step -= phase_steps
        own = {"warmup_steps": self.warmup_steps} if self.schedule == "linear" else {}
        rate = SCHEDULES[self.schedule](step, num_steps=phase_steps, **own)
        first_trained = max(self.frozen_groups, num_groups - (phase.trained_groups or num_groups))
        return [
            GroupRate(
                phase.learning_rate * rate.scale / self.group_factor ** (num_groups - 1 - group),
                rate.momentum,
                group >= first_trained,
            )
            for group in range(num_groups)
        ]
