"""A report as one HTML page, with nothing to load and nothing to run, and as metrics.json."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genolm.evaluation.html_report.content import EvaluationReport
from genolm.evaluation.html_report.tables import build_fact_rows, build_tables
from genolm.files import write_json, write_text

PAGE_NAME, METRICS_NAME = "report.html", "metrics.json"


def build_html_report(report: EvaluationReport) -> str:
    """Build the page: every text of the report is escaped, its figures are inside, scripts are forbidden."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(
        report=report,
        facts=build_fact_rows(report.data),
        tables=build_tables(report),
        # figures are of our own drawing, which escapes the names in them
        figures=[(figure.caption, Markup(figure.svg)) for figure in report.figures],  # noqa: S704
        settings=build_fact_rows(report.settings),
        versions=build_fact_rows(report.versions),
    )


def build_report_metrics(report: EvaluationReport) -> dict[str, Any]:
    """Build what metrics.json holds: the report without its drawings, NaN and infinity as null."""
    plain: dict[str, Any] = _make_plain(report)
    plain["figures"] = [figure.caption for figure in report.figures]
    return plain


def write_html_report(report: EvaluationReport, folder: Path) -> Path:
    """Write report.html and metrics.json into a folder, and return the path of the page."""
    write_json(folder / METRICS_NAME, build_report_metrics(report))
    write_text(folder / PAGE_NAME, build_html_report(report))
    return folder / PAGE_NAME


def _make_plain(value: Any) -> Any:
    """Turn records, mappings and numpy numbers into what JSON has."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: _make_plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if hasattr(value, "_asdict"):
        return _make_plain(value._asdict())
    if isinstance(value, Mapping):
        return {str(name): _make_plain(each) for name, each in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _make_plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_make_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)
