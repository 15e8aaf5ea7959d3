"""scripts/promoter_boxes.py on promoters that were made up, with contributions that are known."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from genolm.alphabet import encode_bases
from genolm.interpretation.boxes import find_boxes

PATH = Path(__file__).parents[2] / "scripts" / "promoter_boxes.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("promoter_boxes", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def promoters():
    """The -10 box at -12, a base later in every fourth, and the -35 box with GGGACA for TTGACA at -35."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, size=(40, 81)).astype(np.uint8)
    contributions = rng.normal(0, 0.01, size=codes.shape).astype(np.float32)
    for row in range(40):
        for word, start, height in (("TATAAT", 48 + (row % 4 == 0), 1.0), ("GGGACA", 25, 0.5)):
            codes[row, start : start + 6] = encode_bases(word)
            contributions[row, start : start + 6] += height
    return contributions, codes


def test_boxes_are_compared_with_their_consensus_and_with_chance(script, promoters):
    boxes = find_boxes(*promoters)
    chance = np.array([[6, 3], [2, 4], [1, 4], [0, 0]])
    found = script.describe_boxes(boxes, promoters[0], chance)
    ten, far = found["-10"], found["-35"]
    assert (ten["word"], ten["matches"], ten["usual_start"]) == ("TATAAT", 6, -12)
    assert (far["word"], far["matches"], far["usual_start"]) == ("GGGACA", 4, -35)
    assert far["usual_distance_from_first_box"] == -23
    assert ten["p_matches_of_a_random_word"] == pytest.approx(1 / 4**6)
    assert (ten["share_of_turned_with_as_many_matches"], far["share_of_turned_with_as_many_matches"]) == (
        0.25,
        0.5,
    )
    assert far["mean_contribution_at_usual_start"] == pytest.approx(3, abs=0.02)
    assert ten["share_within_2_bp"] == 1
    assert script.count_matches(boxes) == [6, 4]


def test_turned_contributions_are_those_of_others_from_other_places(script, promoters):
    contributions = promoters[0]
    turned = script.turn_contributions(contributions, seed=0)
    np.testing.assert_array_equal(np.sort(turned, axis=None), np.sort(contributions, axis=None))
    sums, turned_sums = contributions.sum(axis=1), turned.sum(axis=1)
    np.testing.assert_allclose(np.sort(turned_sums), np.sort(sums), atol=1e-4)
    assert (abs(turned_sums - sums) > 1e-4).mean() > 0.5
    assert len(set(turned.argmax(axis=1))) > 20
    assert max(script.count_matches(find_boxes(turned, promoters[1]))) < 5


def test_the_figure_is_drawn(script, promoters, tmp_path):
    script.plot_boxes(find_boxes(*promoters), *promoters, tmp_path / "map")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.png", "map.svg"]
