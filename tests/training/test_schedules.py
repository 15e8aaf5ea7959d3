import math

import pytest
import torch
from transformers import get_linear_schedule_with_warmup

from genolm.errors import SettingsError
from genolm.training.schedules import (
    PhasedSchedule,
    PhaseSettings,
    constant,
    linear,
    one_cycle,
    slanted_triangular,
)


@pytest.mark.parametrize(
    ("step", "scale", "momentum"),
    [(0, 0.04, 0.8), (10, 0.52, 0.75), (20, 1.0, 0.7), (50, 0.500005, 0.75), (80, 1e-5, 0.8)],
)
def test_one_cycle_hand_values(step, scale, momentum):
    assert one_cycle(step, num_steps=80) == (pytest.approx(scale), pytest.approx(momentum))


@pytest.mark.parametrize(
    ("step", "scale"), [(0, 1 / 32), (5, 0.515625), (10, 1.0), (55, 0.515625), (100, 1 / 32)]
)
def test_slanted_triangular_hand_values(step, scale):
    assert slanted_triangular(step, num_steps=100) == (pytest.approx(scale), 0.8)


def test_slanted_triangular_follows_the_formula_of_the_paper():
    num_steps, cut_fraction, ratio = 200, 0.1, 32
    cut = math.floor(num_steps * cut_fraction)
    for step in range(num_steps):
        share = step / cut if step < cut else 1 - (step - cut) / (cut * (1 / cut_fraction - 1))
        expected = (1 + share * (ratio - 1)) / ratio
        assert slanted_triangular(step, num_steps=num_steps).scale == pytest.approx(expected)


@pytest.mark.parametrize("schedule", [one_cycle, slanted_triangular, linear, constant])
@pytest.mark.parametrize("num_steps", [1, 2, 3, 9, 100])
def test_every_step_of_every_schedule_has_a_positive_rate(schedule, num_steps):
    scales = [schedule(step, num_steps=num_steps).scale for step in range(num_steps)]
    assert all(0 < scale <= 1 for scale in scales)
    peak = scales.index(max(scales))
    assert scales[: peak + 1] == sorted(scales[: peak + 1])
    assert scales[peak:] == sorted(scales[peak:], reverse=True)


@pytest.mark.parametrize("warmup_steps", [0, 1, 7])
def test_linear_is_that_of_transformers(warmup_steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    oracle = get_linear_schedule_with_warmup(optimizer, warmup_steps, 20)
    for step in range(20):
        rate = linear(step, num_steps=20, warmup_steps=warmup_steps)
        assert rate == (pytest.approx(oracle.get_last_lr()[0]), 0.9)
        optimizer.step()
        oracle.step()


def test_every_phase_warms_up():
    phases = tuple(PhaseSettings(epochs=1, learning_rate=rate) for rate in (4.0, 2.0))
    schedule = PhasedSchedule(phases, 4, "linear", group_factor=1.0, warmup_steps=2)
    rates = [schedule.compute_rates(step, num_groups=1)[0].learning_rate for step in range(8)]
    assert rates == [0.0, 2.0, 4.0, 2.0, 0.0, 1.0, 2.0, 1.0]


def test_a_warmup_longer_than_a_phase_is_refused():
    phases = (PhaseSettings(epochs=2, learning_rate=1.0), PhaseSettings(epochs=1, learning_rate=1.0))
    with pytest.raises(SettingsError, match="warmup_steps 5 in a phase of 4 steps; expected as many as"):
        PhasedSchedule(phases, 4, "linear", group_factor=1.0, warmup_steps=5)


def test_constant_stays():
    assert constant(0, num_steps=5) == constant(4, num_steps=5) == (1.0, 0.9)


def build_schedule(**changes) -> PhasedSchedule:
    settings = {
        "phases": (
            PhaseSettings(epochs=1, learning_rate=0.2, trained_groups=1),
            PhaseSettings(epochs=2, learning_rate=0.1, trained_groups=2),
            PhaseSettings(epochs=1, learning_rate=0.05),
        ),
        "steps_per_epoch": 10,
        "schedule": "constant",
        "group_factor": 2.0,
    }
    return PhasedSchedule(**{**settings, **changes})


@pytest.mark.parametrize(
    ("step", "rates", "trained"),
    [
        (0, [0.025, 0.05, 0.1, 0.2], [False, False, False, True]),
        (9, [0.025, 0.05, 0.1, 0.2], [False, False, False, True]),
        (10, [0.0125, 0.025, 0.05, 0.1], [False, False, True, True]),
        (29, [0.0125, 0.025, 0.05, 0.1], [False, False, True, True]),
        (30, [0.00625, 0.0125, 0.025, 0.05], [True, True, True, True]),
        (39, [0.00625, 0.0125, 0.025, 0.05], [True, True, True, True]),
    ],
)
def test_phases_unfreeze_from_the_output_and_rates_fall_by_the_factor(step, rates, trained):
    found = build_schedule().compute_rates(step, num_groups=4)
    assert [rate.learning_rate for rate in found] == pytest.approx(rates)
    assert [rate.trained for rate in found] == trained


def test_the_number_of_steps_is_that_of_all_phases():
    assert build_schedule().num_steps == 40


def test_every_phase_runs_its_own_schedule():
    schedule = build_schedule(schedule="slanted_triangular", group_factor=1.0)
    first, second = (schedule.compute_rates(step, num_groups=2)[1] for step in (0, 10))
    assert first.learning_rate == pytest.approx(0.2 / 32)
    assert second.learning_rate == pytest.approx(0.1 / 32)
    assert schedule.compute_rates(1, num_groups=2)[1].learning_rate == pytest.approx(0.2)
    assert schedule.compute_rates(12, num_groups=2)[0].learning_rate == pytest.approx(0.1)


def test_the_momentum_of_the_schedule_reaches_every_group():
    schedule = build_schedule(schedule="one_cycle", phases=(PhaseSettings(epochs=8, learning_rate=1.0),))
    assert [rate.momentum for rate in schedule.compute_rates(20, num_groups=2)] == pytest.approx([0.7, 0.7])


def test_more_trained_groups_than_there_are_means_all():
    phases = (PhaseSettings(epochs=1, learning_rate=1.0, trained_groups=9),)
    found = build_schedule(phases=phases).compute_rates(0, num_groups=3)
    assert [rate.trained for rate in found] == [True, True, True]


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"learning_rate": 0.0}, {"learning_rate": -1.0}, {"trained_groups": -1}]
)
def test_a_phase_out_of_range_is_refused(wrong):
    with pytest.raises(SettingsError, match=f"{next(iter(wrong))} {next(iter(wrong.values()))}"):
        PhaseSettings(**{"epochs": 1, "learning_rate": 0.1, **wrong})
