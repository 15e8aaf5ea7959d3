"""Calibration against scikit-learn, against scores of known calibration, and against a grid."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from genolm.errors import DataError, SettingsError
from genolm.evaluation.calibration import (
    TEMPERATURE_RANGE,
    apply_temperature,
    compare_temperature,
    compute_calibration,
    fit_temperature,
)


def draw_scores(n, *, sharpness=1.0, seed=0):
    """Labels drawn with known probabilities, and scores whose logits are `sharpness` times the true ones."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 1.5, n)
    labels = (generator.random(n) < 1 / (1 + np.exp(-logits))).astype(int)
    return labels, 1 / (1 + np.exp(-sharpness * logits))


def draw_classes(n, *, sharpness=1.0, seed=0):
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 1.5, (n, 3))
    noisy = logits + generator.gumbel(size=(n, 3))  # argmax: a draw from softmax(logits)
    powers = np.exp(sharpness * logits)
    return noisy.argmax(axis=1), powers / powers.sum(axis=1, keepdims=True)


def compute_slow_ece(labels, scores, *, num_bins):
    """Equal-mass bins of sorted scores, for scores without ties and n a multiple of num_bins."""
    order = np.argsort(scores)
    parts = np.split(order, num_bins)
    return sum(len(part) * abs(scores[part].mean() - labels[part].mean()) for part in parts) / len(labels)


def test_hand_computed_calibration():
    # two bins of two: said 0.2 and 0.7, seen 0.5 and 0.5
    found = compute_calibration([0, 1, 0, 1], [0.1, 0.3, 0.6, 0.8], num_bins=2)
    assert found.ece == pytest.approx((2 * 0.3 + 2 * 0.2) / 4)
    assert found.brier == pytest.approx((0.01 + 0.49 + 0.36 + 0.04) / 4)
    assert found.log_loss == pytest.approx(-np.log([0.9, 0.3, 0.4, 0.8]).mean())
    assert [(each.observed, each.n) for each in found.bins] == [(0.5, 2), (0.5, 2)]
    assert [each.mean_score for each in found.bins] == pytest.approx([0.2, 0.7])


def test_hand_computed_wilson_interval():
    (found,) = compute_calibration([0, 0, 0, 1], [0.5] * 4, num_bins=1).bins
    z = 1.959964
    center, half = (0.25 + z**2 / 8) / (1 + z**2 / 4), z * np.sqrt(0.25 * 0.75 / 4 + z**2 / 64)
    assert (found.low, found.high) == pytest.approx(
        (center - half / (1 + z**2 / 4), center + half / (1 + z**2 / 4)), abs=1e-6
    )


def test_binary_calibration_equals_scikit_learn_and_a_slow_loop():
    labels, scores = draw_scores(600, sharpness=2.5, seed=1)
    found = compute_calibration(labels, scores)
    assert found.brier == pytest.approx(sklearn_metrics.brier_score_loss(labels, scores))
    assert found.log_loss == pytest.approx(sklearn_metrics.log_loss(labels, scores))
    assert found.ece == pytest.approx(compute_slow_ece(labels, scores, num_bins=15))
    assert [each.n for each in found.bins] == [40] * 15


def test_more_classes_are_judged_by_the_predicted_one():
    labels, scores = draw_classes(300, sharpness=2.0, seed=2)
    found = compute_calibration(labels, scores, num_bins=10)
    correct = (scores.argmax(axis=1) == labels).astype(int)
    assert found.ece == pytest.approx(compute_slow_ece(correct, scores.max(axis=1), num_bins=10))
    assert found.brier == pytest.approx(((scores - np.eye(3)[labels]) ** 2).sum(axis=1).mean())
    assert found.log_loss == pytest.approx(sklearn_metrics.log_loss(labels, scores))


