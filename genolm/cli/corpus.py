"""`genolm corpus`: FASTA to Arrow."""

from pathlib import Path
from typing import Annotated

import typer

from genolm.cli.console import OutputOption, RecipeOption, SetOption, open_reporter, print_table
from genolm.cli.genome import MirrorOption, OfflineOption, StoreOption

CorpusArgument = Annotated[Path, typer.Argument(help="A corpus folder.")]


def build(
    genomes: Annotated[
        list[str],
        typer.Argument(
            help="Genomes: FASTA files, accessions, names or groups of the catalogue, builtin: names; "
            "downloaded if need be."
        ),
    ],
    output: OutputOption,
    exclude: Annotated[
        list[Path] | None,
        typer.Option(
            help="What no model may learn from: intervals (.bed) or sequences (FASTA, CSV, ...), on both "
            "strands; cut out of train, or with --set corpus.exclude_from=all out of every split."
        ),
    ] = None,
    exclude_margin_bp: Annotated[int, typer.Option(help="Bases also cut on both sides of each of them.")] = 0,
    strip_gaps: Annotated[
        bool, typer.Option("--strip-gaps", help="Remove the letters - . * instead of refusing them.")
    ] = False,
    duplicate_ids: Annotated[
        str, typer.Option(help="What to do with a record id that comes twice: refuse or rename.")
    ] = "refuse",
    workers: Annotated[
        int | None, typer.Option(help="Processes that read genomes.  [default: one a core]")
    ] = None,
    recipe: RecipeOption = "quickstart",
    settings: SetOption = None,
    store: StoreOption = None,
    offline: OfflineOption = False,
    mirror: MirrorOption = None,
) -> None:
    """Write genomes as a corpus: an Arrow dataset with splits, and base codes for training."""
    from genolm.cli.genome import open_store
    from genolm.config import read_recipe_part
    from genolm.corpus.build import build_corpus
    from genolm.corpus.builtin import resolve_genomes
    from genolm.corpus.labeled import read_sequences
    from genolm.corpus.settings import CorpusSettings
    from genolm.genome.intervals import read_bed

    reporter = open_reporter()
    overrides = [*(settings or [])]
    if strip_gaps:
        overrides.append("corpus.strip_gaps=true")
    if duplicate_ids != "refuse":
        overrides.append(f"corpus.duplicate_ids={duplicate_ids}")
    corpus_settings = read_recipe_part(CorpusSettings, "corpus", recipe, overrides=overrides)
    beds = [path for path in exclude or [] if path.name.removesuffix(".gz").endswith(".bed")]
    others = [path for path in exclude or [] if path not in beds]
    build_corpus(
        resolve_genomes(genomes, store=open_store(store, offline=offline, mirrors=mirror, reporter=reporter)),
        output,
        settings=corpus_settings,
        exclude=[interval for path in beds for interval in read_bed(path)],
        exclude_sequences=[sequence for path in others for sequence in read_sequences(path).sequences],
        exclude_margin_bp=exclude_margin_bp,
        workers=workers,
        reporter=reporter,
    )
    info(output)


def info(
    corpus: CorpusArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print corpus.json instead of tables.")] = False,
    figure: Annotated[
        Path | None, typer.Option(help="Also draw the genomes and their splits into this file (.png, .svg).")
    ] = None,
) -> None:
    """Show what a corpus holds: genomes, splits, GC, N, soft-masked share, what was left out."""
    import json

    from genolm.corpus.bases import read_corpus_info
    from genolm.corpus.overview import build_overview, plot_corpus

    content = read_corpus_info(corpus)
    if as_json:
        print(json.dumps(content, indent=2))
    else:
        for table in build_overview(content):
            print_table(table.rows, title=table.title)
    if figure is not None:
        plot_corpus(content, figure)


def export(
    corpus: CorpusArgument,
    output: OutputOption,
    card: Annotated[
        bool,
        typer.Option("--card", help="Write a full dataset card as README.md: origin, checksums, lengths."),
    ] = False,
    license_id: Annotated[
        str | None, typer.Option("--license", help="License of the data for the card, such as cc-by-4.0.")
    ] = None,
) -> None:
    """Write a corpus as a folder of Parquet files that can be uploaded to the hub, and streamed."""
    from genolm.corpus.export import export_parquet
    from genolm.publishing.card.hub_rules import check_license
    from genolm.publishing.dataset_card import write_corpus_folder

    check_license(license_id)
    with open_reporter().task("export", total=1):
        if card or license_id:
            summary = write_corpus_folder(corpus, output, license=license_id)
        else:
            summary = export_parquet(corpus, output)
    files = ", ".join(f"{split} {number}" for split, number in summary.files.items())
    print(f"{output}: {summary.total_bytes / 1e6:,.1f} MB of Parquet; files: {files}")


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Genomes as training corpora.", no_args_is_help=True)
    group.command()(build)
    group.command()(info)
    group.command()(export)
    app.add_typer(group, name="corpus")
