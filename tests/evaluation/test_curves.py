"""Curves against the metrics, and figures as a page takes them in."""

import re
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest

from genolm.errors import DataError
from genolm.evaluation.calibration import compute_calibration
from genolm.evaluation.curves import (
    compute_pr_curve,
    compute_roc_curve,
    plot_pr_curves,
    plot_reliability,
    plot_roc_curves,
)
from genolm.evaluation.svg import draw_svg
from genolm.metrics import compute_classification_metrics

LABELS = np.arange(80) % 2
SCORES = np.clip(0.3 * LABELS + 0.7 * np.random.default_rng(0).random(80), 0, 1)
HOSTILE = "_<script>alert('$x$ & \"y\"')</script>"
SVG = "{http://www.w3.org/2000/svg}"


def read_texts(svg: str) -> list[str]:
    return [element.text for element in ET.fromstring(svg).iter(f"{SVG}text")]


def draw_all(names=("our model", "k-mers")) -> dict[str, str]:
    scores = {name: SCORES ** (1 + number) for number, name in enumerate(names)}
    calibrations = {name: compute_calibration(LABELS, each, num_bins=5) for name, each in scores.items()}
    return {
        "roc": plot_roc_curves(LABELS, scores=scores, controls=names[1:]),
        "pr": plot_pr_curves(LABELS, scores=scores, controls=names[1:]),
        "reliability": plot_reliability(calibrations),
    }


def test_hand_computed_curves():
    labels, scores = [1, 0, 1, 0], [0.9, 0.8, 0.8, 0.1]
    roc = compute_roc_curve(labels, scores)
    assert roc.x.tolist() == [0.0, 0.0, 0.5, 1.0]
    assert roc.y.tolist() == [0.0, 0.5, 1.0, 1.0]
    assert roc.area == pytest.approx(0.875)
    pr = compute_pr_curve(labels, scores)
    assert pr.x.tolist() == [0.0, 0.5, 1.0, 1.0]
    assert pr.y.tolist() == pytest.approx([1.0, 1.0, 2 / 3, 0.5])
    assert pr.area == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


@pytest.mark.parametrize("levels", [3, 1000])
def test_areas_are_those_of_the_metrics(levels):
    scores = np.round(SCORES * levels) / levels
    metrics = compute_classification_metrics(LABELS, scores)
    assert compute_roc_curve(LABELS, scores).area == pytest.approx(metrics["auroc"])
    assert compute_pr_curve(LABELS, scores).area == pytest.approx(metrics["auprc"])


def test_the_steps_of_the_drawn_pr_curve_have_its_area():
    curve = compute_pr_curve(LABELS, SCORES)
    assert np.sum(np.diff(curve.x) * curve.y[1:]) == pytest.approx(curve.area)


@pytest.mark.parametrize("compute", [compute_roc_curve, compute_pr_curve])
@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([1, 1], [0.1, 0.2], "1 of 2 classes; expected both"),
        ([0, 1, 2], np.eye(3), "one against the rest"),
        ([0, 1], [0.1, np.nan], "the score nan"),
    ],
    ids=["one class", "three classes", "nan"],
)
def test_what_has_no_curve_is_refused(compute, labels, scores, message):
    with pytest.raises(DataError, match=message):
        compute(labels, scores)


@pytest.mark.parametrize("plot", [lambda: plot_roc_curves(LABELS, scores={}), lambda: plot_reliability({})])
def test_a_figure_of_nothing_is_refused(plot):
    with pytest.raises(DataError, match="found no model; expected at least one"):
        plot()


def test_the_legend_names_each_model_with_its_figure_controls_first():
    figures = draw_all()
    auroc = compute_roc_curve(LABELS, SCORES).area
    assert read_texts(figures["roc"])[-3:] == ["AUROC", f"{auroc:.3f} k-mers", f"{auroc:.3f} our model"]
    auprc = compute_pr_curve(LABELS, SCORES).area
    assert f"{auprc:.3f} our model" in read_texts(figures["pr"])
    ece = compute_calibration(LABELS, SCORES, num_bins=5).ece
    assert f"{ece:.3f} our model" in read_texts(figures["reliability"])


