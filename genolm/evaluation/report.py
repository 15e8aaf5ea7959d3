"""The table at the end of a pipeline: controls, networks and language models side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# By a metric that only its kind of model has: title of a column, place and name of the figure, its format.
_COLUMNS = {
    "mcc": (
        ("accuracy", "test", "accuracy", ".3f"),
        ("MCC", "test", "mcc", ".3f"),
        ("95 % interval", "interval", "mcc", ".3f"),
        ("AUROC", "test", "auroc", ".3f"),
        ("validation AUROC", "validation", "auroc", ".3f"),
    ),
    "spearman": (
        ("Spearman", "test", "spearman", ".3f"),
        ("95 % interval", "interval", "spearman", ".3f"),
        ("Pearson", "test", "pearson", ".3f"),
        ("mean squared error", "test", "mse", ".4g"),
        ("validation Spearman", "validation", "spearman", ".3f"),
    ),
    "labels": (
        ("mean AUROC of the labels", "test", "auroc", ".3f"),
        ("95 % interval", "interval", "auroc", ".3f"),
        ("mean AUPRC", "test", "auprc", ".3f"),
        ("validation mean AUROC", "validation", "auroc", ".3f"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class ClassifierRow:
    """One line: a control or a network, with its figures on the validation and the test split.

    Those of a regression and of several labels have the same form.
    """

    name: str
    is_control: bool
    validation: dict[str, Any]  # as in metrics.json
    test: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class LanguageModelRow:
    """One line: bits per base on held-out sequence; a uniform model scores 2."""

    name: str
    validation_bits_per_base: float
    test_bits_per_base: float


@dataclass(frozen=True, kw_only=True)
class LearningCurveRow:
    """One point: a network that learned from a part of the train split."""

    name: str
    num_train: int  # sequences
    validation: dict[str, Any]  # as in metrics.json
    test: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class AblationReport:
    """What a pipeline found out; `chosen` names the network with the best AUROC on validation."""

    classifiers: tuple[ClassifierRow, ...]
    language_models: tuple[LanguageModelRow, ...]
    chosen: str
    num_test: int
    learning_curve: tuple[LearningCurveRow, ...] = ()

    def find_best_control(self) -> ClassifierRow:
        """Return the control with the best MCC on the test split: the one to be beaten."""
        return max((row for row in self.classifiers if row.is_control), key=lambda row: row.test["mcc"])

    def find_chosen(self) -> ClassifierRow:
        """Return the row of the chosen network."""
        return next(row for row in self.classifiers if row.name == self.chosen)


def choose_network(rows: Sequence[ClassifierRow]) -> str:
    """Name the network with the best AUROC on the validation split; the test split has no say.

    On a few hundred sequences the AUROC is steadier than the MCC, which turns on a threshold; the MCC
    decides between equals.
    """
    networks = [row for row in rows if not row.is_control]
    return max(networks, key=lambda row: (row.validation["auroc"], row.validation["mcc"])).name


def build_classifier_table(report: AblationReport) -> list[tuple[str, ...]]:
    """Return the table's cells, header first; the chosen network has a star."""
    return build_rows(report.classifiers, chosen=report.chosen)


def build_rows(classifiers: Sequence[ClassifierRow], *, chosen: str = "") -> list[tuple[str, ...]]:
    """Return the cells of a table of classifiers, regressions, or models of several labels, header first."""
    first = classifiers[0].test if classifiers else {"mcc": None}
    columns = next(columns for metric, columns in _COLUMNS.items() if metric in first)
    rows = [("model", *(title for title, *_ in columns))]
    for row in classifiers:
        figures = {"test": row.test, "interval": row.test["ci95"], "validation": row.validation}
        cells = (_format_cell(figures[place][metric], form) for _, place, metric, form in columns)
        rows.append((row.name + (" *" if row.name == chosen else ""), *cells))
    return rows


def _format_cell(value: Any, form: str) -> str:
    """Write a number, or both ends of an interval; a dash where there is none."""
    if value is None:
        return "-"
    return " .. ".join(format(each, form) for each in (value if isinstance(value, list) else [value]))


def build_language_model_table(report: AblationReport) -> list[tuple[str, ...]]:
    """Return the table's cells, header first."""
    rows: list[tuple[str, ...]] = [("language model", "bits per base, test", "validation")]
    for row in report.language_models:
        rows.append((row.name, f"{row.test_bits_per_base:.3f}", f"{row.validation_bits_per_base:.3f}"))
    return rows


def build_learning_curve_table(report: AblationReport) -> list[tuple[str, ...]]:
    """Return the table's cells, header first: test MCC with its interval by network and train sequences."""
    names = list(dict.fromkeys(row.name for row in report.learning_curve))
    cells = {}
    for row in report.learning_curve:
        low, high = row.test["ci95"]["mcc"]
        cells[row.num_train, row.name] = f"{row.test['mcc']:.3f} ({low:.3f} .. {high:.3f})"
    sizes = sorted({num_train for num_train, _ in cells})
    rows: list[tuple[str, ...]] = [("train sequences, test MCC", *names)]
    return rows + [(f"{size:,}", *(cells.get((size, name), "-") for name in names)) for size in sizes]


def render_markdown(rows: Sequence[tuple[str, ...]]) -> str:
    """Render a table's cells as Markdown.

    >>> print(render_markdown([("a", "b"), ("1", "2")]))
    | a | b |
    | --- | --- |
    | 1 | 2 |
    """
    header, *body = rows
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, ("---",) * len(header), *body])
