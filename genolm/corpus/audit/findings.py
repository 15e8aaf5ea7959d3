"""What the figures of an audit mean: named findings, each with its numbers and a remedy."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from genolm.corpus.audit.composition import ClassComposition
from genolm.corpus.audit.duplicates import Duplicates
from genolm.corpus.audit.near_duplicates import NearDuplicates
from genolm.corpus.audit.predictors import TrivialPredictors
from genolm.corpus.audit.sharing import Sharing, SplitSharing

Severity = Literal["leak", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("leak", "warning", "note")

RULE_MCC = 0.3
"""above it, k-mers in common with training records answer the question: a leak"""
GC_MCC, LENGTH_MCC = 0.3, 0.1
NEAR_SHARE = 0.01
"""of the held-out records; more with a near duplicate in another split are a leak"""
OVERLAP_SHARE = 0.05
"""of the records, between splits or classes"""
OWN_OVERLAP_SHARE = 0.2
"""of a class, between its own records"""
OTHER_LETTERS_GAP = 0.1
"""between the shares of two classes"""
MAX_CLASS_RATIO = 20

_SPLIT_REMEDY = "keep alike records in one split: `genolm data split`"
_DRAW_REMEDY = "draw negatives from all of the genome that overlap neither each other nor positives"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a reader of a test score has to know."""

    name: str
    severity: Severity
    """leak: the test score means nothing as it stands; warning: a shortcut; note: worth knowing"""
    text: str
    remedy: str
    figures: dict[str, Any]


class Evidence(NamedTuple):
    """The parts of an audit; see `DataAudit`."""

    classes: tuple[ClassComposition, ...]
    duplicates: Duplicates
    near_duplicates: NearDuplicates
    overlap_bp: int
    overlaps: Sharing
    predictors: TrivialPredictors


def build_findings(evidence: Evidence) -> list[Finding]:
    """Weigh the parts of an audit; leaks come first, then warnings, then notes."""
    found = [
        *_weigh_duplicates(evidence.duplicates),
        *_weigh_near_duplicates(evidence.near_duplicates),
        *_weigh_overlaps(evidence),
        *_weigh_predictors(evidence.predictors),
        *_weigh_classes(evidence.classes),
    ]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def _weigh_duplicates(duplicates: Duplicates) -> Iterator[Finding]:
    held_out = [each for each in duplicates.sharing.splits if each.shared]
    if held_out:
        yield Finding(
            name="duplicates_across_splits",
            severity="leak",
            text=f"the same sequence, or its reverse complement, is in two splits: {_list_splits(held_out)}",
            remedy=f"remove these records from training, or {_SPLIT_REMEDY}",
            figures={"splits": _count_splits(held_out), "examples": list(duplicates.split_examples)},
        )
    if duplicates.contradictory:
        yield Finding(
            name="contradictory_labels",
            severity="leak",
            text=f"{_count(duplicates.contradictory, 'sequence')} with more than one label, "
            f"in {duplicates.contradictory_records} records",
            remedy="decide on one label for each, or remove them",
            figures={
                "sequences": duplicates.contradictory,
                "records": duplicates.contradictory_records,
                "examples": list(duplicates.contradictory_examples),
            },
        )
    if duplicates.exact or duplicates.reverse_complement:
        yield Finding(
            name="duplicates",
            severity="warning",
            text=f"{_count(duplicates.exact, 'record')} repeating an earlier one; "
            f"{_count(duplicates.reverse_complement, 'pair')} of reverse complements",
            remedy="keep one record of each sequence",
            figures={"exact": duplicates.exact, "reverse_complement": duplicates.reverse_complement},
        )


def _weigh_near_duplicates(near: NearDuplicates) -> Iterator[Finding]:
    alike = f"at least {100 * near.min_shared:.0f} % of the {near.kmer_bp}-mers of the smaller record shared"
    worst = max((each.shared / each.records for each in near.sharing.splits), default=0.0)
    if worst > 0:
        yield Finding(
            name="near_duplicates_across_splits",
            severity="leak" if worst > NEAR_SHARE else "note",
            text=f"near duplicates ({alike}) in two splits: {_list_splits(near.sharing.splits)}",
            remedy=_SPLIT_REMEDY,
            figures={"splits": _count_splits(near.sharing.splits), "pairs": near.pairs_across_splits},
        )
    num_alike, num_records = near.sharing.count("any_other"), near.sharing.count("records")
    if num_alike > OVERLAP_SHARE * num_records:
        yield Finding(
            name="near_duplicates",
            severity="warning",
            text=f"{_share(num_alike, num_records)} of the records have a near duplicate ({alike})",
            remedy=f"a random split puts them on both sides; {_SPLIT_REMEDY}",
            figures={"records": num_alike, "pairs": near.pairs},
        )


