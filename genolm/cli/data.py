"""`genolm data`: labeled sequences from public sources, and what is wrong with them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genolm.cli.console import RecipeOption, SetOption, open_reporter, print_table
from genolm.cli.genome import MirrorOption, OfflineOption, StoreOption

if TYPE_CHECKING:
    from genolm.corpus.promoter_table import WindowSummary


def promoters(
    sites: Annotated[
        str,
        typer.Argument(
            help="Start sites: EPDnew's .bed or .sga, any BED of 1-bp features, or epdnew:hg38 and the like, "
            "downloaded if need be."
        ),
    ],
    genome: Annotated[
        str,
        typer.Option(
            help="Genome: a FASTA file, an accession, a name of the catalogue; downloaded if need be."
        ),
    ],
    output: Annotated[
        Path, typer.Option(help="Table to write, NAME.csv or NAME.csv.gz; NAME.json beside it sums it up.")
    ],
    upstream_bp: Annotated[int, typer.Option(help="Bases before the start site.")] = 249,
    downstream_bp: Annotated[
        int, typer.Option(help="Bases from the start site onwards, itself included.")
    ] = 51,
    negatives_per_positive: Annotated[
        int, typer.Option(help="Windows drawn elsewhere for each promoter of the same contig and split.")
    ] = 1,
    min_distance_bp: Annotated[int, typer.Option(help="Bases between these and any promoter window.")] = 1000,
    aliases: Annotated[
        Path | None,
        typer.Option(
            help="Which names mean the same contig: NCBI's *_assembly_report.txt or UCSC's chromAlias.txt.  "
            "[default: the assembly report that came with the genome]"
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Split by blocks, contigs or another rule, or none.  [default: the recipe's corpus]"
        ),
    ] = None,
    block_bp: Annotated[
        int | None, typer.Option(help="Bases of a block.  [default: the recipe's corpus]")
    ] = None,
    validation_contigs: Annotated[
        list[str] | None, typer.Option(help="Contig to validate on, with --split contigs; repeatable.")
    ] = None,
    test_contigs: Annotated[
        list[str] | None, typer.Option(help="Contig to test on, with --split contigs; repeatable.")
    ] = None,
    recipe: RecipeOption = "quickstart",
    settings: SetOption = None,
    seed: Annotated[int, typer.Option(help="Seed of the windows that are drawn.")] = 0,
    store: StoreOption = None,
    offline: OfflineOption = False,
    mirror: MirrorOption = None,
) -> None:
    """Cut windows around transcription start sites, and as many elsewhere, labeled promoter and other.

    The split is that of the recipe's corpus, so that a language model which was pretrained on a corpus of the
    same settings has not seen what is held out here.
    """
    from dataclasses import asdict

    from genolm.cli.genome import open_store, read_contig_names, resolve_one
    from genolm.config import read_recipe_part
    from genolm.corpus.promoter_table import get_summary_path, write_promoter_windows
    from genolm.corpus.promoter_windows import PromoterWindowSettings, build_promoter_windows
    from genolm.corpus.settings import CorpusSettings
    from genolm.files import compute_sha256
    from genolm.genome.promoters import EPDNEW_PREFIX, read_promoter_sites

    reporter = open_reporter()
    get_summary_path(output)
    named = {
        "split": split,
        "block_bp": block_bp,
        "validation_contigs": validation_contigs,
        "test_contigs": test_contigs,
    }
    changes = [f"corpus.{name}={json.dumps(value)}" for name, value in named.items() if value]
    corpus_settings = read_recipe_part(
        CorpusSettings, "corpus", recipe, overrides=[*(settings or []), *changes]
    )
    window_settings = PromoterWindowSettings(
        upstream_bp=upstream_bp,
        downstream_bp=downstream_bp,
        negatives_per_positive=negatives_per_positive,
        min_distance_bp=min_distance_bp,
        corpus=corpus_settings,
    )
    genomes = open_store(store, offline=offline, mirrors=mirror, reporter=reporter)
    is_epdnew = sites.startswith(EPDNEW_PREFIX)
    sites_path = genomes.fetch_epdnew(sites) if is_epdnew else Path(sites).expanduser()
    found_sites = read_promoter_sites(sites_path)
    found_genome = resolve_one(genome, genomes)
    windows = build_promoter_windows(
        found_genome.path,
        found_sites,
        settings=window_settings,
        seed=seed,
        aliases=read_contig_names(aliases, found_genome),
        assembly=found_genome.name,
    )
    described = asdict(window_settings)
    described["corpus"]["regions"] = Path(corpus_settings.regions).name  # no local path
    provenance = {
        "promoters": {
            "source": sites if is_epdnew else sites_path.name,
            "sha256": compute_sha256(sites_path),
        },
        "genome": {"name": found_genome.name, **found_genome.provenance},
        "settings": described,
        "seed": seed,
    }
    write_promoter_windows(windows, output, provenance=provenance)
    _print_summary(windows.summary, output)


def _print_summary(summary: "WindowSummary", output: Path) -> None:
    from genolm.corpus.promoter_table import LABELS

    rows = [(name, *(str(counts[label]) for label in LABELS)) for name, counts in summary.splits.items()]
    print_table([("split", *LABELS), *rows], title=f"{output.name}: {summary.sites} start sites")
    dropped = ", ".join(f"{name} {number}" for name, number in summary.dropped.items())
    print(f"left out: {dropped}; no room elsewhere: {summary.missing_negatives}")
    print(f"AUROC of the GC fraction alone: {summary.gc_auroc:.3f}")


def register(app: typer.Typer) -> None:
    """Add the group."""
    from genolm.cli.audit import check
    from genolm.cli.data_tools import export, negatives, split

    group = typer.Typer(help="Labeled sequences.", no_args_is_help=True)
    for command in (check, split, negatives, promoters, export):
        group.command()(command)
    app.add_typer(group, name="data")
