"""What a report shows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from genolm.corpus.audit.findings import Finding
from genolm.evaluation.calibration import TemperatureScaling
from genolm.evaluation.cross_validation import FoldSummary, Spread
from genolm.evaluation.paired import PairedDifference
from genolm.evaluation.report import ClassifierRow, LanguageModelRow
from genolm.threshold import ChosenThreshold

SHOWN_METRICS = ("mcc", "auroc", "auprc", "accuracy", "recall", "false_positive_rate")


class PublishedFigure(NamedTuple):
    """A result of others, to stand beside one's own."""

    name: str
    metrics: Mapping[str, float]
    """by the names of metrics.json"""
    source: str
    """the paper, and its protocol where that is another one"""


class Comparison(NamedTuple):
    """Two models on the same test sequences."""

    first: str
    second: str
    differences: Mapping[str, PairedDifference]
    """first minus second, as `compute_paired_differences` gives them"""


class ReportFigure(NamedTuple):
    """A figure and what it shows."""

    caption: str
    svg: str
    """of a function of genolm.evaluation.curves: it is taken into the page as it is"""


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """An evaluation, whole or in part: what is empty is left out of the page."""

    title: str
    summary: tuple[str, ...] = ()
    """sentences for the top of the page"""
    data: Mapping[str, Any] = field(default_factory=dict)
    """facts about the data: sequences, classes, lengths, split"""
    findings: tuple[Finding, ...] | None = None
    """of `genolm data check`; None where the data were not audited"""
    classifiers: tuple[ClassifierRow, ...] = ()
    chosen: str = ""
    """name of the row that validation chose"""
    metrics: tuple[str, ...] = SHOWN_METRICS
    """columns of the tables"""
    published: tuple[PublishedFigure, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    seeds: Mapping[str, Mapping[str, Spread | None]] = field(default_factory=dict)
    """for each model what `summarize_runs` gives"""
    cross_validations: Mapping[str, FoldSummary] = field(default_factory=dict)
    calibrations: Mapping[str, TemperatureScaling] = field(default_factory=dict)
    thresholds: Mapping[str, ChosenThreshold] = field(default_factory=dict)
    figures: tuple[ReportFigure, ...] = ()
    language_models: tuple[LanguageModelRow, ...] = ()
    protocol: tuple[str, ...] = ()
    """how the figures came about, in plain sentences"""
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