def _weigh_overlaps(evidence: Evidence) -> Iterator[Finding]:
    overlaps, bases = evidence.overlaps, f"{evidence.overlap_bp} bases in a row"
    if any(each.shared > OVERLAP_SHARE * each.records for each in overlaps.splits):
        yield Finding(
            name="overlaps_across_splits",
            severity="warning",
            text=f"records that share {bases} with another split: {_list_splits(overlaps.splits)}",
            remedy=_SPLIT_REMEDY,
            figures={"splits": _count_splits(overlaps.splits)},
        )
    num_records, num_mixed = overlaps.count("records"), overlaps.count("other_class")
    if num_mixed > OVERLAP_SHARE * num_records:
        yield Finding(
            name="overlaps_across_classes",
            severity="warning",
            text=f"{_share(num_mixed, num_records)} of the records share {bases} with another class",
            remedy="check how the classes were made; overlapping records of two classes belong in one split",
            figures={"records": num_mixed},
        )
    for each in evidence.classes:
        num_own = overlaps.count("own_class", label=each.label)
        if num_own > OWN_OVERLAP_SHARE * each.records:
            yield Finding(
                name="class_overlaps_itself",
                severity="warning",
                text=f"{_share(num_own, each.records)} of '{each.label}' share {bases} with another of it",
                remedy=f"{_SPLIT_REMEDY}; {_DRAW_REMEDY}",
                figures={"label": each.label, "records": num_own},
            )


def _weigh_predictors(predictors: TrivialPredictors) -> Iterator[Finding]:
    if not predictors.predictors:
        return
    limits: tuple[tuple[str, Severity, float, str], ...] = (
        ("shared_kmer_rule", "leak", RULE_MCC, f"{_SPLIT_REMEDY}; {_DRAW_REMEDY}"),
        ("length", "warning", LENGTH_MCC, "cut all records to one length, or match the classes in length"),
        ("gc", "warning", GC_MCC, "add negatives matched for GC, and report this figure beside the model's"),
        ("kmer_3", "note", 0.0, "a model has to beat this figure"),
    )
    for name, severity, limit, remedy in limits:
        best = predictors.find(name)
        if best is not None and best.mcc > limit:
            yield Finding(
                name=name if name == "shared_kmer_rule" else f"{name}_predicts",
                severity=severity,
                text=f"{best.description}: MCC {best.mcc:.3f}, {predictors.protocol}",
                remedy=remedy,
                figures={"mcc": best.mcc, "protocol": predictors.protocol},
            )
    if "fold" in predictors.protocol:
        yield Finding(
            name="no_split",
            severity="note",
            text=f"no training and test split; the predictors were tried by {predictors.protocol}",
            remedy=f"a random split leaks wherever records are alike; {_SPLIT_REMEDY}",
            figures={},
        )


def _weigh_classes(classes: tuple[ClassComposition, ...]) -> Iterator[Finding]:
    shares = {each.label: each.records_with_other_letters / each.records for each in classes}
    if max(shares.values()) - min(shares.values()) > OTHER_LETTERS_GAP:
        listed = ", ".join(f"{100 * share:.1f} % of '{label}'" for label, share in shares.items())
        yield Finding(
            name="other_letters_by_class",
            severity="warning",
            text=f"letters other than A, C, G, T occur in {listed}",
            remedy="remove these records, or draw all classes alike, or N gives the class away",
            figures={"shares": shares},
        )
    counts = {each.label: each.records for each in classes}
    if max(counts.values()) > MAX_CLASS_RATIO * min(counts.values()):
        yield Finding(
            name="class_imbalance",
            severity="warning",
            text=f"the largest class has {max(counts.values())} records, the smallest {min(counts.values())}",
            remedy="report MCC and AUPRC, not accuracy, or balance the classes",
            figures={"records": counts},
        )


def _list_splits(splits: tuple[SplitSharing, ...] | list[SplitSharing]) -> str:
    return ", ".join(
        f"{_share(each.shared, each.records)} of {each.split} with {each.other}" for each in splits
    )


def _count_splits(splits: tuple[SplitSharing, ...] | list[SplitSharing]) -> dict[str, int]:
    return {f"{each.split} with {each.other}": each.shared for each in splits}


def _share(part: int, whole: int) -> str:
    """Write a count and its share.

    >>> _share(43, 5920)
    '43 (0.7 %)'
    """
    return f"{part} ({100 * part / whole:.1f} %)"


def _count(number: int, noun: str) -> str:
    """Write a count with its noun.

    >>> _count(1, "pair"), _count(2, "pair")
    ('1 pair', '2 pairs')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"
