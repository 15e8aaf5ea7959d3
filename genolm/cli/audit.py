"""`genolm data check`: the leakage audit of labeled data."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genolm.cli.console import (
    IdColumn,
    LabelColumn,
    SequenceColumn,
    SplitColumn,
    open_reporter,
    print_table,
)

if TYPE_CHECKING:
    from genolm.corpus.audit.composition import ClassComposition
    from genolm.corpus.audit.data_audit import DataAudit
    from genolm.corpus.audit.sharing import Sharing


def check(
    data: Annotated[
        str, typer.Argument(help="Labeled sequences: CSV, TSV, FASTA, JSONL or Parquet, or builtin:NAME.")
    ],
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="JSON file to write, with all figures.")
    ] = None,
    allow_leak: Annotated[
        bool, typer.Option("--allow-leak", help="End with exit code 0 even where a leak is found.")
    ] = False,
    sequence_column: SequenceColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    id_column: IdColumn = None,
) -> None:
    """Look for duplicates, leaks and shortcuts in labeled data; the exit code is 3 where a leak is found.

    Reads both strands. Without train and test splits, the predictors are tried by 5-fold cross-validation.
    """
    from genolm.corpus.audit.data_audit import check_data
    from genolm.corpus.builtin import resolve_source
    from genolm.corpus.labeled import read_labeled
    from genolm.errors import DataError, SettingsError
    from genolm.files import write_json

    if json_file is not None and json_file.is_dir():
        raise SettingsError(
            found=f"the folder {json_file}",
            expected="a file name for the figures",
            remedy="add one to --json",
        )
    labeled = read_labeled(
        resolve_source(data),
        sequence_column=sequence_column or "sequence",
        label_column=label_column or "label",
        split_column=split_column or "split",
        id_column=id_column or "id",
    )
    audit = check_data(labeled, reporter=open_reporter())
    print_audit(audit)
    if json_file is not None:
        write_json(json_file, audit.as_dict())
    if audit.leaks and not allow_leak:
        names = ", ".join(finding.name for finding in audit.leaks)
        raise DataError(
            found=f"{len(audit.leaks)} leak(s) in {Path(data).name} ({names})",
            expected="splits and classes that share no sequence",
            remedy="mend them as said above, or go on with --allow-leak",
        )


def print_audit(audit: "DataAudit") -> None:
    """Print the tables of an audit, and its findings with their remedies."""
    print_table(_list_classes(audit.classes), title=f"{audit.records} records")
    duplicates, near = audit.duplicates, audit.near_duplicates
    print_table(
        _list_sharing(duplicates.sharing),
        title="Records whose sequence, or its reverse complement, is in another record",
    )
    print(
        f"repeated: {duplicates.exact}; pairs of reverse complements: {duplicates.reverse_complement}; "
        f"sequences with more than one label: {duplicates.contradictory}\n"
    )
    print_table(
        _list_sharing(near.sharing),
        title=f"Near duplicates: {100 * near.min_shared:.0f} % of the {near.kmer_bp}-mers of the smaller one",
    )
    at_least = "at least " if near.is_capped else ""
    print(
        f"pairs: {at_least}{near.pairs}; across splits: {near.pairs_across_splits}; "
        f"across classes: {near.pairs_across_classes}\n"
    )
    print_table(
        _list_sharing(audit.overlaps),
        title=f"Records that share {audit.overlap_bp} bases in a row with another, on either strand",
    )
    if audit.predictors.predictors:
        predictors = [(each.description, f"{each.mcc:.3f}") for each in audit.predictors.predictors]
        print_table(
            [("what alone predicts the class", "MCC"), *predictors],
            title=f"Predictors without biology: {audit.predictors.protocol}",
        )
    else:
        print("predictors without biology: not tried, for a class has a single record")
    for finding in audit.findings:
        print(f"{finding.severity}: {finding.name}: {finding.text}\n    remedy: {finding.remedy}")


def _list_classes(classes: "tuple[ClassComposition, ...]") -> list[tuple[str, ...]]:
    """Return the rows of the table of classes, the header first."""
    splits = list(classes[0].records_by_split)
    rows: list[tuple[str, ...]] = [
        ("class", "records", *splits, "shortest bp", "median", "longest", "GC", "with other letters")
    ]
    for each in classes:
        rows.append(
            (
                each.label,
                str(each.records),
                *(str(each.records_by_split[split]) for split in splits),
                str(each.min_bp),
                f"{each.median_bp:g}",
                str(each.max_bp),
                "-" if each.mean_gc is None else f"{each.mean_gc:.3f}",
                str(each.records_with_other_letters),
            )
        )
    return rows


def _list_sharing(sharing: "Sharing") -> list[tuple[str, ...]]:
    """Return rows of counts and shares, the header first."""
    rows: list[tuple[str, ...]] = [
        ("split, class", "records", "with any", "own class", "other class", "other split")
    ]
    for group in sharing.groups:
        counts = (group.any_other, group.own_class, group.other_class, group.other_split)
        rows.append(
            (
                ", ".join(filter(None, (group.split, group.label))),
                str(group.records),
                *(f"{count} ({100 * count / group.records:.1f} %)" for count in counts),
            )
        )
    for each in sharing.splits:
        share = f"{each.shared} ({100 * each.shared / each.records:.1f} %)"
        rows.append((f"{each.split} with {each.other}", str(each.records), "", "", "", share))
    return rows