def test_controls_are_gray_and_dashed_and_models_are_colored():
    svg = draw_all()["roc"]
    assert re.search(r"stroke-dasharray: [^;]+; stroke-dashoffset: 0; stroke: #888888", svg)
    assert "stroke: #4477aa" in svg
    assert "#ee6677" not in svg, "the control takes no color"


def test_the_drawn_curve_is_the_computed_one():
    points = np.array([[0, 0], [0.25, 0.5], [1, 1]])
    svg = draw_svg(lambda axes: axes.plot(*points.T, color="#123456", linewidth=7), name="x", title="x")
    (drawn,) = [path for path in ET.fromstring(svg).iter(f"{SVG}path") if "#123456" in path.get("style", "")]
    found = np.array(re.findall(r"[ML] (\S+) (\S+)", drawn.get("d")), dtype=float)
    steps = np.diff(found, axis=0)
    # a quarter and three quarters of the width; both steps go half of the height up, which is down in numbers
    assert steps[:, 0] / steps[:, 0].sum() == pytest.approx([0.25, 0.75], abs=1e-4)
    assert steps[:, 1] / steps[:, 1].sum() == pytest.approx([0.5, 0.5], abs=1e-4)
    assert steps[0, 1] < 0


@pytest.mark.parametrize("kind", ["roc", "pr", "reliability"])
def test_a_figure_is_one_clean_element(kind):
    backend, settings = matplotlib.get_backend(), dict(matplotlib.rcParams)
    svg = draw_all()[kind]
    assert svg == draw_all()[kind], "the same drawing is the same text"
    assert (backend, settings) == (matplotlib.get_backend(), dict(matplotlib.rcParams))
    root = ET.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    assert root.get("aria-label").endswith("of our model, k-mers")
    assert {"width", "height"}.isdisjoint(root.keys())
    assert svg.startswith("<svg")
    assert "metadata" not in svg
    assert re.findall(r'(?:href|src)="([^#"]*)"', svg) == [], "nothing is loaded"
    assert set(re.findall(r"https?://[^\"]*", svg)) == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "#010203" not in svg, "ink is that of the page"
    assert "currentColor" in svg


def test_ids_of_several_figures_are_apart_and_their_references_hit():
    ids = {kind: re.findall(r' id="([^"]+)"', svg) for kind, svg in draw_all().items()}
    together = [each for found in ids.values() for each in found]
    assert len(together) == len(set(together)) > 50
    for kind, svg in draw_all().items():
        used = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg)
        assert used
        assert {a or b for a, b in used} <= set(ids[kind])


@pytest.mark.parametrize("kind", ["roc", "pr", "reliability"])
@pytest.mark.parametrize(
    "name",
    [HOSTILE, "$", "$\\frac{$", "a" * 500, "\u6a21\u578b"],
    ids=["script", "$", "tex", "long", "glyphs"],
)
def test_any_name_comes_out_as_text(kind, name):
    svg = draw_all((name, "other"))[kind]
    assert "<script" not in svg
    root = ET.fromstring(svg)
    assert name in root.get("aria-label")
    shown = name if len(name) <= 36 else name[:33] + "..."
    assert any(text.endswith(f" {shown}") for text in read_texts(svg))


def test_many_models_make_the_figure_higher_not_the_panel_smaller():
    def measure(count):
        svg = plot_roc_curves(LABELS, scores={f"model {number}": SCORES for number in range(count)})
        return [float(number) for number in ET.fromstring(svg).get("viewBox").split()[2:]], svg

    (width, height), _ = measure(1)
    (same_width, more_height), svg = measure(12)
    assert width == same_width
    assert more_height > height + 100
    assert len(re.findall(r"stroke-dasharray", svg)) >= 6, "colors come again in another style"
