"""`genolm embed` and `genolm score`: what a model makes of sequences that have no labels."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from genolm.cli.console import IdColumn, SequenceColumn, open_model_reporter

SequencesArgument = Annotated[
    Path, typer.Argument(help="FASTA, CSV, TSV, JSONL or Parquet with a sequence column.")
]
BatchSizeOption = Annotated[int, typer.Option(min=1, help="Sequences at a time.")]
DeviceOption = Annotated[
    str | None, typer.Option(help="Where to compute, such as cpu.  [default: a GPU if there is one]")
]


def embed(
    sequences: SequencesArgument,
    model: Annotated[str, typer.Option(help="Folder of a model, or the name of one that ships with genolm.")],
    output: Annotated[Path, typer.Option(help="File to write: .npz, .parquet or .tsv.")],
    pooling: Annotated[
        Literal["mean", "max", "last", "cls"],
        typer.Option(help="How the vectors of the tokens become one; cls is for a BERT or ModernBERT."),
    ] = "mean",
    layer: Annotated[int, typer.Option(help="0 is the embedding, 1 the first layer, -1 the last.")] = -1,
    both_strands: Annotated[
        bool, typer.Option("--both-strands", help="The mean over a sequence and its reverse complement.")
    ] = False,
    sequence_column: SequenceColumn = None,
    id_column: IdColumn = None,
    batch_size: BatchSizeOption = 64,
    device: DeviceOption = None,
) -> None:
    """Write a vector for each sequence: what a model has computed before its head, pooled over the tokens."""
    from genolm.corpus.labeled import read_sequences
    from genolm.inference.embed import embed as embed_sequences
    from genolm.inference.loading import load_model
    from genolm.inference.vector_files import check_vector_path, write_vectors

    check_vector_path(output)
    reporter = open_model_reporter()
    loaded = load_model(model, device=device)
    named = read_sequences(
        sequences,
        sequence_column=sequence_column or "sequence",
        id_column=id_column or "id",
        min_length_bp=loaded.scheme.min_length_bp,
    )
    vectors = embed_sequences(
        loaded,
        named.sequences,
        pooling=pooling,
        layer=layer,
        both_strands=both_strands,
        batch_size=batch_size,
        reporter=reporter,
    )
    write_vectors(output, vectors, ids=named.ids)
    print(f"{len(vectors):,} vectors of {vectors.shape[1]:,} numbers in {output}")


def score(
    sequences: SequencesArgument,
    model: Annotated[str, typer.Option(help="Folder of a language model, causal or masked.")],
    output: Annotated[
        Path | None, typer.Option(help="TSV file to write.  [default: the output stream]")
    ] = None,
    sequence_column: SequenceColumn = None,
    id_column: IdColumn = None,
    batch_size: BatchSizeOption = 32,
    device: DeviceOption = None,
) -> None:
    """Write the bits per base that a language model needs for each sequence; a uniform model needs 2."""
    from genolm.corpus.labeled import read_sequences
    from genolm.errors import SettingsError
    from genolm.files import write_text
    from genolm.inference.loading import load_model, require_language_model
    from genolm.inference.score import score as score_sequences
    from genolm.inference.vector_files import build_score_table

    if output is not None and output.is_dir():
        raise SettingsError(
            found=f"the folder {output}", expected="a file name for the table", remedy="add one to --output"
        )
    reporter = open_model_reporter()
    loaded = require_language_model(load_model(model, device=device))
    named = read_sequences(
        sequences,
        sequence_column=sequence_column or "sequence",
        id_column=id_column or "id",
        min_length_bp=loaded.scheme.min_length_bp,
    )
    scores = score_sequences(loaded, named.sequences, batch_size=batch_size, reporter=reporter)
    text = "".join("\t".join(row) + "\n" for row in build_score_table(scores, ids=named.ids))
    if output is None:
        sys.stdout.write(text)
    else:
        write_text(output, text)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(embed)
    app.command()(score)
