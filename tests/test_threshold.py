"""The chosen threshold against every threshold there is."""

import numpy as np
import pytest
from sklearn.metrics import matthews_corrcoef

from genolm.errors import DataError, SettingsError
from genolm.metrics import compute_classification_metrics
from genolm.threshold import choose_threshold


def draw_scores(n, *, seed, levels=None):
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(n) % 3 == 0).astype(int)
    scores = np.clip(0.3 * labels + 0.7 * generator.random(n), 0, 1)
    return labels, scores if levels is None else np.round(scores * levels) / levels


def try_all(labels, scores):
    """MCC, recall and false-positive rate for each way to call the upper part of the scores."""
    rows = []
    for threshold in [*np.unique(scores), 2.0]:
        called = scores >= threshold
        mcc = matthews_corrcoef(labels, called)
        rows.append((mcc, called[labels == 1].mean(), called[labels == 0].mean()))
    return np.array(rows)


@pytest.mark.parametrize("levels", [None, 4, 20])
@pytest.mark.parametrize("seed", range(5))
def test_no_threshold_has_a_better_mcc(seed, levels):
    labels, scores = draw_scores(60, seed=seed, levels=levels)
    chosen = choose_threshold(labels, scores)
    assert chosen.mcc == pytest.approx(try_all(labels, scores)[:, 0].max())
    metrics = compute_classification_metrics(labels, scores, threshold=chosen.threshold)
    for name in ("mcc", "recall", "false_positive_rate"):
        assert metrics[name] == pytest.approx(getattr(chosen, name)), name


@pytest.mark.parametrize("levels", [None, 4])
@pytest.mark.parametrize("rate", [0.0, 0.05, 0.3, 1.0])
def test_a_wanted_false_positive_rate_is_kept_at_the_best_recall(rate, levels):
    labels, scores = draw_scores(60, seed=6, levels=levels)
    chosen = choose_threshold(labels, scores, max_false_positive_rate=rate)
    tried = try_all(labels, scores)
    assert chosen.false_positive_rate <= rate
    assert chosen.recall == tried[tried[:, 2] <= rate, 1].max()
    metrics = compute_classification_metrics(labels, scores, threshold=chosen.threshold)
    assert metrics["false_positive_rate"] == pytest.approx(chosen.false_positive_rate)
    assert metrics["recall"] == pytest.approx(chosen.recall)


def test_where_no_recall_can_be_had_nothing_is_called():
    chosen = choose_threshold([1, 0], [0.2, 1.0], max_false_positive_rate=0.0)
    assert chosen.threshold > 1.0
    assert (chosen.recall, chosen.false_positive_rate, chosen.mcc) == (0.0, 0.0, 0.0)


def test_of_equal_thresholds_the_one_nearest_to_a_half_is_taken():
    # perfect at 0.05; the same MCC for {0.9} of one class mistaken and for its mirror image
    labels, scores = [0, 1, 0, 1], [0.1, 0.4, 0.7, 0.9]
    chosen = choose_threshold(labels, scores)
    assert chosen.mcc == pytest.approx(1 / np.sqrt(3))
    assert chosen.threshold == pytest.approx(0.25)  # 0.8 is as good, and farther from 0.5


def test_neighboring_floats_are_told_apart():
    upper = np.nextafter(0.5, 1)
    chosen = choose_threshold([0, 1], [0.5, upper])
    assert (chosen.threshold, chosen.mcc) == (upper, 1.0)


@pytest.mark.parametrize(
    ("labels", "scores", "settings", "error", "message"),
    [
        ([1, 1], [0.1, 0.2], {}, DataError, "1 of 2 classes in the validation split"),
        ([0, 1, 2], np.eye(3), {}, DataError, "3 of 3 classes.*the highest score decides"),
        ([0, 1], [0.1, 0.2], {"max_false_positive_rate": 5}, SettingsError, "max_false_positive_rate = 5"),
        ([0, 1], [0.1, 0.2], {"max_false_positive_rate": np.nan}, SettingsError, "= nan; expected a share"),
    ],
    ids=["one class", "three classes", "percent", "nan"],
)
def test_bad_input_is_refused(labels, scores, settings, error, message):
    with pytest.raises(error, match=message):
        choose_threshold(labels, scores, **settings)
