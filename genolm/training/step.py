"""One step of the optimizer: the micro-batches of a global batch, on one process or many.

A micro-batch's gradient counts by its share of the global batch's labels, so the sum is the gradient of the
mean loss over the whole batch, however it is cut. Dropout is a function of (seed, step, first row of the
micro-batch): the same micro-batches give the same masks on any number of processes.
"""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from genolm.training.chance import mix_seed
from genolm.training.hardware.ranks import Ranks
from genolm.training.micro_batches import MicroBatch
from genolm.training.optimizer import set_rates
from genolm.training.persistence.checkpoints import Carry
from genolm.training.schedules import PhasedSchedule
from genolm.training.stop_signals import STOP_SIGNALS


class StepTotals(NamedTuple):
    """What all processes know before a step: of its whole batch, and whether one of them must stop."""

    weight: float
    tokens: int
    stop_signal: int  # 0 for none


class StepResult(NamedTuple):
    """What a step gave; the weights have changed only if `is_finite`."""

    loss: float  # mean over the labels of the global batch
    grad_norm: float  # before clipping
    carry: Carry

    @property
    def has_finite_loss(self) -> bool:
        """Say whether the loss is a number."""
        return math.isfinite(self.loss)

    @property
    def is_finite(self) -> bool:
        """Say whether the loss and the gradient are numbers."""
        return self.has_finite_loss and math.isfinite(self.grad_norm)


def agree_on_step(micro_batches: Sequence[MicroBatch], *, ranks: Ranks, stop_signal: int) -> StepTotals:
    """Add up what the processes are about to learn from, and tell all of a signal that one has received."""
    received = [float(number == stop_signal) for number in STOP_SIGNALS]
    weight = sum(micro.step_input.weight for micro in micro_batches)
    tokens = sum(micro.step_input.tokens for micro in micro_batches)
    weight_sum, token_sum, *signals = ranks.sum([weight, tokens, *received])
    numbers = [number for number, count in zip(STOP_SIGNALS, signals, strict=True) if count]
    return StepTotals(weight_sum, int(token_sum), int(numbers[0]) if numbers else 0)


class StepRunner:
    """Takes steps with one model and optimizer, both prepared by Accelerate."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Any,
        accelerator: Accelerator,
        *,
        ranks: Ranks,
        schedule: PhasedSchedule,
        max_grad_norm: float,
        seed: int,
        stateful: bool,
    ) -> None:
        self.model, self.optimizer, self.accelerator, self.ranks = model, optimizer, accelerator, ranks
        self.schedule, self.max_grad_norm = schedule, max_grad_norm
        self.seed, self.stateful = seed, stateful

    def run(
        self, step: int, micro_batches: Sequence[MicroBatch], *, carry: Carry, total_weight: float
    ) -> StepResult:
        """Take a step, unless its loss or gradient is not finite (in fp16 the scaler then skips it)."""
        self.model.train()
        set_rates(self.optimizer, self.schedule, step)
        losses, carries = [], []
        for index, micro in enumerate(micro_batches):
            is_last = index == len(micro_batches) - 1
            share = micro.step_input.weight / (total_weight or 1)
            with nullcontext() if is_last else self.accelerator.no_sync(self.model):
                output = self._forward(step, micro, carry, first_row=micro_batches[0].rows.start)
                # Processes average their gradients, so each counts as many times as there are processes.
                self.accelerator.backward(output.loss * (share * self.ranks.count))
            losses.append(output.loss.detach() * share)
            if self.stateful:
                carries.append(_detach(output.state))
            del output
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.max_grad_norm)
        local_loss, grad_norm = torch.stack([torch.stack(losses).sum().float(), _to_whole(norm)]).tolist()
        result = StepResult(self.ranks.sum([local_loss])[0], grad_norm, _join(carries))
        if result.is_finite or self.accelerator.scaler is not None:
            self.optimizer.step()
        self.optimizer.zero_grad()
        return result

    def _forward(self, step: int, micro: MicroBatch, carry: Carry, *, first_row: int) -> Any:
        device = self.accelerator.device
        inputs = {
            name: tensor.to(device, non_blocking=True) for name, tensor in micro.step_input.inputs.items()
        }
        state: dict[str, Any] = {}
        if self.stateful:
            rows = slice(micro.rows.start - first_row, micro.rows.stop - first_row)
            state = {"state": _take_rows(carry, rows) if micro.step_input.keeps_carry else None}
        torch.manual_seed(mix_seed(self.seed, step, micro.rows.start))
        return self.model(**inputs, **state)


def _take_rows(carry: Carry, rows: slice) -> Carry:
    """Return some lanes of a state [1, lanes, F]; the state itself where those are all."""
    if carry is None or rows.stop - rows.start == carry[0][0].shape[1]:
        return carry
    return tuple(tuple(part[:, rows].contiguous() for part in layer) for layer in carry)


def _detach(state: Any) -> Carry:
    return tuple(tuple(part.detach() for part in layer) for layer in state)


def _join(carries: Sequence[Carry]) -> Carry:
    """Put the states of micro-batches together along the lanes."""
    if len(carries) < 2:
        return carries[0] if carries else None
    return tuple(
        tuple(torch.cat(parts, dim=1) for parts in zip(*layers, strict=True))
        for layers in zip(*(carry for carry in carries if carry is not None), strict=True)
    )


def _to_whole(norm: Any) -> Tensor:
    """Return the norm as a plain scalar tensor; that of sharded gradients is sharded."""
    whole: Tensor = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
    return whole.detach().float()
