"""`genolm data split`, `negatives` and `export`: labeled data that does not flatter a model, and its card."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genolm.cli.console import (
    IdColumn,
    LabelColumn,
    SequenceColumn,
    SplitColumn,
    open_reporter,
    print_table,
)
from genolm.cli.genome import MirrorOption, OfflineOption, StoreOption

if TYPE_CHECKING:
    from genolm.corpus.labeled import ColumnNames
    from genolm.corpus.splitting.split_table import SplitSummary

TableOption = Annotated[
    Path, typer.Option(help="Table to write, NAME.csv or NAME.csv.gz; NAME.json beside it sums it up.")
]


def split(
    data: Annotated[str, typer.Argument(help="Sequences: CSV, TSV, JSONL, Parquet, FASTA, builtin:NAME.")],
    output: TableOption,
    method: Annotated[
        str,
        typer.Option(
            help="What stays on one side: clusters of similar sequences, blocks of a genome (columns contig, "
            "start, end), a group column, or nothing (random, which can leak)."
        ),
    ] = "clusters",
    identity: Annotated[
        float,
        typer.Option(
            help="Similar: this share of the k-mers of the smaller sequence in common; 0.5 leaves "
            "windows apart that overlap by less than half."
        ),
    ] = 0.1,
    kmer_bp: Annotated[int, typer.Option(help="Bases of a k-mer.")] = 12,
    engine: Annotated[
        str, typer.Option("--with", help="Who finds the clusters: own, or mmseqs where it is installed.")
    ] = "own",
    block_bp: Annotated[int, typer.Option(help="Bases of a block; 0: whole contigs.")] = 50_000,
    group_column: Annotated[str, typer.Option(help="Column of the groups, for --method group.")] = "",
    validation_fraction: Annotated[float, typer.Option(help="Share of the records to validate on.")] = 0.1,
    test_fraction: Annotated[float, typer.Option(help="Share of the records to test on.")] = 0.2,
    folds: Annotated[int, typer.Option(help="Folds of a cross-validation instead; 0: none.")] = 0,
    repeats: Annotated[int, typer.Option(help="Independent divisions into folds.")] = 1,
    sequence_column: SequenceColumn = None,
    label_column: LabelColumn = None,
    id_column: IdColumn = None,
    seed: Annotated[int, typer.Option(help="Seed of every choice.")] = 0,
) -> None:
    """Divide labeled sequences so that similar ones stay on one side, with equal shares of every class.

    The table keeps its columns and gets a column split (train, validation, test), or columns fold_1, fold_2
    ... with the number of the fold.
    """
    from dataclasses import asdict

    from genolm.corpus.builtin import resolve_source
    from genolm.corpus.promoter_table import get_summary_path
    from genolm.corpus.splitting.groups import ClusterSettings
    from genolm.corpus.splitting.split_table import SplitSettings, split_table, write_split_table
    from genolm.corpus.splitting.table import read_record_table
    from genolm.files import compute_sha256

    open_reporter()
    get_summary_path(output)
    settings = SplitSettings(
        method=method,  # type: ignore[arg-type]  # SplitSettings checks it
        clusters=ClusterSettings(identity=identity, kmer_bp=kmer_bp, engine=engine),  # type: ignore[arg-type]
        block_bp=block_bp,
        group_column=group_column,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        folds=folds,
        repeats=repeats,
    )
    path = resolve_source(data)
    columns = _name_columns(sequence=sequence_column, label=label_column, id=id_column)
    result = split_table(read_record_table(path, columns=columns), settings=settings, seed=seed)
    source = {"name": path.name, "sha256": compute_sha256(path)}
    write_split_table(
        result, output, provenance={"source": source, "settings": asdict(settings), "seed": seed}
    )
    _print_split(result.summary, output)


def negatives(
    positives: Annotated[
        str,
        typer.Argument(
            help="Positives, or a table with them: CSV, TSV, JSONL, Parquet, FASTA, builtin:NAME."
        ),
    ],
    method: Annotated[
        str,
        typer.Option(
            help="dinucleotide_shuffle, substitution (12 of 20 parts replaced), gc_matched (windows of a "
            "genome), intergenic (between genes), antisense_coding (on the back of coding sequence)."
        ),
    ],
    output: TableOption,
    genome: Annotated[
        str | None,
        typer.Option(help="Genome of the positives: a FASTA file, an accession, a name, builtin:."),
    ] = None,
    annotation: Annotated[
        Path | None,
        typer.Option(
            help="Genes of the genome: GFF3, GTF or GenBank.  [default: what came with the genome, if needed]"
        ),
    ] = None,
    aliases: Annotated[
        Path | None,
        typer.Option(
            help="Which names mean the same contig: NCBI's *_assembly_report.txt or UCSC's chromAlias.txt."
        ),
    ] = None,
    negatives_per_positive: Annotated[int, typer.Option(help="Negatives for each positive.")] = 1,
    min_distance_bp: Annotated[int, typer.Option(help="Bases between a window and any positive.")] = 150,
    min_start_distance_bp: Annotated[
        int, typer.Option(help="Bases between a window and the start of any annotated gene or transcript.")
    ] = 150,
    gc_bin_width: Annotated[
        float, typer.Option(help="Width of a bin of the GC fraction (gc_matched).")
    ] = 0.02,
    positive_label: Annotated[
        str | None, typer.Option(help="Label of the positives.  [default: the second of two labels]")
    ] = None,
    sequence_column: SequenceColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    id_column: IdColumn = None,
    seed: Annotated[int, typer.Option(help="Seed of every choice.")] = 0,
    store: StoreOption = None,
    offline: OfflineOption = False,
    mirror: MirrorOption = None,
) -> None:
    """Make negatives for positives, and write both as one table with their splits and places.

    Easy negatives make any model look good: compare several kinds.
    """
    from dataclasses import asdict

    from genolm.cli.genome import open_store
    from genolm.corpus.builtin import resolve_source
    from genolm.corpus.negatives.build import GENOME_METHODS, NegativeSettings, build_negatives
    from genolm.corpus.negatives.negative_table import read_positives, write_negative_set
    from genolm.corpus.promoter_table import get_summary_path
    from genolm.files import compute_sha256

    reporter = open_reporter()
    get_summary_path(output)
    settings = NegativeSettings(
        method=method,  # type: ignore[arg-type]  # NegativeSettings checks it
        negatives_per_positive=negatives_per_positive,
        min_distance_bp=min_distance_bp,
        min_start_distance_bp=min_start_distance_bp,
        gc_bin_width=gc_bin_width,
    )
    path = resolve_source(positives)
    columns = _name_columns(sequence=sequence_column, label=label_column, split=split_column, id=id_column)
    found, labels = read_positives(path, columns=columns, positive_label=positive_label)
    inputs: dict[str, Any] = {}
    provenance: dict[str, Any] = {"source": {"name": path.name, "sha256": compute_sha256(path)}}
    if genome is not None and method in GENOME_METHODS:
        opened = open_store(store, offline=offline, mirrors=mirror, reporter=reporter)
        inputs, described = _read_genome(genome, opened, annotation=annotation, aliases=aliases)
        provenance |= described
    result = build_negatives(found, settings=settings, labels=labels, seed=seed, **inputs)
    write_negative_set(result, output, provenance=provenance | {"settings": asdict(settings), "seed": seed})
    _print_negatives(result, output)


def export(
    data: Annotated[
        str,
        typer.Argument(help="Labeled sequences: CSV, TSV, FASTA, JSONL or Parquet, or builtin:NAME."),
    ],
    output: Annotated[Path, typer.Option(help="New folder: Parquet for each split, and a dataset card.")],
    license_id: Annotated[
        str | None, typer.Option("--license", help="License of the data for the card, such as cc-by-4.0.")
    ] = None,
    sequence_column: SequenceColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    id_column: IdColumn = None,
) -> None:
    """Write labeled sequences as a folder for the hub, with a card, which `datasets.load_dataset` reads."""
    from genolm.corpus.builtin import resolve_source
    from genolm.publishing.dataset_card import write_labeled_folder

    columns = _name_columns(sequence=sequence_column, label=label_column, split=split_column, id=id_column)
    written = write_labeled_folder(
        resolve_source(data), output, license=license_id, columns=columns, reporter=open_reporter()
    )
    records = ", ".join(f"{split} {number:,}" for split, number in written.records.items())
    print(f"{output}: {records} records; {written.total_bytes / 1e6:,.1f} MB of Parquet and README.md")


def _name_columns(**names: str | None) -> "ColumnNames":
    from genolm.corpus.labeled import ColumnNames

    return ColumnNames(**{kind: name for kind, name in names.items() if name is not None})


def _read_genome(
    text: str, store: Any, *, annotation: Path | None, aliases: Path | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of `build_negatives` that describe a genome, and their provenance."""
    from genolm.cli.genome import read_contig_names, resolve_one
    from genolm.corpus.negatives.annotation import read_features
    from genolm.files import compute_sha256
    from genolm.genome.lock_file import read_lock

    genome = resolve_one(text, store)
    if annotation is None and (lock := read_lock(genome.path.parent)):
        kept = lock.find_file("annotation")
        annotation = genome.path.parent / kept.name if kept else None
    provenance: dict[str, Any] = {"genome": {"name": genome.name, **genome.provenance}}
    inputs: dict[str, Any] = {"genome_path": genome.path, "aliases": read_contig_names(aliases, genome)}
    if annotation is not None:
        inputs["features"] = read_features(annotation.expanduser())
        provenance["annotation"] = {
            "name": annotation.name,
            "sha256": compute_sha256(annotation.expanduser()),
        }
    return inputs, provenance


def _print_split(summary: "SplitSummary", output: Path) -> None:
    classes = list(next(iter(summary.splits.values())))
    rows = []
    for name, counts in summary.splits.items():
        total = sum(counts.values())
        shares = [f"{counts[each]} ({counts[each] / total:.1%})" for each in classes]
        rows.append((name, str(total), *shares))
    print_table([("split", "records", *classes), *rows], title=f"{output.name}: {summary.records} records")
    print(f"{summary.groups} groups, the largest of {summary.largest_group} records")
    if closest := summary.closest_pair:
        print(f"closest pair across: {closest['share']:.2f} of the k-mers, {' and '.join(closest['ids'])}")
    else:
        print("closest pair across: none near the limit")


def _print_negatives(result: Any, output: Path) -> None:
    from genolm.corpus.negatives.negative_table import count_records

    counts = count_records(result)
    labels = list(next(iter(counts.values())))
    rows = [(name, *(str(each[label]) for label in labels)) for name, each in counts.items()]
    print_table([("split", *labels), *rows], title=f"{output.name}: {len(result.rows)} records")
    if result.missing or result.not_found:
        print(f"too few: {result.missing}; positives that are not in the genome: {result.not_found}")
