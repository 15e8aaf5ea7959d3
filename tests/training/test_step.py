import math
import signal

import pytest
import torch
from small_jobs import FixedBatches, Toy
from torch import Tensor

from genolm.models import AwdLstmConfig, AwdLstmForCausalLM
from genolm.training.hardware.accelerator import build_accelerator
from genolm.training.hardware.ranks import Ranks
from genolm.training.micro_batches import MicroBatch, StepInput, split_step
from genolm.training.optimizer import build_optimizer
from genolm.training.schedules import PhasedSchedule, PhaseSettings
from genolm.training.step import StepRunner, agree_on_step

ROWS, TOKENS = 6, 9
ALONE = Ranks(0, 1, torch.device("cpu"))


def build_inputs() -> dict[str, Tensor]:
    """Rows with 9, 0, 1, 5, 2 and 9 labels: a mean of the rows' means would be wrong."""
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(5, 69, (ROWS, TOKENS + 1), generator=generator)
    labels = ids[:, 1:].clone()
    for row, count in enumerate((9, 0, 1, 5, 2, 9)):
        labels[row, count:] = -100
    return {"input_ids": ids[:, :-1].contiguous(), "shift_labels": labels}


class LabelBatches(FixedBatches):
    def build_input(self, step: int, rows: slice) -> StepInput:
        step_input = super().build_input(step, rows)
        weight = int((step_input.inputs["shift_labels"] != -100).sum())
        return step_input._replace(weight=weight)


BATCHES = LabelBatches(lambda step: build_inputs(), rows=ROWS)


def build_lm(*, dropout: float = 0.0) -> AwdLstmForCausalLM:
    torch.manual_seed(0)
    names = ("embedding", "input", "hidden", "weight", "output")
    model = AwdLstmForCausalLM(
        AwdLstmConfig(
            embedding_size=8,
            lstm_size=12,
            num_layers=2,
            successor_softmax=False,
            activation_regularization=0.0,
            temporal_activation_regularization=0.0,
            **{f"{name}_dropout": dropout for name in names},
        )
    )
    with torch.no_grad():
        model.decoder.bias.normal_()  # so that the losses of the rows differ
    return model


class Bench:
    """A runner, and the gradient that its optimizer was given at the last step."""

    def __init__(self, model=None, *, rate=0.01, max_grad_norm=1e9, seed=0, stateful=True) -> None:
        self.model = build_lm() if model is None else model
        accelerator = build_accelerator("no")
        optimizer = build_optimizer(self.model, weight_decay=0.01, beta2=0.99)
        prepared, self.optimizer = accelerator.prepare(self.model, optimizer)
        phases = (PhaseSettings(epochs=1, learning_rate=rate),)
        schedule = PhasedSchedule(phases=phases, steps_per_epoch=9, schedule="constant", group_factor=1.0)
        self.runner = StepRunner(
            prepared,
            self.optimizer,
            accelerator,
            ranks=ALONE,
            schedule=schedule,
            max_grad_norm=max_grad_norm,
            seed=seed,
            stateful=stateful,
        )
        self.gradient: dict[str, Tensor] = {}
        self.optimizer.optimizer.register_step_pre_hook(self._keep_gradient)

    def _keep_gradient(self, *_) -> None:
        self.gradient = {name: p.grad.clone() for name, p in self.model.named_parameters()}

    def step(self, size: int, *, batches=BATCHES, step=0, carry=None):
        micro_batches = cut(size, batches=batches, step=step)
        total = sum(micro.step_input.weight for micro in micro_batches)
        return self.runner.run(step, micro_batches, carry=carry, total_weight=total)

    def copy_all(self) -> list[Tensor]:
        moments = [value for state in self.optimizer.optimizer.state.values() for value in state.values()]
        return [tensor.detach().clone() for tensor in [*self.model.parameters(), *moments]]


