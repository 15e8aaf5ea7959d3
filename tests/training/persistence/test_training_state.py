import json
import math
from dataclasses import asdict

import pytest

from genolm.training.persistence.checkpoints import NO_BEST
from genolm.training.persistence.training_state import TrainingState


def take_all(figures, *, monitor="mcc", larger_is_better=True) -> tuple[list[bool], TrainingState]:
    """Take one evaluation after each step."""
    state, best = TrainingState(), []
    for metrics in figures:
        state.count_step(1.0, 10)
        best.append(state.take_evaluation(metrics, monitor=monitor, larger_is_better=larger_is_better))
    return best, state


def test_steps_and_tokens_are_counted_and_the_loss_is_that_since_the_last_time():
    state = TrainingState(step=5, tokens=100)
    for loss in (1.0, 2.0, 6.0):
        state.count_step(loss, 7)
    assert (state.step, state.tokens, state.take_mean_loss()) == (8, 121, 3.0)
    state.count_step(4.0, 7)
    assert state.take_mean_loss() == 4.0
    assert state.take_mean_loss() == 0.0, "nothing since"


def test_it_goes_through_the_json_of_a_checkpoint_unchanged():
    _, state = take_all([{"mcc": 0.5, "loss": 1 / 3}])
    state.grad_scaler = {"scale": 65536.0}
    assert TrainingState(**json.loads(json.dumps(asdict(state)))) == state
    assert TrainingState().grad_scaler is not TrainingState().grad_scaler


def test_the_largest_figure_is_the_best_and_steps_without_a_gain_are_counted():
    best, state = take_all([{"mcc": mcc, "loss": 1.0} for mcc in (0.2, 0.5, 0.5, 0.4)])
    assert best == [True, True, False, False]
    assert (state.best_step, state.best_metrics, state.evals_without_gain) == (
        2,
        {"mcc": 0.5, "loss": 1.0},
        2,
    )


def test_the_smallest_is_where_that_is_better_and_a_gain_resets_the_count():
    figures = [{"loss": loss} for loss in (3.0, 4.0, 2.0)]
    best, state = take_all(figures, monitor="loss", larger_is_better=False)
    assert (best, state.best_step, state.evals_without_gain) == ([True, False, True], 3, 0)


def test_of_two_equal_figures_the_lower_loss_decides():
    best, state = take_all([{"mcc": 0.5, "loss": loss} for loss in (1.0, 0.9, 0.95)])
    assert (best, state.best_step) == ([True, True, False], 2)


@pytest.mark.parametrize("absent", [math.nan, None])
@pytest.mark.parametrize("larger_is_better", [True, False])
def test_a_figure_that_is_no_number_is_the_worst(absent, larger_is_better):
    figures = [{"mcc": mcc, "loss": 1.0} for mcc in (absent, absent, 0.5, absent, math.nan)]
    best, state = take_all(figures, larger_is_better=larger_is_better)
    assert (best, state.best_step) == ([True, False, True, False, False], 3)


def test_before_any_evaluation_there_is_no_best():
    assert (TrainingState().best_step, TrainingState().best_metrics) == (NO_BEST, None)
