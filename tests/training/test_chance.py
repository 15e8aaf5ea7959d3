import numpy as np
import pytest

from genolm.training.chance import build_generator, compute_order, mix_seed


def test_an_order_is_a_permutation_and_depends_on_seed_and_epoch_alone():
    orders = {
        (seed, epoch): compute_order(50, seed=seed, epoch=epoch) for seed in range(3) for epoch in range(3)
    }
    for (seed, epoch), order in orders.items():
        assert sorted(order.tolist()) == list(range(50))
        assert np.array_equal(order, compute_order(50, seed=seed, epoch=epoch))
    assert len({tuple(order) for order in orders.values()}) == 9


def test_seeds_of_neighboring_steps_fit_torch_and_do_not_repeat():
    seeds = [mix_seed(seed, step) for seed in range(5) for step in range(400)]
    assert len(set(seeds)) == 2000
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert np.mean([seed / 2**63 for seed in seeds]) == pytest.approx(0.5, abs=0.03)


def test_the_draws_are_pinned_so_that_a_run_can_go_on_with_a_later_version():
    assert mix_seed(0, 1) == 2918264622725855778
    assert compute_order(8, seed=0, epoch=1).tolist() == [1, 4, 6, 5, 7, 3, 2, 0]
    assert build_generator(3, 4).integers(1000, size=4).tolist() == [647, 816, 231, 734]


def test_the_place_of_a_counter_matters():
    draws = {
        tuple(build_generator(*key).integers(10**6, size=3)) for key in [(1, 2), (2, 1), (1, 2, 0), (1,)]
    }
    assert len(draws) >= 3
