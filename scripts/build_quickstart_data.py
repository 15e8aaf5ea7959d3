#!/usr/bin/env python
"""Build the data of the quickstart: the genome of E. coli K-12 MG1655 and a labeled set of its promoters.

    python scripts/build_quickstart_data.py [--source ARCHIVE.tar.gz] [--output genolm/builtin_data]

Three tables are read out of the source archive of the PyPI package vecoli (MIT); the package is not
installed. The same archive gives the same bytes. The rules are in the README.md that is written beside them.
"""

import argparse
import csv
import gzip
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.alphabet import Codes, decode_bases, encode_bases, reverse_complement
from genolm.errors import DataError
from genolm.files import atomic_path, compute_sha256, write_json

GENOME_FILE = "ecoli_k12_mg1655.fa.gz"
PROMOTERS_FILE = "ecoli_promoters.csv.gz"
LICENSE_FILE = "LICENSE.vecoli"
CSV_COLUMNS = ("sequence", "label", "split", "id")
LABEL_NAMES = ("other", "promoter")
SPLITS = ("train", "validation", "test")
STOP_CODONS = ("TAA", "TAG", "TGA")
START_CODONS = ("ATG", "GTG", "TTG", "CTG", "ATT", "ATC", "ATA")  # the starts of NCBI translation table 11
FASTA_COLUMNS = 80
LEAKAGE_K = 31


@dataclass(frozen=True, kw_only=True)
class ArchiveSettings:
    """Which archive is read, and what must be true of it."""

    package: str = "vecoli"
    version: str = "1.1.2.post3"
    sha256: str = "8fd1bcb1b3cb2c6cd5a496eb39afbeb9eaf2c125327549b98b761158899848ae"
    tables_folder: str = "reconstruction/ecoli/flat"
    accession: str = "U00096.3"
    genome_bp: int = 4_641_652


@dataclass(frozen=True, kw_only=True)
class WindowSettings:
    """Where the windows lie and how they are split; lengths in bp."""

    upstream_bp: int = 60  # bases before the 5' end
    downstream_bp: int = 20  # bases after it
    min_leader_bp: int = 1  # distance from the 5' end to the first gene
    max_leader_bp: int = 600
    negatives_per_positive: int = 2
    min_distance_bp: int = 150  # from a negative to any promoter's 5' end, on either strand
    block_bp: int = 50_000
    blocks_per_cycle: int = 10
    validation_blocks: tuple[int, ...] = (5,)  # block index modulo blocks_per_cycle
    test_blocks: tuple[int, ...] = (3, 8)
    edge_bp: int = 200  # windows nearer than this to a block edge where the split changes are dropped
    seed: int = 0

    @property
    def window_bp(self) -> int:
        """Length of every window."""
        return self.upstream_bp + 1 + self.downstream_bp


class Archive(NamedTuple):
    """What is read out of the source archive."""

    sha256: str
    license_text: str
    header: str
    sequence: str
    genes: list[dict[str, Any]]
    units: list[dict[str, Any]]
    comments: dict[str, str]


class Gene(NamedTuple):
    """One gene with a place, 0-based half-open; `is_coding` says that it reads as protein."""

    symbol: str
    start: int
    end: int
    strand: str
    is_coding: bool


class PromoterEnd(NamedTuple):
    """The 5' end (0-based base) and strand of a transcription unit."""

    position: int
    strand: str
    unit_id: str


class Window(NamedTuple):
    """One labeled window, 0-based half-open, with its sequence as read on `strand`."""

    start: int
    end: int
    strand: str
    label: int
    split: str
    id: str
    sequence: str


class WindowSet(NamedTuple):
    """All windows in the order of the genome, and how many of what was seen on the way."""

    windows: list[Window]
    counts: dict[str, int]


# Reading ------------------------------------------------------------------------------------------------