def test_equal_scores_stay_in_one_bin_and_the_order_of_the_sequences_is_nothing():
    labels = np.array([0, 0, 0, 1, 1, 1, 1, 0])
    scores = np.array([0.2] * 5 + [0.9] * 3)
    found = compute_calibration(labels, scores, num_bins=4)
    assert [(each.mean_score, each.n) for each in found.bins] == [
        (pytest.approx(0.2), 5),
        (pytest.approx(0.9), 3),
    ]
    shuffled = np.random.default_rng(3).permutation(8)
    assert compute_calibration(labels[shuffled], scores[shuffled], num_bins=4).ece == pytest.approx(found.ece)


def test_true_probabilities_are_calibrated_and_sharpened_ones_are_not():
    labels, honest = draw_scores(20_000, seed=4)
    _, certain = draw_scores(20_000, sharpness=4.0, seed=4)
    assert compute_calibration(labels, honest).ece < 0.015
    assert compute_calibration(labels, certain).ece > 0.1


@pytest.mark.parametrize("draw", [draw_scores, draw_classes])
@pytest.mark.parametrize("sharpness", [0.5, 3.0])
def test_the_temperature_undoes_a_known_sharpening(draw, sharpness):
    labels, scores = draw(20_000, sharpness=sharpness, seed=5)
    temperature = fit_temperature(labels, scores)
    assert temperature == pytest.approx(sharpness, rel=0.05)
    losses = [
        compute_calibration(labels, apply_temperature(scores, temperature=factor * temperature)).log_loss
        for factor in (0.98, 1.0, 1.02)
    ]
    assert losses[1] == min(losses)
    _, honest = draw(20_000, sharpness=1.0, seed=5)
    # the most certain scores are cut off at 1e-7 before the temperature
    np.testing.assert_allclose(apply_temperature(scores, temperature=sharpness), honest, atol=1e-2)


def test_the_temperature_of_validation_is_told_with_what_it_changes_on_test():
    temperature = fit_temperature(*draw_scores(2_000, sharpness=3.0, seed=6))
    labels, scores = draw_scores(2_000, sharpness=3.0, seed=7)
    found = compare_temperature(labels, scores, temperature=temperature)
    assert found.temperature == temperature
    assert found.before == compute_calibration(labels, scores)
    assert found.after.ece < found.before.ece / 2
    assert found.after.log_loss < found.before.log_loss
    assert found.after.brier < found.before.brier


def test_a_temperature_changes_no_ranking_and_no_prediction():
    _, scores = draw_scores(500, seed=8)
    warmer = apply_temperature(scores, temperature=2.0)
    np.testing.assert_array_equal(np.argsort(warmer), np.argsort(scores))
    np.testing.assert_array_equal(warmer >= 0.5, scores >= 0.5)
    np.testing.assert_allclose(apply_temperature(warmer, temperature=0.5), scores, atol=1e-9)
    columns = np.stack([1 - scores, scores], axis=1)
    np.testing.assert_allclose(apply_temperature(columns, temperature=2.0)[:, 1], warmer)


def test_certain_scores_do_not_make_the_loss_infinite():
    found = compute_calibration([0, 1, 1, 0], [0.0, 1.0, 0.0, 0.0])
    assert found.log_loss == pytest.approx(-np.log(1e-7) / 4, rel=1e-6)


def test_a_split_without_an_error_drives_the_temperature_down_to_its_limit_at_most():
    assert TEMPERATURE_RANGE[0] <= fit_temperature([0, 1], [0.1, 0.9]) < 0.15
    assert 15 < fit_temperature([1, 0], [0.1, 0.9]) <= TEMPERATURE_RANGE[1]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: compute_calibration([0, 1], [0.1, 0.9], num_bins=0), SettingsError, "num_bins = 0"),
        (lambda: compute_calibration([0, 1], [0.1, 1.9]), DataError, "found the score 1.9"),
        (lambda: fit_temperature([1, 1], [0.5, 0.9]), DataError, "a validation split of one class"),
        (
            lambda: apply_temperature([0.5], temperature=0.0),
            SettingsError,
            "temperature = 0.0; expected above",
        ),
        (lambda: apply_temperature([0.5], temperature=np.nan), SettingsError, "temperature = nan"),
    ],
    ids=["bins", "score", "one class", "zero", "nan"],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
