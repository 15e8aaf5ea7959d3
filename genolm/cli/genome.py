"""`genolm genome`: the catalogue, downloads, what is stored, and whether it is still what it was."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genolm.cli.console import open_reporter, print_table

if TYPE_CHECKING:
    from genolm.genome.download.transfer import Checksum
    from genolm.genome.lock_file import GenomeLock
    from genolm.genome.store import Genome, GenomeStore, Outcome
    from genolm.progress import Reporter

StoreOption = Annotated[
    Path | None,
    typer.Option(help="Folder of downloaded genomes.  [default: $GENOLM_GENOMES, or the user's cache]"),
]
OfflineOption = Annotated[bool, typer.Option("--offline", help="Ask no server; use what is stored.")]
MirrorOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=URL",
        help="Another server for ncbi, ncbi-api, ucsc, ensembl, ensembl-genomes or epdnew "
        "(also $GENOLM_MIRRORS).",
    ),
]
_LOCK_COLUMNS = ("folder", "Mb", "GC", "contigs", "annotation")


def open_store(
    folder: Path | None,
    *,
    offline: bool = False,
    mirrors: list[str] | None = None,
    allowed_hosts: list[str] | None = None,
    reporter: Reporter | None = None,
) -> GenomeStore:
    """Return the store that the options --store, --offline, --mirror and --allow-host mean."""
    from genolm.genome.providers.remote import build_endpoints, build_transfer_settings
    from genolm.genome.store import GenomeStore

    endpoints = build_endpoints(mirrors or [])
    settings = build_transfer_settings(endpoints, allowed_hosts=allowed_hosts or [], offline=offline)
    return GenomeStore(folder, endpoints=endpoints, settings=settings, reporter=reporter)


def list_genomes(
    text: Annotated[str, typer.Argument(help="Part of a name, accession, organism or assembly.")] = "",
    group: Annotated[str | None, typer.Option(help="Only the members of this group.")] = None,
    downloaded: Annotated[bool, typer.Option("--downloaded", help="Only what is in the store.")] = False,
    store: StoreOption = None,
) -> None:
    """List the catalogue and its groups, or what is in the store."""
    from genolm.genome.providers.catalog import GROUPS, search_catalog
    from genolm.genome.store import get_genome_name

    stored = {get_genome_name(each.lock): each.lock for each in open_store(store).list_genomes()}
    entries = search_catalog(text, group=group)
    if not downloaded:
        rows: list[tuple[str, ...]] = [
            (
                each.name,
                each.accession,
                each.organism,
                f"{each.size_mb:g}",
                "yes" if each.name in stored else "-",
            )
            for each in entries
        ]
        total_mb = sum(each.size_mb for each in entries)
        title = f"{len(entries)} genomes, {total_mb:,.0f} Mb"
        print_table([("name", "accession", "organism", "Mb", "stored"), *rows], title=title)
        for name in GROUPS if not text and group is None else ():
            print(f"group {name} ({len(search_catalog(group=name))}): {GROUPS[name]}")
        return
    members = {entry.name for entry in entries}
    rows = [
        (name, lock.organism or "-", *_describe_lock(lock))
        for name, lock in stored.items()
        if name in members or (group is None and text.casefold() in f"{name} {lock.source}".casefold())
    ]
    print_table([("name", "organism", *_LOCK_COLUMNS), *rows], title="Downloaded genomes")


def download(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names or groups of the catalogue, GCF_000005845.2, ncbi:NAME_OR_TAXID, ucsc:hg38, "
            "ensembl:homo_sapiens@112, ensembl-plants:NAME@59, https://..., or local files."
        ),
    ] = None,
    from_file: Annotated[Path | None, typer.Option("--from", help="A file with one source a line.")] = None,
    annotation: Annotated[bool, typer.Option("--annotation", help="The genes (GFF, GTF) as well.")] = False,
    store: StoreOption = None,
    offline: OfflineOption = False,
    sha256: Annotated[str | None, typer.Option(help="Checksum of the one https://... or file.")] = None,
    md5: Annotated[str | None, typer.Option(help="Checksum of the one https://... or file.")] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="HOST", help="A server that https://... may lead to.")
    ] = None,
    mirror: MirrorOption = None,
) -> None:
    """Download genomes, verified; the same command again goes on where it stopped."""
    from genolm.genome.providers.sources import read_sources
    from genolm.genome.store import raise_failures

    reporter = open_reporter()
    found = read_sources(sources or [], from_file)
    checksum = _build_checksum(sha256, md5, num_sources=len(found))
    genomes = open_store(store, offline=offline, mirrors=mirror, allowed_hosts=allow_host, reporter=reporter)
    outcomes = []
    for outcome in genomes.download_many(found, annotation=annotation, checksum=checksum):
        outcomes.append(outcome)
        if outcome.error and len(found) > 1:
            reporter.note(f"{outcome.source.shown}: {outcome.error}")
    if any(outcome.stored for outcome in outcomes):
        rows = [("source", "state", *_LOCK_COLUMNS), *map(_describe_outcome, outcomes)]
        print_table(rows, title=f"Genomes in {genomes.folder}")
    raise_failures(outcomes)


def info(
    source: Annotated[str, typer.Argument(help="As for download; or the name of a stored genome.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    store: StoreOption = None,
    offline: OfflineOption = False,
    mirror: MirrorOption = None,
) -> None:
    """Show what is stored of a genome, what a FASTA file holds, or what the provider has."""
    import json

    from genolm.corpus.builtin import PREFIX, resolve_source
    from genolm.genome.description import describe_text

    genomes = open_store(store, offline=offline, mirrors=mirror, reporter=open_reporter())
    path = resolve_source(source) if source.startswith(PREFIX) else source
    values = describe_text(str(path), store=genomes)
    if as_json:
        print(json.dumps(values[0] if len(values) == 1 else values, indent=2))
        return
    for value in values:
        for key, item in value.items():
            if key == "files":
                for file in item:
                    print(f"{file['role']:<22}{file['name']}  {file.get('verified_by', file['url'])}")
            elif item not in ("", [], ()):
                print(f"{key:<22}{', '.join(item) if isinstance(item, list | tuple) else item}")
        print()


def verify(
    names: Annotated[
        list[str] | None, typer.Argument(help="Stored genomes, or their sources.  [default: all]")
    ] = None,
    store: StoreOption = None,
) -> None:
    """Read stored files again and compare them with their checksums; exit code 3 if one differs."""
    from genolm.genome.verification import raise_problems, verify_genomes

    genomes = open_store(store, offline=True, reporter=open_reporter())
    checks = verify_genomes(genomes, names or [])
    rows = [(each.genome, each.file, f"{each.bytes / 1e6:.1f}", each.problem or "ok") for each in checks]
    print_table([("genome", "file", "MB", "state"), *rows], title=f"Genomes in {genomes.folder}")
    raise_problems(checks)


def resolve_one(text: str, genomes: Any) -> Genome:
    """Return the one genome that a text names, downloaded if need be."""
    from genolm.corpus.builtin import resolve_genomes
    from genolm.errors import SettingsError

    found = resolve_genomes([text], store=genomes)
    if len(found) != 1:
        raise SettingsError(
            found=f"{len(found)} genomes under '{text}'",
            expected="the one that the start sites belong to",
            remedy=f"choose one of {', '.join(each.name for each in found)}",
        )
    return found[0]


def read_contig_names(path: Path | None, genome: Genome) -> dict[str, str] | None:
    """Read the table that was given, or the assembly report that the store keeps beside the genome."""
    from genolm.genome.lock_file import read_lock
    from genolm.genome.promoters import read_contig_aliases

    if path is None and (lock := read_lock(genome.path.parent)):
        report = lock.find_file("assembly_report")
        path = genome.path.parent / report.name if report else None
    return read_contig_aliases(path) if path else None


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Genomes: catalogue, downloads, verification.", no_args_is_help=True)
    group.command("list")(list_genomes)
    group.command()(download)
    group.command()(info)
    group.command()(verify)
    app.add_typer(group, name="genome")


def _build_checksum(sha256: str | None, md5: str | None, *, num_sources: int) -> Checksum | None:
    from genolm.errors import SettingsError
    from genolm.genome.download.transfer import Checksum

    if sha256 is None and md5 is None:
        return None
    if num_sources != 1 or (sha256 and md5):
        raise SettingsError(
            found=f"{num_sources} sources, and --sha256 or --md5",
            expected="one source and one checksum",
            remedy="run one command per file",
        )
    return Checksum("sha256", sha256) if sha256 else Checksum("md5", md5 or "")


def _describe_outcome(outcome: Outcome) -> tuple[str, ...]:
    if outcome.stored is None:
        return (outcome.source.shown, "failed", *["-"] * len(_LOCK_COLUMNS))
    state = "downloaded" if outcome.is_new else "stored"
    return (outcome.source.shown, state, *_describe_lock(outcome.stored.lock))


def _describe_lock(lock: GenomeLock) -> tuple[str, ...]:
    statistics, has_annotation = lock.statistics, lock.find_file("annotation") is not None
    size = f"{statistics.total_bp / 1e6:.2f}"
    gc = f"{statistics.gc_fraction:.3f}"
    return (lock.name, size, gc, str(statistics.contigs), "yes" if has_annotation else "-")
