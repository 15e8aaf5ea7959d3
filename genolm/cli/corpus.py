"""`genolm corpus`: FASTA to Arrow."""

from pathlib import Path
from typing import Annotated

import typer

from genolm.cli.console import OutputOption, RecipeOption, SetOption, open_reporter


def build(
    genomes: Annotated[list[str], typer.Argument(help="FASTA files, plain or gzipped, or builtin: names.")],
    output: OutputOption,
    exclude: Annotated[
        list[Path] | None,
        typer.Option(
            help="What no model may see: intervals (.bed) or sequences (FASTA, CSV, ...), both strands."
        ),
    ] = None,
    exclude_margin_bp: Annotated[int, typer.Option(help="Bases also cut on both sides of each of them.")] = 0,
    recipe: RecipeOption = "quickstart",
    settings: SetOption = None,
) -> None:
    """Write genomes as a corpus: an Arrow dataset with splits, and base codes for training."""
    from genolm.corpus.build import build_corpus
    from genolm.corpus.builtin import resolve_source
    from genolm.corpus.labeled import read_sequences
    from genolm.genome.intervals import read_bed
    from genolm.pipeline import load_recipe

    reporter = open_reporter()
    corpus_settings = load_recipe(recipe, overrides=settings or []).corpus
    beds = [path for path in exclude or [] if path.suffix == ".bed"]
    others = [path for path in exclude or [] if path.suffix != ".bed"]
    with reporter.task("corpus", total=1):
        build_corpus(
            [resolve_source(genome) for genome in genomes],
            output,
            settings=corpus_settings,
            exclude=[interval for path in beds for interval in read_bed(path)],
            exclude_sequences=[sequence for path in others for sequence in read_sequences(path).sequences],
            exclude_margin_bp=exclude_margin_bp,
        )
    info(output)


def info(corpus: Annotated[Path, typer.Argument(help="A corpus folder.")]) -> None:
    """Show what a corpus holds."""
    import json

    from genolm.corpus.bases import read_corpus_info

    print(json.dumps(read_corpus_info(corpus), indent=2))


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Genomes as training corpora.", no_args_is_help=True)
    group.command()(build)
    group.command()(info)
    app.add_typer(group, name="corpus")
