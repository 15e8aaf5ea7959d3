import json
import re
from pathlib import Path

import matplotlib
import matplotlib.image
import pytest

from genolm.errors import DataError
from genolm.training.loss_figure import build_loss_figure, plot_loss_curve

STEPS = [
    {"step": 20, "loss": 1.5, "bits_per_base": 2.16, "learning_rate": 0.001, "tokens": 5},
    {"step": 40, "loss": 1.25, "bits_per_base": 1.80, "learning_rate": 0.002, "tokens": 9},
]
EVALUATIONS = [
    {"step": 20, "evaluation": {"loss": 1.4, "bits_per_base": 2.02}},
    {"step": 40, "evaluation": {"loss": 1.3, "bits_per_base": 1.88}},
    {"step": 60, "evaluation": {"loss": 1.35, "bits_per_base": 1.95}},
]


STEPS_WITHOUT_BITS, EVALUATIONS_WITHOUT_BITS = (
    json.loads(re.sub(r', "bits_per_base": [0-9.]+', "", json.dumps(records)))
    for records in (STEPS, EVALUATIONS)
)


def write_log(folder: Path, records: list[dict]) -> Path:
    path = folder / "training_log.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def read_lines(figure) -> dict[str, tuple[list, list]]:
    """What is drawn, by its name in the legend."""
    return {
        line.get_label(): (list(line.get_xdata()), list(line.get_ydata()))
        for line in figure.axes[0].get_lines()
    }


def test_bits_per_base_are_drawn_with_evaluations_and_the_lowest_marked(tmp_path):
    figure = build_loss_figure(write_log(tmp_path, STEPS + EVALUATIONS))
    assert read_lines(figure) == {
        "training": ([20, 40], [2.16, 1.80]),
        "evaluation": ([20, 40, 60], [2.02, 1.88, 1.95]),
        "lowest at step 40: 1.880": ([40], [1.88]),
    }
    axes, rate_axes = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("training step", "bits per new base")
    (rate,) = rate_axes.get_lines()
    assert (list(rate.get_xdata()), list(rate.get_ydata())) == ([20, 40], [0.001, 0.002])
    assert rate_axes.get_ylabel() == "learning rate (per step)"
    assert rate.get_linewidth() < axes.get_lines()[0].get_linewidth()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(read_lines(figure))


def test_the_evaluation_that_the_training_chose_is_marked(tmp_path):
    figure = build_loss_figure(write_log(tmp_path, STEPS + EVALUATIONS), best_step=60)
    assert read_lines(figure)["best at step 60: 1.950"] == ([60], [1.95])


@pytest.mark.parametrize(
    "records",
    [
        STEPS_WITHOUT_BITS + EVALUATIONS_WITHOUT_BITS,
        STEPS_WITHOUT_BITS + EVALUATIONS,
        STEPS + EVALUATIONS_WITHOUT_BITS,
    ],
    ids=["none", "evaluations", "steps"],
)
def test_the_loss_is_drawn_where_not_all_have_bits(records, tmp_path):
    figure = build_loss_figure(write_log(tmp_path, records), loss_unit="nats per sequence")
    assert figure.axes[0].get_ylabel() == "loss (nats per sequence)"
    assert read_lines(figure)["training"] == ([20, 40], [1.5, 1.25])
    assert read_lines(figure)["evaluation"] == ([20, 40, 60], [1.4, 1.3, 1.35])


@pytest.mark.parametrize(
    ("records", "expected", "num_axes"),
    [
        ([], [], 1),
        (EVALUATIONS, ["evaluation", "lowest at step 40: 1.880"], 1),
        (STEPS[:1], ["training"], 2),
        (EVALUATIONS[:1], ["evaluation", "lowest at step 20: 2.020"], 1),
        ([{"step": 1, "loss": None, "learning_rate": 0.0}], [], 2),
    ],
    ids=["empty", "evaluations", "one step", "one evaluation", "no finite loss"],
)
def test_a_figure_is_written_whatever_the_log_holds(records, expected, num_axes, tmp_path):
    backend = matplotlib.get_backend()
    log_path = write_log(tmp_path, records)
    plot_loss_curve(log_path, tmp_path / "figures" / "loss.png")
    assert (tmp_path / "figures" / "loss.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    image = matplotlib.image.imread(tmp_path / "figures" / "loss.png")
    assert image.shape == (630, 1080, 4)
    assert image[..., :3].min() < 0.5 < image[..., :3].max()
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["loss.png"], "no left-over"
    figure = build_loss_figure(log_path)
    assert list(read_lines(figure)) == expected
    assert len(figure.axes) == num_axes
    assert matplotlib.get_backend() == backend


def test_a_single_step_is_a_visible_point(tmp_path):
    (line,) = build_loss_figure(write_log(tmp_path, STEPS[:1])).axes[0].get_lines()
    assert line.get_marker() == "o"


def test_values_that_are_not_finite_are_left_out(tmp_path):
    records = [*STEPS_WITHOUT_BITS, {"step": 60, "loss": float("nan"), "learning_rate": 0.001}]
    assert read_lines(build_loss_figure(write_log(tmp_path, records)))["training"][0] == [20, 40]


def test_the_line_that_is_being_written_is_not_read(tmp_path):
    path = write_log(tmp_path, STEPS)
    path.write_text(path.read_text() + '{"step": 60, "lo')
    assert read_lines(build_loss_figure(path))["training"][0] == [20, 40]


@pytest.mark.parametrize("line", ["{", "5", '{"loss": 1.0}', '{"step": null}'])
def test_a_broken_line_is_named_and_the_old_figure_stays(line, tmp_path):
    path = write_log(tmp_path, STEPS)
    path.write_text(path.read_text() + line + "\n")
    (tmp_path / "loss.png").write_bytes(b"old")
    with pytest.raises(
        DataError, match=r"line 3 of training_log.jsonl: .*; expected a JSON object with a step"
    ):
        plot_loss_curve(path, tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes() == b"old"


def test_a_folder_without_a_log_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no training_log.jsonl in .*; expected the log of a training; name"):
        plot_loss_curve(tmp_path / "training_log.jsonl", tmp_path / "loss.png")
