"""The audit of labeled data in one call, and its result."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from genolm.corpus.audit.composition import ClassComposition, compute_composition
from genolm.corpus.audit.duplicates import Duplicates, find_duplicates
from genolm.corpus.audit.findings import Evidence, Finding, build_findings
from genolm.corpus.audit.near_duplicates import NearDuplicates, find_near_duplicates
from genolm.corpus.audit.predictors import TrivialPredictors, try_trivial_predictors
from genolm.corpus.audit.sharing import Sharing, compute_sharing
from genolm.corpus.kmer_matrix import build_kmer_matrix
from genolm.corpus.labeled import LabeledData
from genolm.errors import DataError
from genolm.progress import Reporter

MIN_OVERLAP_BP, MAX_OVERLAP_BP = 16, 31


@dataclass(frozen=True, kw_only=True)
class DataAudit:
    """What was found in labeled data."""

    records: int
    classes: tuple[ClassComposition, ...]
    duplicates: Duplicates
    near_duplicates: NearDuplicates
    overlap_bp: int
    """bases in a row that `overlaps` counts: 31, less where a record is shorter, but 16 or more"""
    overlaps: Sharing
    """records that share this many bases in a row, on either strand, with another record"""
    predictors: TrivialPredictors
    findings: tuple[Finding, ...]
    """leaks first, then warnings, then notes"""

    @property
    def leaks(self) -> tuple[Finding, ...]:
        """The findings that make a test score meaningless."""
        return tuple(finding for finding in self.findings if finding.severity == "leak")

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return asdict(self)


def check_data(data: LabeledData, *, reporter: Reporter | None = None) -> DataAudit:
    """Look for leaks and for shortcuts that spare a classifier from learning biology.

    Args:
        data: labeled sequences, with or without splits.
        reporter: shows the progress.

    Raises:
        DataError: a record has no label, or there is one class only.
    """
    _check_labels(data)
    shortest_bp = min(map(len, data.sequences))
    overlap_bp = int(np.clip(shortest_bp, MIN_OVERLAP_BP, MAX_OVERLAP_BP))
    steps: dict[str, Callable[[], Any]] = {
        "classes": lambda: compute_composition(data),
        "duplicates": lambda: find_duplicates(data),
        "near_duplicates": lambda: find_near_duplicates(data),
        "overlaps": lambda: compute_sharing(build_kmer_matrix(data.sequences, k=overlap_bp).shared, data),
        "predictors": lambda: try_trivial_predictors(data),
    }
    found = {}
    with (reporter or Reporter()).task("data check", total=len(steps)) as task:
        for number, (name, step) in enumerate(steps.items()):
            task.update(number, name.replace("_", " "))
            found[name] = step()
        task.update(len(steps))
    evidence = Evidence(overlap_bp=overlap_bp, **found)
    return DataAudit(
        records=len(data), overlap_bp=overlap_bp, findings=tuple(build_findings(evidence)), **found
    )


def _check_labels(data: LabeledData) -> None:
    present = np.unique(data.labels)
    if len(present) < 2 or present[0] < 0:
        raise DataError(
            found="records without a label" if (present < 0).any() else f"{len(present)} class(es)",
            expected="a label for every record, and at least two classes",
            remedy="check which column holds the labels",
        )
