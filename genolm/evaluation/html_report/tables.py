"""The tables of a report, as cells of plain text."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from genolm.evaluation.cross_validation import Spread
from genolm.evaluation.html_report.content import EvaluationReport, PublishedFigure
from genolm.evaluation.report import ClassifierRow

ABSENT = "n/a"
METRIC_TITLES = {
    "mcc": "MCC",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "f1": "F1",
    "false_positive_rate": "false-positive rate",
    "false_negative_rate": "false-negative rate",
}


class Cell(NamedTuple):
    """A text, and a second one in small letters below it."""

    text: str
    detail: str = ""


class Row(NamedTuple):
    """Cells, and what the row is: control, chosen, published or nothing of that."""

    cells: tuple[Cell, ...]
    kind: str = ""


class Table(NamedTuple):
    """One section of the page; the first `text_columns` columns hold text, the others numbers."""

    title: str
    note: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    text_columns: int = 1


def build_tables(report: EvaluationReport) -> tuple[Table, ...]:
    """Build the tables that have rows, in the order of the page."""
    tables = (
        _build_classifier_table(report),
        _build_comparison_table(report),
        _build_seed_table(report),
        _build_fold_table(report),
        _build_calibration_table(report),
        _build_threshold_table(report),
        _build_language_model_table(report),
    )
    return tuple(table for table in tables if table.rows)


def build_fact_rows(facts: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Name and value of each fact; those of inner mappings get a name with dots.

    >>> build_fact_rows({"train": {"sequences": 12345, "share": 0.5}, "names": ["a", "b"]})
    (('train.sequences', '12,345'), ('train.share', '0.5'), ('names', 'a, b'))
    """
    return tuple(_iter_facts(facts, prefix=""))


def _iter_facts(facts: Mapping[str, Any], *, prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _iter_facts(value, prefix=f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{name}", ", ".join(_format_fact(each) for each in value)
        else:
            yield f"{prefix}{name}", _format_fact(value)


def _format_fact(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _build_classifier_table(report: EvaluationReport) -> Table:
    rows = [_build_classifier_row(row, report) for row in report.classifiers]
    rows += [_build_published_row(figure, report.metrics) for figure in report.published]
    return Table(
        "Models and controls",
        "Test split, with 95 % bootstrap intervals. A model that does not beat the controls has learned "
        "composition, or how the windows were cut, and little more. Published figures are of their own data "
        "splits.",
        ("model", "kind", *_title_metrics(report.metrics)),
        tuple(rows),
        text_columns=2,
    )


def _build_classifier_row(row: ClassifierRow, report: EvaluationReport) -> Row:
    kind = "control" if row.is_control else "chosen" if row.name == report.chosen else ""
    intervals = row.test.get("ci95", {})
    figures = [
        Cell(_format(row.test.get(name)), _format_interval(intervals.get(name))) for name in report.metrics
    ]
    said = {"chosen": "model, chosen on validation"}.get(kind, kind or "model")
    return Row((Cell(row.name), Cell(said), *figures), kind)


def _build_published_row(figure: PublishedFigure, metrics: Sequence[str]) -> Row:
    figures = [Cell(_format(figure.metrics.get(name))) for name in metrics]
    return Row((Cell(figure.name, figure.source), Cell("published"), *figures), "published")


def _build_comparison_table(report: EvaluationReport) -> Table:
    rows = [
        Row(
            (
                Cell(f"{each.first} minus {each.second}"),
                Cell(METRIC_TITLES.get(name, name)),
                Cell(_format(found.first)),
                Cell(_format(found.second)),
                Cell(_format(found.difference, signed=True), _format_interval(found.interval, signed=True)),
                Cell(_format(found.other_side_share)),
                Cell("yes" if found.is_clear else "no"),
            ),
            "chosen" if found.is_clear else "",
        )
        for each in report.comparisons
        for name, found in each.differences.items()
    ]
    return Table(
        "Paired differences",
        "Both models on the same resampled test sequences, with 95 % intervals. The share is that of the "
        "resamples in which the difference is zero or has the other sign.",
        (
            "models",
            "metric",
            "first",
            "second",
            "difference",
            "share on the other side",
            "interval excludes 0",
        ),
        tuple(rows),
        text_columns=2,
    )


def _build_seed_table(report: EvaluationReport) -> Table:
    rows = [_build_spread_row((name,), found, report.metrics) for name, found in report.seeds.items()]
    return Table(
        "Over seeds",
        "Mean and standard deviation over trainings that differ in nothing but their seed.",
        ("model", *_title_metrics(report.metrics)),
        tuple(rows),
    )


def _build_fold_table(report: EvaluationReport) -> Table:
    rows = [
        _build_spread_row((name, way), found, report.metrics)
        for name, summary in report.cross_validations.items()
        for way, found in (("each fold", summary.folds), ("pooled", summary.pooled))
    ]
    return Table(
        "Cross-validation",
        "Mean and standard deviation over folds and repeats, and of all records together over the repeats. "
        "Folds share training records: the deviation is no standard error.",
        ("model", "test records", *_title_metrics(report.metrics)),
        tuple(rows),
        text_columns=2,
    )


def _build_spread_row(
    names: tuple[str, ...], spreads: Mapping[str, Spread | None], metrics: Sequence[str]
) -> Row:
    return Row((*map(Cell, names), *(_format_spread(spreads.get(name)) for name in metrics)))


def _build_calibration_table(report: EvaluationReport) -> Table:
    rows = [
        Row(
            (
                Cell(f"{name}, {when}"),
                Cell(_format(temperature)),
                *(Cell(_format(value)) for value in (found.ece, found.brier, found.log_loss)),
            )
        )
        for name, scaling in report.calibrations.items()
        for when, temperature, found in (
            ("as it is", 1.0, scaling.before),
            ("temperature of validation", scaling.temperature, scaling.after),
        )
    ]
    return Table(
        "Calibration",
        "How far the probabilities are from what happened, on the test split; lower is better. A temperature "
        "above 1 means that the model was too certain.",
        ("model", "temperature", "expected calibration error", "Brier score", "log loss (nats)"),
        tuple(rows),
    )


def _build_threshold_table(report: EvaluationReport) -> Table:
    rows = [
        Row((Cell(name), *(Cell(_format(value)) for value in found)))
        for name, found in report.thresholds.items()
    ]
    return Table(
        "Thresholds",
        "Chosen on the validation split, with what they do there.",
        ("model", "threshold", "MCC", "recall", "false-positive rate"),
        tuple(rows),
    )


def _build_language_model_table(report: EvaluationReport) -> Table:
    rows = [
        Row(
            (
                Cell(row.name),
                Cell(_format(row.test_bits_per_base)),
                Cell(_format(row.validation_bits_per_base)),
            )
        )
        for row in report.language_models
    ]
    return Table(
        "Language models",
        "Bits per base of held-out sequence; lower is better, and a uniform model scores 2.",
        ("language model", "test", "validation"),
        tuple(rows),
    )


def _title_metrics(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(METRIC_TITLES.get(name, name.replace("_", " ")) for name in names)


def _format(value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return ABSENT
    return f"{value:+.3f}" if signed else f"{value:.3f}"


def _format_interval(interval: Sequence[float] | None, *, signed: bool = False) -> str:
    return "" if interval is None else " .. ".join(_format(bound, signed=signed) for bound in interval)


def _format_spread(spread: Spread | None) -> Cell:
    if spread is None:
        return Cell(ABSENT)
    deviation = "" if spread.sd is None else f"sd {spread.sd:.3f}, "
    return Cell(_format(spread.mean), f"{deviation}n = {spread.n}")