def parse_table(text: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    r"""Return the rows of a table with one JSON value a cell, and its `# name: value` comments.

    >>> parse_table('# Version: 29.1\n"id"\t"left_end_pos"\n"EG1"\t7\n')
    ([{'id': 'EG1', 'left_end_pos': 7}], {'Version': '29.1'})
    """
    lines = text.splitlines()
    comments = dict(
        line[1:].strip().split(": ", 1) for line in lines if line.startswith("#") and ": " in line
    )
    header, *rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    names = [json.loads(name) for name in header]
    return [{name: json.loads(cell) for name, cell in zip(names, row, strict=True)} for row in rows], comments


def read_archive(path: Path, *, settings: ArchiveSettings) -> Archive:
    """Read license, genome, genes and transcription units out of the .tar.gz, unpacking nothing to disk.

    Raises DataError if the archive or the genome is not the expected one.
    """
    sha256 = compute_sha256(path)
    if sha256 != settings.sha256:
        raise DataError(
            found=f"sha256 {sha256} for {path.name}",
            expected=settings.sha256,
            remedy=f"give the source archive of {settings.package} {settings.version} from PyPI",
        )
    root = f"{settings.package}-{settings.version}"
    names = ["sequence.fasta", "genes.tsv", "transcription_units.tsv"]
    with tarfile.open(path) as archive:
        paths = [f"{root}/LICENSE", *(f"{root}/{settings.tables_folder}/{name}" for name in names)]
        texts = [archive.extractfile(name).read().decode() for name in paths]  # type: ignore[union-attr]
    header, *lines = texts[1].splitlines()
    sequence = "".join(lines).upper()
    if header[1:].split()[0] != settings.accession or len(sequence) != settings.genome_bp:
        raise DataError(
            found=f"{len(sequence)} bp under '{header}'",
            expected=f"{settings.genome_bp} bp of {settings.accession}",
            remedy="use the archive named in ArchiveSettings",
        )
    genes, _ = parse_table(texts[2])
    units, comments = parse_table(texts[3])
    return Archive(sha256, texts[0], header[1:], sequence, genes, units, comments)


# Windows ------------------------------------------------------------------------------------------------


def is_open_frame(sequence: str) -> bool:
    """Tell whether a sequence reads as one protein: start codon, stop codon at the end, none before.

    >>> [is_open_frame(s) for s in ("ATGAAATAA", "ATGTAATAA", "ATGAAATA", "AAAAAATAA")]
    [True, False, False, False]
    """
    if len(sequence) % 3 or len(sequence) < 6:
        return False
    codons = np.frombuffer(sequence.encode(), dtype="S3")
    is_stop = np.isin(codons, np.array(STOP_CODONS, dtype="S3"))
    return bool(is_stop[-1]) and not is_stop[:-1].any() and sequence[:3] in START_CODONS


def build_genes(rows: Iterable[dict[str, Any]], *, codes: Codes) -> dict[str, Gene]:
    """Return the genes that have a place and a direction, by id; 1-based table, 0-based result.

    A gene codes for protein if the table gives it a messenger (`<gene id>_RNA`; tRNA, rRNA and many small RNA
    genes name their product instead) and if its sequence is one open frame, which leaves out the other
    small RNAs and the pseudogenes.
    """
    genes = {}
    for row in rows:
        if row["left_end_pos"] is None or row["direction"] is None:
            continue
        start, end = row["left_end_pos"] - 1, row["right_end_pos"]
        own = codes[start:end] if row["direction"] == "+" else reverse_complement(codes[start:end])
        is_coding = row["rna_ids"] == [f"{row['id']}_RNA"] and is_open_frame(decode_bases(own))
        genes[row["id"]] = Gene(row["symbol"] or row["id"], start, end, row["direction"], is_coding)
    return genes


def find_promoter_ends(
    units: Iterable[dict[str, Any]], *, genes: dict[str, Gene], settings: WindowSettings
) -> list[PromoterEnd]:
    """Return each distinct 5' end that lies `min_leader_bp` to `max_leader_bp` before its unit's first gene.

    The first gene is the one nearest to the 5' end, and must have the unit's direction. Where units share an
    end, the first in the table names it. Sorted by position, then strand.
    """
    ends: dict[tuple[int, str], PromoterEnd] = {}
    for unit in units:
        members = [genes[name] for name in unit["genes"] if name in genes]
        if not members:
            continue
        if unit["direction"] == "+":
            first = min(members, key=lambda gene: gene.start)
            position = unit["left_end_pos"] - 1
            leader_bp = first.start - position
        else:
            first = max(members, key=lambda gene: gene.end)
            position = unit["right_end_pos"] - 1
            leader_bp = position - (first.end - 1)
        in_reach = settings.min_leader_bp <= leader_bp <= settings.max_leader_bp
        if in_reach and first.strand == unit["direction"]:
            key = (position, first.strand)
            ends.setdefault(key, PromoterEnd(*key, unit["id"]))
    return [ends[key] for key in sorted(ends)]


def compute_splits(
    starts: npt.NDArray[np.int64], *, genome_bp: int, settings: WindowSettings
) -> npt.NDArray[np.str_]:
    """Return the split of every window by genome block, or "" for one near an edge where the split changes.

    `starts` is int64 [windows]. A window that spans such an edge is near it. The genome is a circle: its
    origin is an edge too.
    """
    num_blocks = -(-genome_bp // settings.block_bp)
    phase = np.arange(num_blocks) % settings.blocks_per_cycle
    of_block = np.full(num_blocks, "train", dtype=f"U{max(map(len, SPLITS))}")
    of_block[np.isin(phase, settings.validation_blocks)] = "validation"
    of_block[np.isin(phase, settings.test_blocks)] = "test"
    changed = np.flatnonzero(of_block != np.roll(of_block, 1)) * settings.block_bp
    edges = np.sort(np.concatenate([changed, changed[changed == 0] + genome_bp]))

    splits = of_block[starts // settings.block_bp]
    margin = settings.edge_bp
    first_beyond = np.searchsorted(edges, starts - margin, side="right")
    first_after = np.searchsorted(edges, starts + settings.window_bp + margin, side="left")
    splits[first_beyond < first_after] = ""
    return splits


def place_windows(
    starts: npt.NDArray[np.int64],
    *,
    is_minus: npt.NDArray[np.bool_],
    label: int,
    ids: Sequence[str],
    codes: Codes,
    settings: WindowSettings,
) -> list[Window]:
    """Return the windows at `starts`, each read on its strand, with the split of its block (or "")."""
    window_bp = settings.window_bp
    splits = compute_splits(starts, genome_bp=len(codes), settings=settings)
    bases = np.lib.stride_tricks.sliding_window_view(codes, window_bp)[starts]
    bases = np.where(is_minus[:, None], reverse_complement(bases), bases)
    columns = zip(starts.tolist(), is_minus, splits.tolist(), ids, bases, strict=True)
    return [
        Window(start, start + window_bp, "-" if minus else "+", label, split, name, decode_bases(own))
        for start, minus, split, name, own in columns
    ]


def keep_usable(windows: Iterable[Window]) -> list[Window]:
    """Return the windows with a split and plain bases only, the first of each sequence on either strand."""
    unique: dict[str, Window] = {}
    for window in windows:
        if window.split and "N" not in window.sequence:
            opposite = decode_bases(reverse_complement(encode_bases(window.sequence)))
            unique.setdefault(min(window.sequence, opposite), window)
    return list(unique.values())


def build_positives(
    ends: Sequence[PromoterEnd], *, codes: Codes, accession: str, settings: WindowSettings
) -> WindowSet:
    """Return the usable windows around promoter ends, none of which crosses the origin of the genome."""
    is_minus = np.array([end.strand == "-" for end in ends], dtype=bool)
    before_bp = np.where(is_minus, settings.downstream_bp, settings.upstream_bp)
    starts = np.array([end.position for end in ends], dtype=np.int64) - before_bp
    ids = np.array([f"{accession}:{end.position + 1}{end.strand}:{end.unit_id}" for end in ends])
    inside = (starts >= 0) & (starts + settings.window_bp <= len(codes))
    placed = place_windows(
        starts[inside],
        is_minus=is_minus[inside],
        label=1,
        ids=ids[inside].tolist(),
        codes=codes,
        settings=settings,
    )
    usable = keep_usable(placed)
    num_near_edge = sum(not window.split for window in placed)
    counts = {
        "promoter_ends": len(ends),
        "promoters_across_origin": len(ends) - len(placed),
        "promoters_near_split_edge": num_near_edge,
        "promoters_repeated_or_ambiguous": len(placed) - num_near_edge - len(usable),
    }
    return WindowSet(usable, counts)


def find_antisense_cells(
    genes: Sequence[Gene], *, ends: Sequence[PromoterEnd], genome_bp: int, settings: WindowSettings
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return start and gene index of every cell of a grid over the genome that lies in one coding gene alone.

    Both are int64 [cells]. The cells are `window_bp` long and do not overlap; one that touches a second
    gene, or is nearer than `min_distance_bp` to a promoter end, is left out. Cells of one gene share their
    reading frame, those of different genes do not.
    """
    window_bp = settings.window_bp
    owner = np.full(genome_bp // window_bp, -1, dtype=np.int64)
    num_genes = np.zeros(len(owner), dtype=np.int64)
    for index, gene in enumerate(genes):
        num_genes[gene.start // window_bp : -(-gene.end // window_bp)] += 1
        if gene.is_coding:
            owner[-(-gene.start // window_bp) : gene.end // window_bp] = index
    starts = np.arange(len(owner)) * window_bp

    linear = np.array([end.position for end in ends], dtype=np.int64)
    around = np.sort(np.concatenate([linear - genome_bp, linear, linear + genome_bp]))  # a circle
    first_near = np.searchsorted(around, starts - settings.min_distance_bp, side="right")
    first_far = np.searchsorted(around, starts + window_bp - 1 + settings.min_distance_bp, side="left")
    is_free = (owner >= 0) & (num_genes == 1) & (first_near == first_far)
    return starts[is_free], owner[is_free]


def build_negative_candidates(
    genes: Sequence[Gene],
    *,
    ends: Sequence[PromoterEnd],
    codes: Codes,
    accession: str,
    settings: WindowSettings,
) -> list[Window]:
    """Return every usable window antisense to a coding gene, all of which could be a negative."""
    starts, owner = find_antisense_cells(genes, ends=ends, genome_bp=len(codes), settings=settings)
    is_minus = np.array([genes[index].strand == "+" for index in owner], dtype=bool)
    ids = [
        f"{accession}:{start}-{start + settings.window_bp}{'-' if minus else '+'}:{genes[index].symbol}"
        for start, minus, index in zip(starts, is_minus, owner, strict=True)
    ]
    return keep_usable(
        place_windows(starts, is_minus=is_minus, label=0, ids=ids, codes=codes, settings=settings)
    )


def choose_negatives(
    candidates: Sequence[Window], *, positives: Sequence[Window], settings: WindowSettings
) -> list[Window]:
    """Draw `negatives_per_positive` times the positives of each split; raises DataError if they run out."""
    generator = np.random.default_rng(settings.seed)
    chosen: list[Window] = []
    for split in SPLITS:
        of_split = [window for window in candidates if window.split == split]
        num_wanted = settings.negatives_per_positive * sum(row.split == split for row in positives)
        if len(of_split) < num_wanted:
            raise DataError(
                found=f"{len(of_split)} windows that can be negatives of the {split} split",
                expected=f"at least {num_wanted}",
                remedy="lower negatives_per_positive or min_distance_bp",
            )
        picks = generator.choice(len(of_split), size=num_wanted, replace=False)
        chosen.extend(of_split[pick] for pick in picks)
    return chosen


def build_windows(
    sequence: str,
    *,
    genes: Iterable[dict[str, Any]],
    units: Iterable[dict[str, Any]],
    accession: str,
    settings: WindowSettings,
) -> WindowSet:
    """Turn a genome and the rows of its two tables into labeled windows, in the order of the genome."""
    codes = encode_bases(sequence)
    placed = build_genes(genes, codes=codes)
    ends = find_promoter_ends(units, genes=placed, settings=settings)
    positives, counts = build_positives(ends, codes=codes, accession=accession, settings=settings)
    candidates = build_negative_candidates(
        list(placed.values()), ends=ends, codes=codes, accession=accession, settings=settings
    )
    negatives = choose_negatives(candidates, positives=positives, settings=settings)
    counts = {
        "genes_placed": len(placed),
        "genes_coding": sum(gene.is_coding for gene in placed.values()),
        **counts,
        "negative_candidates": len(candidates),
    }
    return WindowSet(sorted(positives + negatives), counts)


# Describing ---------------------------------------------------------------------------------------------


def count_windows(windows: Iterable[Window]) -> dict[str, dict[str, int]]:
    """Return the number of windows by split and label."""
    counts = {split: {"promoter": 0, "other": 0} for split in SPLITS}
    for window in windows:
        counts[window.split][LABEL_NAMES[window.label]] += 1
    return counts


def compute_gc(windows: Iterable[Window]) -> float:
    """Return the share of G and C in all windows together."""
    text = "".join(window.sequence for window in windows)
    return (text.count("G") + text.count("C")) / len(text)


def compute_shared_kmers(windows: Sequence[Window], *, k: int = LEAKAGE_K) -> float:
    """Return the share of windows outside train that have a k-mer of a train window, on either strand."""
    codes = np.stack([encode_bases(window.sequence) for window in windows]).astype(np.int64)
    is_train = np.array([window.split == "train" for window in windows])
    weights = 4 ** np.arange(k)
    kmers = np.lib.stride_tricks.sliding_window_view(codes, k, axis=1)
    canonical = np.minimum(
        kmers @ weights, (kmers ^ 1) @ weights[::-1]
    )  # ^ 1 is the complement of a base code
    return float(np.isin(canonical[~is_train], canonical[is_train]).any(axis=1).mean())


README = """# Quickstart data: *Escherichia coli* K-12 MG1655

| file | what it is |
|---|---|
| `{genome_file}` | the complete genome, {accession}, {genome_bp:,} bp, one record |
| `{promoters_file}` | {num_windows:,} windows of {window_bp} bp: `{columns}`; labels `promoter`, `other` |
| `ecoli_promoters_gc_matched.csv.gz` | the same promoters, harder negatives; a `.json` with counts |
| `provenance.json` | source, checksums, every setting, counts |
| `{license_file}` | the license of the package that the tables come from |

| split | promoter | other |
|---|---|---|
{table}

**Source.** PyPI package {package} {version} (Covert Lab, MIT license): `sequence.fasta`, `genes.tsv` and
`transcription_units.tsv` in `{tables_folder}`. The sequence is public-domain INSDC ({accession}),
the tables were exported from {database} {database_version}.
Rebuild with `python scripts/build_quickstart_data.py`: the same archive gives the same files.

**Promoters.** One window from -{upstream_bp} to +{downstream_bp} around each distinct 5' end (position and
strand) of a transcription unit that lies {min_leader_bp} to {max_leader_bp} bp before the unit's first gene,
read in the direction of the gene. The 5' end itself is base {tss_base} of the window.

**Other.** {negatives_per_positive} for each promoter, in every split: windows read antisense to a
protein-coding gene, drawn with seed {seed} from the cells of a grid over the whole genome, so that no two
overlap. A window lies in one gene alone and at least {min_distance_bp} bp from any of the {promoter_ends:,}
ends. A gene counts as protein-coding if the table gives it a messenger and its sequence is one open
reading frame ({genes_coding:,} of {genes_placed:,}): RNA genes and pseudogenes are left out.

**Split.** By {block_kb} kb block of the genome, block index modulo {blocks_per_cycle}: {test_blocks} test,
{validation_blocks} validation, the rest train. Dropped: windows within {edge_bp} bp of a block edge where
the split changes ({promoters_near_split_edge} promoters), and windows whose sequence, or its reverse
complement, occurred before ({promoters_repeated_or_ambiguous} promoters).

**Coordinates in `id`.** `{promoter_id}` is the 5' end, *1-based* as in {database}, strand,
unit. `{other_id}` is the window, *0-based half-open*, the strand it is read on (opposite
to the gene), the gene.

**Known properties.** GC content is {gc_promoter:.3f} in promoters and {gc_other:.3f} in the others, so
composition alone tells much: compare with a k-mer baseline. {shared_percent:.1f} % of the validation and
test windows share a {leakage_k}-mer, on either strand, with a train window. A language model pretrained on
the genome above has seen the test windows, without labels: the quickstart cuts its validation and test blocks
out.

**Harder negatives.** In `ecoli_promoters_gc_matched.csv.gz` the negatives are windows of the same genome,
wherever they lie, with the GC content of the promoters: on either strand, at least 150 bp from every promoter
above, in a block of their own split. Some of them may be promoters that the tables do not know.
`python scripts/build_harder_negatives.py` makes them from the two files above.
"""


def _example_id(windows: Iterable[Window], label: int) -> str:
    return next(window.id for window in windows if window.label == label)


def build_readme(
    archive: Archive, built: WindowSet, *, source: ArchiveSettings, rules: WindowSettings
) -> str:
    """Return the text of the folder's README.md, every number taken from the build."""
    by_split = count_windows(built.windows)
    table = "\n".join(f"| {s} | {n['promoter']:,} | {n['other']:,} |" for s, n in by_split.items())
    facts: dict[str, Any] = {
        **asdict(source),
        **asdict(rules),
        **built.counts,
        "genome_file": GENOME_FILE,
        "promoters_file": PROMOTERS_FILE,
        "license_file": LICENSE_FILE,
        "columns": ",".join(CSV_COLUMNS),
        "num_windows": len(built.windows),
        "window_bp": rules.window_bp,
        "table": table,
        "database": archive.comments["Database"],
        "database_version": archive.comments["Version"],
        "tss_base": rules.upstream_bp + 1,
        "block_kb": rules.block_bp // 1000,
        "test_blocks": " and ".join(map(str, rules.test_blocks)),
        "validation_blocks": " and ".join(map(str, rules.validation_blocks)),
        "promoter_id": _example_id(built.windows, 1),
        "other_id": _example_id(built.windows, 0),
        "gc_promoter": compute_gc(w for w in built.windows if w.label == 1),
        "gc_other": compute_gc(w for w in built.windows if w.label == 0),
        "shared_percent": 100 * compute_shared_kmers(built.windows),
        "leakage_k": LEAKAGE_K,
    }
    return README.format(**facts)


def build_provenance(
    archive: Archive,
    built: WindowSet,
    *,
    contents: dict[str, bytes],
    source: ArchiveSettings,
    rules: WindowSettings,
) -> dict[str, Any]:
    """Return the record of the build; `contents` maps the files written so far to their bytes."""
    return {
        "source": {
            "package": source.package,
            "version": source.version,
            "url": f"https://pypi.org/project/{source.package}/{source.version}/",
            "archive_sha256": archive.sha256,
            "files_folder": source.tables_folder,
            "license": "MIT (Covert Lab), see " + LICENSE_FILE,
        },
        "sequence": {
            "accession": source.accession,
            "description": archive.header,
            "length_bp": len(archive.sequence),
            "license": "public domain (INSDC)",
        },
        "tables": {"exported_from": f"{archive.comments['Database']} {archive.comments['Version']}"},
        "settings": {**asdict(rules), "window_bp": rules.window_bp},
        "counts": {**built.counts, "windows": count_windows(built.windows)},
        "files": {name: _describe_file(name, data) for name, data in contents.items()},
    }


def _describe_file(name: str, data: bytes) -> dict[str, Any]:
    described: dict[str, Any] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    if name.endswith(".gz"):
        described["uncompressed_sha256"] = hashlib.sha256(gzip.decompress(data)).hexdigest()
    return described


# Writing ------------------------------------------------------------------------------------------------


def compress(text: str) -> bytes:
    """Return gzip bytes without time and name in the header, so that the same text gives the same bytes."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as file:
        file.write(text.encode("ascii"))
    return buffer.getvalue()


def format_fasta(header: str, sequence: str) -> str:
    r"""Return one FASTA record.

    >>> format_fasta("chr1 small", "ACGT")
    '>chr1 small\nACGT\n'
    """
    lines = [sequence[i : i + FASTA_COLUMNS] for i in range(0, len(sequence), FASTA_COLUMNS)]
    return "\n".join([f">{header}", *lines, ""])


def format_csv(windows: Iterable[Window]) -> str:
    """Return the windows as CSV text, one row each."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    writer.writerows((w.sequence, LABEL_NAMES[w.label], w.split, w.id) for w in windows)
    return buffer.getvalue()


def write_quickstart_data(
    source_path: Path, output: Path, *, source: ArchiveSettings, rules: WindowSettings
) -> dict[str, Any]:
    """Build everything from the archive into the folder `output` and return the provenance record.

    Other files of the folder stay as they are.
    """
    archive = read_archive(source_path, settings=source)
    built = build_windows(
        archive.sequence,
        genes=archive.genes,
        units=archive.units,
        accession=source.accession,
        settings=rules,
    )
    contents = {
        GENOME_FILE: compress(format_fasta(archive.header, archive.sequence)),
        PROMOTERS_FILE: compress(format_csv(built.windows)),
        LICENSE_FILE: archive.license_text.encode(),
        "README.md": build_readme(archive, built, source=source, rules=rules).encode(),
    }
    for name, data in contents.items():
        with atomic_path(output / name) as temporary:
            temporary.write_bytes(data)
    provenance = build_provenance(archive, built, contents=contents, source=source, rules=rules)
    write_json(output / "provenance.json", provenance)
    return provenance


def fetch_archive(folder: Path, *, settings: ArchiveSettings) -> Path:
    """Download the source archive from PyPI with pip, which does not install it, and return its path."""
    requirement = f"{settings.package}=={settings.version}"
    options = [
        "--no-deps",
        "--ignore-requires-python",
        "--no-binary",
        settings.package,
        "--dest",
        str(folder),
    ]
    subprocess.run([sys.executable, "-m", "pip", "download", *options, requirement], check=True)
    return folder / f"{settings.package}-{settings.version}.tar.gz"


def main() -> None:
    """Parse the command line and build."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", type=Path, help="the source archive; fetched from PyPI if not given")
    parser.add_argument("--output", type=Path, default=Path("genolm/builtin_data"), help="folder to write")
    arguments = parser.parse_args()
    source = ArchiveSettings()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.source or fetch_archive(Path(folder), settings=source)
        provenance = write_quickstart_data(path, arguments.output, source=source, rules=WindowSettings())
    print(json.dumps(provenance["counts"], indent=2))


if __name__ == "__main__":
    main()
