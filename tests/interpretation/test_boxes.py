"""Boxes that were planted at a nearly fixed distance, found without a word or a place."""

import numpy as np
import pytest

from genolm.alphabet import UNKNOWN_CODE, encode_bases
from genolm.errors import DataError
from genolm.interpretation.boxes import align_sites, find_boxes

FIRST, SECOND = "TATAAT", "TTGACA"


def plant(*, count: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Random bases with both words, each letter wrong in one of ten; contributions; where the words begin.

    A letter of the first word contributes 1, of the second 0.4, a wrong one none of it; the rest is noise.
    """
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, size=(count, 60)).astype(np.uint8)
    contributions = rng.normal(0, 0.1, size=codes.shape).astype(np.float32)
    starts = 40 + rng.integers(-2, 3, size=count)
    seconds = starts - 23 + rng.integers(-1, 2, size=count)
    for word, places, height in ((FIRST, starts, 1.0), (SECOND, seconds, 0.4)):
        place = places[:, None] + np.arange(6)
        letters = np.tile(encode_bases(word), (count, 1))
        is_wrong = rng.random(letters.shape) < 0.1
        np.put_along_axis(codes, place, np.where(is_wrong, (letters + 1) % 4, letters), axis=1)
        np.put_along_axis(contributions, place, np.where(is_wrong, 0, height), axis=1)
    return contributions, codes, starts, seconds


def test_both_boxes_are_found_with_their_letters_and_places():
    contributions, codes, starts, seconds = plant()
    first, second = find_boxes(contributions, codes)
    assert (first.word, second.word) == (FIRST, SECOND)
    assert (first.starts == starts).mean() > 0.95
    assert (second.starts == seconds).mean() > 0.9
    assert first.num_sites == second.num_sites == len(codes)
    assert first.frequencies.max(axis=1) == pytest.approx(0.9, abs=0.08)
    assert first.contributions.max(axis=1) == pytest.approx(0.9, abs=0.12)
    assert second.contributions.max(axis=1) == pytest.approx(0.36, abs=0.08)


def test_letters_that_stand_there_by_themselves_are_no_box():
    """Without the relation of contributions and bases the words are not found, though they are there."""
    contributions, codes, _, _ = plant()
    rng = np.random.default_rng(1)
    turned = np.stack([np.roll(row, rng.integers(60)) for row in contributions])
    words = [box.word for box in find_boxes(turned, codes)]
    agreeing = [sum(map(str.__eq__, *pair)) for pair in zip(words, (FIRST, SECOND), strict=True)]
    assert max(agreeing) < 4


def test_numbers_of_a_box_by_hand():
    codes = np.stack([encode_bases(text) for text in ("CCTACC", "CTACCC", "CCTTCC")])
    contributions = np.array([[0, 0, 3, 3, 0, 0], [0, 3, 3, 0, 0, 0], [0, 0, 3, 0, 0, 0]], dtype=np.float32)
    (box,) = find_boxes(contributions, codes, num_boxes=1, width_bp=2)
    assert box.starts.tolist() == [2, 1, 2]
    np.testing.assert_allclose(box.contributions, [[0, 3, 0, 0], [2, 0, 0, 0]])  # A T C G
    background = np.array([2.5, 4.5, 12.5, 0.5]) / 20
    np.testing.assert_allclose(box.frequencies, (np.array([[0, 3, 0, 0], [2, 1, 0, 0]]) + background) / 4)
    np.testing.assert_allclose(box.log_odds, np.log2(box.frequencies / background))
    assert box.word == "TA"


def test_a_site_beyond_the_end_is_none_and_unknown_bases_count_nothing():
    contributions = np.array([[0, 1, 1, 0], [1, 1, 5, np.nan]], dtype=np.float32)
    codes = np.array([[2, 0, 0, 2], [0, 0, UNKNOWN_CODE, 2]], dtype=np.uint8)
    box = align_sites(contributions, codes, np.array([[-1, 1, 3], [-3, 4, 3]]), width_bp=2)
    assert box.starts.tolist() == [1, -1]
    assert box.num_sites == 1
    box = align_sites(contributions, codes, np.tile(np.arange(3), (2, 1)), width_bp=2)
    assert box.starts.tolist() == [1, 0]
    assert box.contributions[:, 0].tolist() == [1, 1]


def test_the_order_of_the_sequences_does_not_matter():
    contributions, codes, _, _ = plant(count=40)
    order = np.random.default_rng(3).permutation(40)
    for box, other in zip(
        find_boxes(contributions, codes), find_boxes(contributions[order], codes[order]), strict=True
    ):
        np.testing.assert_array_equal(box.starts[order], other.starts)
        np.testing.assert_allclose(box.contributions, other.contributions, atol=1e-12)


def test_there_are_as_many_boxes_as_have_room():
    codes = np.zeros((3, 6), dtype=np.uint8)
    assert len(find_boxes(np.ones((3, 6), dtype=np.float32), codes, num_boxes=4)) == 1
    with pytest.raises(
        DataError,
        match=r"shape \(3, 5\) for bases of shape \(3, 6\); expected both \[sequences, bases\], of one",
    ):
        find_boxes(np.ones((3, 5), dtype=np.float32), codes)
    with pytest.raises(DataError, match=r"at least 7 bases; give sequences of one length"):
        find_boxes(np.ones((3, 6), dtype=np.float32), codes, width_bp=7)
