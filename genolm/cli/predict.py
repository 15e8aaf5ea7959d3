"""`genolm predict` and `genolm evaluate`: a classifier at work."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genolm.cli.console import IdColumn, LabelColumn, SequenceColumn, SplitColumn, open_model_reporter

if TYPE_CHECKING:
    from genolm.corpus.labeled import LabeledData

ModelOption = Annotated[
    str, typer.Option(help="Folder of a classifier, or the name of one that ships with genolm.")
]


def predict(
    sequences: Annotated[
        Path, typer.Argument(help="FASTA, CSV, TSV, JSONL or Parquet with a sequence column.")
    ],
    model: ModelOption,
    output: Annotated[
        Path | None, typer.Option(help="TSV file to write.  [default: the output stream]")
    ] = None,
    sequence_column: SequenceColumn = None,
    id_column: IdColumn = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Sequences at a time.")] = 64,
) -> None:
    """Write a table, one line per sequence: probabilities, values, or a string of labels for the bases."""
    from genolm.corpus.labeled import read_sequences
    from genolm.errors import SettingsError
    from genolm.files import write_text
    from genolm.inference.classify import load_classifier, predict_table
    from genolm.models.builtin import find_model

    if output is not None and output.is_dir():
        raise SettingsError(
            found=f"the folder {output}", expected="a file name for the table", remedy="add one to --output"
        )
    reporter = open_model_reporter()
    classifier = load_classifier(find_model(model))
    named = read_sequences(
        sequences,
        sequence_column=sequence_column or "sequence",
        id_column=id_column or "id",
        min_length_bp=classifier.scheme.min_length_bp,
    )
    table = predict_table(
        classifier, named.sequences, ids=named.ids, batch_size=batch_size, reporter=reporter
    )
    text = "".join("\t".join(row) + "\n" for row in table)
    if output is None:
        sys.stdout.write(text)
    else:
        write_text(output, text)


def evaluate(
    data: Annotated[str, typer.Argument(help="Labeled sequences: CSV, TSV, FASTA, JSONL or Parquet.")],
    model: ModelOption,
    split: Annotated[
        str | None, typer.Option(help="Only this split.  [default: test, or all if there is none]")
    ] = None,
    sequence_column: SequenceColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Folder for report.html and metrics.json: calibration, curves, threshold, too."),
    ] = None,
    threshold_from: Annotated[
        str | None,
        typer.Option(
            metavar="validation",
            help="Show the metrics at the threshold with the best MCC on this split.  [default: 0.5]",
        ),
    ] = None,
) -> None:
    """Show a model's metrics on labeled sequences, with 95 % intervals, as JSON."""
    import json

    from genolm.corpus.builtin import resolve_source
    from genolm.corpus.labeled import read_labeled
    from genolm.errors import SettingsError
    from genolm.evaluation.classifier import evaluate_classifier, report_classifier
    from genolm.evaluation.html_report.page import write_html_report
    from genolm.inference.classify import load_classifier
    from genolm.models.builtin import find_model

    reporter = open_model_reporter()
    folder = find_model(model)
    classifier = load_classifier(folder)
    labeled = read_labeled(
        resolve_source(data),
        sequence_column=sequence_column or "sequence",
        label_column=label_column or "label",
        split_column=split_column or "split",
        require_labels=classifier.task == "classification",  # the others know no classes to be checked
        min_length_bp=classifier.scheme.min_length_bp,
    )
    if split and not labeled.has_splits:
        raise SettingsError(
            found=f"--split {split} and no split column in {data}",
            expected="a split column, or all sequences",
            remedy="add the column, or leave --split out",
        )
    part = labeled.select(split or "test") if labeled.has_splits else labeled
    if report is not None and (report / "config.json").exists():
        raise SettingsError(
            found=f"a model in {report}",
            expected="a folder of its own for the report, whose metrics.json would replace the model's",
            remedy="choose another --report",
        )
    if report is None and threshold_from is None:
        print(json.dumps(evaluate_classifier(classifier, part, reporter=reporter), indent=2))
        return
    evaluated = report_classifier(
        classifier,
        part,
        name=f"{folder.resolve().name} on {Path(data).name}",
        tuning=_select_tuning(labeled, split or "test", threshold_from),
        reporter=reporter,
    )
    if threshold_from and evaluated.tuned is None:
        raise SettingsError(
            found=f"--threshold-from and {len(classifier.label_names)} classes",
            expected="two classes: of more the highest probability decides",
            remedy="leave --threshold-from out",
        )
    if report is not None:
        write_html_report(evaluated.report, report)
    print(json.dumps(evaluated.tuned if threshold_from else evaluated.metrics, indent=2))


def _select_tuning(data: "LabeledData", split: str, threshold_from: str | None) -> "LabeledData | None":
    """Return the validation split, if it may choose threshold and temperature; None if there is none."""
    from genolm.errors import SettingsError

    tuning = data.select("validation") if data.has_splits and split != "validation" else None
    has_both = tuning is not None and len(set(tuning.labels.tolist())) > 1
    if threshold_from is not None and (threshold_from != "validation" or not has_both):
        raise SettingsError(
            found=f"--threshold-from {threshold_from} for the metrics of {split}",
            expected="validation, in data with validation sequences of both classes, and metrics of test",
            remedy="correct it, or leave it out for the threshold 0.5",
        )
    return tuning if has_both else None


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(predict)
    app.command()(evaluate)
