"""`genolm explain`: what a classifier sees in sequences."""

from pathlib import Path
from typing import Annotated

import typer

from genolm.cli.console import IdColumn, SequenceColumn, open_model_reporter


def explain(
    sequences: Annotated[
        Path, typer.Argument(help="FASTA, CSV, TSV, JSONL or Parquet with a sequence column.")
    ],
    model: Annotated[Path, typer.Option(help="Folder or name of a classifier or a regression.")],
    output: Annotated[Path, typer.Option(help="Folder to write: effects.tsv, figures and more.")],
    method: Annotated[
        str,
        typer.Option(
            help="mutation, windows, saliency, gradient_x_input, integrated_gradients or attention."
        ),
    ] = "mutation",
    class_name: Annotated[
        str | None,
        typer.Option("--class", help="Class to explain.  [default: the second of two]", metavar="NAME"),
    ] = None,
    score: Annotated[str, typer.Option(help="probability, or log_odds in nats.")] = "probability",
    max_sequences: Annotated[int, typer.Option(min=1, help="Only so many, the first ones.")] = 20,
    deletions: Annotated[
        bool, typer.Option("--deletions", help="With mutation: the effect of leaving out each base, too.")
    ] = False,
    window_bp: Annotated[int, typer.Option(min=1, help="With windows: bases of a window.")] = 10,
    motifs: Annotated[
        bool, typer.Option("--motifs", help="Align what stands out in the sequences to motifs, too.")
    ] = False,
    motif_database: Annotated[
        Path | None,
        typer.Option(
            help="MEME file, such as JASPAR's, to compare the motifs with (needs genolm[interpret])."
        ),
    ] = None,
    bed: Annotated[
        Path | None,
        typer.Option(help="BED file with the places of the sequences.  [default: contig:start-end(+) ids]"),
    ] = None,
    sequence_column: SequenceColumn = None,
    id_column: IdColumn = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Changed sequences at a time.")] = 256,
    seed: Annotated[int, typer.Option(help="Seed of the shuffled windows.")] = 0,
) -> None:
    """Show which bases matter: a table, a figure for each sequence, and motifs."""
    from typing import cast

    from genolm.corpus.labeled import NamedSequences, read_sequences
    from genolm.inference.classify import load_classifier
    from genolm.interpretation.explain import ExplainSettings, Method, explain_sequences
    from genolm.interpretation.motif_report import write_motifs
    from genolm.interpretation.targets import ScoreKind
    from genolm.models.builtin import find_model

    settings = ExplainSettings(
        method=cast(Method, method),
        class_name=class_name,
        score=cast(ScoreKind, score),
        deletions=deletions,
        window_bp=window_bp,
        batch_size=batch_size,
        seed=seed,
    )
    reporter = open_model_reporter()
    classifier = load_classifier(find_model(model))
    named = read_sequences(
        sequences,
        sequence_column=sequence_column or "sequence",
        id_column=id_column or "id",
        min_length_bp=classifier.scheme.min_length_bp,
    )
    if len(named.ids) > max_sequences:
        reporter.note(f"the first {max_sequences} of {len(named.ids):,} sequences (--max-sequences)")
    named = NamedSequences(named.ids[:max_sequences], named.sequences[:max_sequences])
    found = explain_sequences(classifier, named, output, settings=settings, bed=bed, reporter=reporter)
    if motifs or motif_database is not None:
        for line in write_motifs(
            named.sequences, found, output, database=motif_database, is_attention=method == "attention"
        ):
            print(line)
    print(f"table and figures: {output}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(explain)
