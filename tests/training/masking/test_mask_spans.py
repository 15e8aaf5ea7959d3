"""Spans of hidden bases beside a slow version in whole numbers of Python."""

import numpy as np
import pytest

from genolm.training.masking.chance import build_keys
from genolm.training.masking.spans import SpanLaw, compute_survival, hide_bases, solve_start_rate

WORD = 1 << 64


def scramble(word):
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB % WORD
    return word ^ (word >> 31)


def draw_word(key, position, purpose):
    stream = scramble((key + (purpose + 1) * 0xD1B54A32D192ED03) % WORD)
    return scramble((stream + position * 0x9E3779B97F4A7C15) % WORD)


def hide_by_hand(hideable, law, key, purpose):
    """Return the hidden bases of one row, a set."""
    survival = compute_survival(law).tolist()
    can_hide = {base for base, flag in enumerate(hideable) if flag}
    start_rate = solve_start_rate(law, len(can_hide)) if can_hide else 0
    spans = {}
    for start in range(1 - len(survival), len(hideable)):
        word = draw_word(key, start, purpose)
        length_bp = sum(word % (1 << 32) / (1 << 32) < share for share in survival)
        spans[word] = {base for base in range(start, start + length_bp) if base in can_hide}
    hidden = set().union(*(span for word, span in spans.items() if word / WORD < start_rate))
    if hidden or not can_hide:
        return hidden
    return spans[min(word for word, span in spans.items() if span)]


@pytest.mark.parametrize("lengths", ["fixed", "geometric"])
@pytest.mark.parametrize("mean_bp", [1, 2, 5])
@pytest.mark.parametrize("length_bp", [1, 6, 40])
def test_spans_are_those_of_the_slow_version(lengths, mean_bp, length_bp):
    law = SpanLaw(0.1, mean_bp, lengths)
    keys = build_keys(mean_bp, 0, np.arange(40))
    hideable = np.random.default_rng(0).random((40, length_bp)) < 0.8
    hidden = hide_bases(hideable, law=law, keys=keys, purpose=2)
    for row, key in enumerate(keys.tolist()):
        expected = hide_by_hand(hideable[row].tolist(), law, key, 2)
        assert set(np.flatnonzero(hidden[row]).tolist()) == expected
    np.testing.assert_array_equal(hidden.any(axis=1), hideable.any(axis=1))


@pytest.mark.parametrize("lengths", ["fixed", "geometric"])
@pytest.mark.parametrize(
    ("mean_bp", "length_bp"), [(1, 12), (1, 510), (3, 30), (6, 60), (6, 510), (16, 2000)]
)
def test_the_expected_share_is_hidden_in_short_windows_too_and_at_their_ends(lengths, mean_bp, length_bp):
    law = SpanLaw(0.15, mean_bp, lengths)
    num_rows = 3_000_000 // length_bp
    hideable = np.ones((num_rows, length_bp), dtype=bool)
    hidden = hide_bases(hideable, law=law, keys=build_keys(0, 0, np.arange(num_rows)), purpose=0)
    assert hidden.any(axis=1).all()
    assert hidden.mean() == pytest.approx(0.15, rel=0.01)
    noise = np.sqrt(0.15 * 0.85 / num_rows)
    assert abs(hidden[:, [0, 1, -2, -1]].mean(axis=0) - 0.15).max() < 3.5 * noise


@pytest.mark.parametrize(("mean_bp", "length_bp"), [(6, 20), (1, 4), (8, 3)])
def test_a_window_too_short_for_the_rate_has_one_span(mean_bp, length_bp):
    law = SpanLaw(0.15, mean_bp, "fixed")
    hideable = np.ones((40_000, length_bp), dtype=bool)
    hidden = hide_bases(hideable, law=law, keys=build_keys(0, 0, np.arange(40_000)), purpose=0)
    assert hidden.any(axis=1).all()
    assert (np.diff(hidden, axis=1, prepend=False).sum(axis=1) <= 2).all(), "one run"
    assert hidden.mean() == pytest.approx(mean_bp / (length_bp + mean_bp - 1), rel=0.02)


def test_geometric_spans_have_the_lengths_of_the_law():
    law = SpanLaw(0.002, 4, "geometric")
    hideable = np.ones((2000, 1000), dtype=bool)
    hidden = hide_bases(hideable, law=law, keys=build_keys(5, 0, np.arange(2000)), purpose=0)[:, 100:-100]
    edges = np.diff(np.pad(hidden, ((0, 0), (1, 1))).astype(int), axis=1)
    lengths_bp = np.nonzero(edges == -1)[1] - np.nonzero(edges == 1)[1]
    for longer_than, share in enumerate([1, 0.75, 0.5625, 0.421875]):
        found = (lengths_bp > longer_than).mean()
        assert found == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / len(lengths_bp)) + 0.01)