def cut(size: int, *, batches=BATCHES, step=0) -> list[MicroBatch]:
    pieces = split_step(batches.count_rows(step), ranks=ALONE, micro_batch_rows=size)
    return [MicroBatch(rows, batches.build_input(step, rows)) for rows in pieces]


def build_carry() -> tuple:
    generator = torch.Generator().manual_seed(5)
    widths = (12, 8)
    return tuple(tuple(torch.randn(1, ROWS, F, generator=generator) for _ in range(2)) for F in widths)


def flatten(carry) -> list[Tensor]:
    return [part for layer in carry for part in layer]


class CarryBatches(LabelBatches):
    def build_input(self, step: int, rows: slice) -> StepInput:
        return super().build_input(step, rows)._replace(keeps_carry=step > 0)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_a_batch_in_micro_batches_gives_loss_gradient_and_step_of_the_whole(size):
    whole, pieces = Bench(), Bench()
    expected, found = whole.step(ROWS), pieces.step(size)
    assert found.loss == pytest.approx(expected.loss, rel=1e-6)
    assert found.grad_norm == pytest.approx(expected.grad_norm, rel=1e-6)
    for name, gradient in whole.gradient.items():
        torch.testing.assert_close(pieces.gradient[name], gradient, rtol=0, atol=1e-6, msg=name)
    for parameter, other in zip(pieces.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(parameter, other, rtol=0, atol=1e-4)
    naive = [build_lm()(**micro.step_input.inputs).loss.item() for micro in cut(size)]
    assert abs(sum(naive) / len(naive) - expected.loss) > 1e-3, "or this test could not fail"


@pytest.mark.parametrize("size", [0, ROWS, 100])
def test_a_whole_batch_is_a_bare_backward_bit_for_bit(size):
    bench, bare = Bench(), build_lm().train()
    result = bench.step(size)
    loss = bare(**build_inputs()).loss
    loss.backward()
    assert result.loss == loss.item()
    for name, parameter in bare.named_parameters():
        assert torch.equal(bench.gradient[name], parameter.grad), name
    optimizer = build_optimizer(bare, weight_decay=0.01, beta2=0.99)
    for group in optimizer.param_groups:
        group["lr"], group["betas"] = 0.01, (0.9, 0.99)
    assert result.grad_norm == torch.nn.utils.clip_grad_norm_(bare.parameters(), 1e9).item()
    optimizer.step()
    for parameter, other in zip(bench.model.parameters(), bare.parameters(), strict=True):
        assert torch.equal(parameter, other)
        assert parameter.grad is None


def test_a_gradient_is_clipped_over_the_whole_batch_and_its_norm_told_from_before():
    free, clipped = Bench(), Bench(max_grad_norm=0.01)
    norms = [bench.step(2).grad_norm for bench in (free, clipped)]
    assert norms[0] == norms[1] > 0.01
    for name, gradient in free.gradient.items():
        torch.testing.assert_close(clipped.gradient[name], gradient * (0.01 / norms[0]), rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize("size", [1, 2, 4, ROWS])
def test_each_lane_gets_its_own_state_and_hands_on_its_own(size):
    carry, batches = build_carry(), CarryBatches(lambda step: build_inputs(), rows=ROWS)
    bench, bare = Bench(), build_lm().train()
    result = bench.step(size, batches=batches, step=1, carry=carry)
    output = bare(**build_inputs(), state=carry)
    assert result.loss == pytest.approx(output.loss.item(), rel=1e-6)
    for found, expected in zip(flatten(result.carry), flatten(output.state), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
        assert not found.requires_grad
    assert result.loss != pytest.approx(bare(**build_inputs()).loss.item(), rel=1e-4), "the state matters"


def test_where_a_step_begins_anew_the_state_of_before_does_not_count():
    batches = CarryBatches(lambda step: build_inputs(), rows=ROWS)
    results = [Bench().step(2, batches=batches, step=0, carry=carry) for carry in (None, build_carry())]
    assert results[0].loss == results[1].loss
    for first, second in zip(*(flatten(result.carry) for result in results), strict=True):
        assert torch.equal(first, second)


def test_a_model_without_state_carries_none():
    inputs = FixedBatches()
    result = Bench(Toy(), stateful=False).step(3, batches=inputs)
    assert result.carry is None
    assert result.loss == pytest.approx(Toy()(**inputs.build(0)).loss.item(), rel=1e-6)


def scale_toy(scale: float) -> FixedBatches:
    plain = FixedBatches()
    return FixedBatches(lambda step: {**plain.build(step), "scale": torch.tensor(scale)})


@pytest.mark.parametrize(("scale", "finite_loss"), [(math.nan, False), (math.inf, False), (1e38, True)])
@pytest.mark.parametrize("size", [0, 3])
def test_a_loss_or_gradient_that_is_not_finite_changes_nothing(scale, finite_loss, size):
    bench = Bench(Toy(), stateful=False)
    assert bench.step(size, batches=scale_toy(1.0)).is_finite
    before = bench.copy_all()
    result = bench.step(size, batches=scale_toy(scale), step=1)
    assert (result.is_finite, result.has_finite_loss) == (False, finite_loss)
    for now, then in zip(bench.copy_all(), before, strict=True):
        assert torch.equal(now, then)
    assert all(parameter.grad is None for parameter in bench.model.parameters())
    undisturbed = Bench(Toy(), stateful=False)
    for number in range(2):
        undisturbed.step(size, batches=scale_toy(1.0), step=number)
    bench.step(size, batches=scale_toy(1.0), step=1)
    for now, expected in zip(bench.copy_all(), undisturbed.copy_all(), strict=True):
        assert torch.equal(now, expected)


def test_a_batch_without_any_label_teaches_nothing_and_is_finite():
    unlabeled = build_inputs()
    unlabeled["shift_labels"] = torch.full_like(unlabeled["shift_labels"], -100)
    bench = Bench()
    result = bench.step(4, batches=LabelBatches(lambda step: unlabeled, rows=ROWS))
    assert (result.loss, result.grad_norm) == (0.0, 0.0)
    assert all(gradient.abs().max() == 0 for gradient in bench.gradient.values())


def compute_dropped_losses(seed: int, step: int, first_row: int, *, disturb: int = 0) -> float:
    """Return the loss of one fixed row where it stands as another row of its batch."""
    torch.manual_seed(disturb)
    torch.rand(disturb)
    bench = Bench(build_lm(dropout=0.4), seed=seed, rate=1e-9)
    step_input = BATCHES.build_input(0, slice(0, 1))
    micro = MicroBatch(slice(first_row, first_row + 1), step_input)
    return bench.runner.run(step, [micro], carry=None, total_weight=step_input.weight).loss


def test_dropout_follows_seed_step_and_first_row_alone():
    reference = compute_dropped_losses(0, 2, 4)
    assert compute_dropped_losses(0, 2, 4, disturb=9) == reference
    others = {compute_dropped_losses(*place) for place in ((1, 2, 4), (0, 3, 4), (0, 2, 5))}
    assert len(others | {reference}) == 4


def test_dropout_of_a_micro_batch_does_not_depend_on_those_before_it():
    last = cut(2)[-1:]
    alone = Bench(build_lm(dropout=0.4)).runner.run(0, last, carry=None, total_weight=100).carry
    among = Bench(build_lm(dropout=0.4)).runner.run(0, cut(2), carry=None, total_weight=100).carry
    for first, second in zip(flatten(alone), flatten(among), strict=True):
        assert torch.equal(first, second[:, -2:])


@pytest.mark.parametrize("number", [0, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_labels_and_tokens_are_added_up_and_the_signal_is_told(number):
    assert agree_on_step(cut(4), ranks=ALONE, stop_signal=number) == (26, ROWS, number)
