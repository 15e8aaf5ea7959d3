"""Cells of Markdown tables, from numbers and from texts of any origin."""

from collections.abc import Sequence
from typing import Any

from genolm.evaluation.report import render_markdown

Table = list[tuple[str, ...]]
"""Rows of cells, the header first"""


def render_table(rows: Sequence[Sequence[Any]]) -> str:
    """Render a table as Markdown; what would break it in a text is escaped.

    >>> print(render_table([("class", "n"), ("a|b", 1)]))
    | class | n |
    | --- | --- |
    | a\\|b | 1 |
    """
    return render_markdown([tuple(escape_text(str(cell)) for cell in row) for row in rows])


def escape_text(text: str) -> str:
    """Keep a text of foreign origin on one line, and from making cells or HTML."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def format_figure(value: Any) -> str:
    """Write a metric with three decimals, a count as it is, and a dash where there is none.

    >>> format_figure(0.83249), format_figure(1161), format_figure(None)
    ('0.832', '1,161', '-')
    """
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def format_interval(bounds: Sequence[float] | None) -> str:
    """Write both ends of an interval."""
    return f"{bounds[0]:.3f} .. {bounds[1]:.3f}" if bounds else "-"
