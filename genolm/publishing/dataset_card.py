"""Corpora and labeled data as folders for the hub: Parquet files for each split, and a card."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

import genolm
from genolm.corpus.audit.data_audit import check_data
from genolm.corpus.bases import CORPUS_JSON, load_corpus_bases, read_corpus_info
from genolm.corpus.export import ExportSummary, export_parquet
from genolm.corpus.labeled import SPLITS, ColumnNames, LabeledData, read_labeled
from genolm.errors import RunFolderError
from genolm.files import atomic_folder, compute_sha256, is_unused
from genolm.progress import Reporter
from genolm.publishing.card.hub_rules import check_license
from genolm.publishing.card.rendering import render_template
from genolm.publishing.card.tables import Table, escape_text, format_figure

TEMPLATE = Path(__file__).parent / "dataset_card.md.j2"
MAX_AUDITED_BASES = 100_000_000
"""the audit takes up to about 100 bytes of memory a base"""
_SIZES = {
    1_000: "n<1K",
    10_000: "1K<n<10K",
    100_000: "10K<n<100K",
    1_000_000: "100K<n<1M",
    10_000_000: "1M<n<10M",
    100_000_000: "10M<n<100M",
    1_000_000_000: "100M<n<1B",
}
"""the hub's names, by the number of rows that is too many"""
_TAGS = ("biology", "genomics", "dna", "genolm")


class LabeledFolder(NamedTuple):
    """What `write_labeled_folder` wrote."""

    records: dict[str, int]
    """sequences of each split"""
    total_bytes: int
    """of all Parquet files"""


def write_dataset_folder(
    source: Path,
    folder: Path,
    *,
    license: str | None = None,
    columns: ColumnNames | None = None,
    reporter: Reporter | None = None,
) -> ExportSummary | LabeledFolder:
    """Write a corpus or a file of labeled sequences as Parquet with a card, for `load_dataset(folder)`.

    Args:
        source: a folder that `build_corpus` wrote, or a file that `read_labeled` reads.
        folder: to write; it appears when it is complete.
        license: the hub's identifier of the license of the data; without it the card says that there is none.
        columns: of a table of labeled sequences.
        reporter: shows the progress.

    Raises:
        PublishError: the license is none of the hub's.
        RunFolderError: the corpus is not complete, or something stands at `folder`.
        DataError: the labeled data are not usable.
    """
    if (source / CORPUS_JSON).is_file() or source.is_dir():
        return write_corpus_folder(source, folder, license=license)
    return write_labeled_folder(source, folder, license=license, columns=columns, reporter=reporter)


def write_corpus_folder(corpus: Path, folder: Path, *, license: str | None = None) -> ExportSummary:
    """Write a corpus as Parquet with a card; arguments and errors are those of `write_dataset_folder`."""
    check_license(license)
    return export_parquet(
        corpus, folder, readme=build_corpus_card(corpus, title=folder.name, license=license)
    )


def write_labeled_folder(
    source: Path,
    folder: Path,
    *,
    license: str | None = None,
    columns: ColumnNames | None = None,
    reporter: Reporter | None = None,
) -> LabeledFolder:
    """Write labeled sequences as Parquet with a card; data without splits become one split, train.

    The columns are id, sequence (upper-case DNA) and label (a ClassLabel, which knows the names). Arguments
    and errors are those of `write_dataset_folder`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import ClassLabel, Features, Value

    check_license(license)
    if not is_unused(folder):
        raise RunFolderError(
            found=f"{folder}, which is not empty",
            expected="a new folder",
            remedy="choose another output folder or remove this one",
        )
    names = columns or ColumnNames()
    data = read_labeled(
        source,
        sequence_column=names.sequence,
        label_column=names.label,
        split_column=names.split,
        id_column=names.id,
    )
    features = Features(
        {
            "id": Value("string"),
            "sequence": Value("string"),
            "label": ClassLabel(names=list(data.label_names)),
        }
    )
    parts = _divide(data)
    card = build_labeled_card(
        data, title=folder.name, license=license, sha256=compute_sha256(source), reporter=reporter
    )
    with atomic_folder(folder) as temporary:
        (temporary / "data").mkdir()
        for split, part in parts.items():
            rows = {"id": list(part.ids), "sequence": part.sequences, "label": part.labels.tolist()}
            path = temporary / "data" / f"{split}-00000-of-00001.parquet"
            # The schema brings the names of the classes along.
            pq.write_table(pa.table(rows, schema=features.arrow_schema), path, compression="zstd")
        (temporary / "README.md").write_text(card, encoding="utf-8")
        total_bytes = sum(path.stat().st_size for path in temporary.rglob("*.parquet"))
    return LabeledFolder({split: len(part) for split, part in parts.items()}, total_bytes)


def build_corpus_card(corpus: Path, *, title: str, license: str | None = None) -> str:
    """Return the card of a corpus folder: splits, lengths, genomes with checksums, and how it was built."""
    info = read_corpus_info(corpus)
    splits: Table = [
        ("split", "rows", "bp", "GC", "soft-masked, bp", "row length, bp", "sha256 of the bases")
    ]
    for split, counts in info["splits"].items():
        lengths_bp = np.diff(load_corpus_bases(corpus, split).row_starts)
        splits.append(
            (
                split,
                f"{counts['rows']:,}",
                f"{counts['bp']:,}",
                format_figure(counts["gc_bp"] / counts["bp"] if counts["bp"] else None),
                f"{counts['soft_masked_bp']:,}",
                _describe_lengths(lengths_bp),
                counts["bases_sha256"],
            )
        )
    genomes: Table = [("genome", "accession or source", "file", "sha256", "contigs", "bp", "N, bp")]
    for source in info["sources"]:
        origin = source.get("accession") or source.get("source") or "a file of the user"
        counts = [f"{source[name]:,}" for name in ("contigs", "bp", "n_bp")]
        genomes.append((source["assembly"], origin, source.get("file", "-"), source["sha256"], *counts))
    num_rows = sum(counts["rows"] for counts in info["splits"].values())
    return _render(
        header=_build_header(list(info["splits"]), num_rows, title=title, license=license, task="fill-mask"),
        title=title,
        license=license,
        splits=splits,
        genomes=genomes,
        left_out={
            name: f"{info[f'{name}_bp']:,}" for name in ("unknown", "excluded", "gap", "dropped_short")
        },
        settings=yaml.safe_dump(info["settings"], sort_keys=False).strip(),
        labeled=None,
    )


def build_labeled_card(
    data: LabeledData,
    *,
    title: str,
    sha256: str,
    license: str | None = None,
    reporter: Reporter | None = None,
) -> str:
    """Return the card of labeled data: classes by split, lengths, the checksum of the file, and the audit."""
    parts = _divide(data)
    splits: Table = [("split", "records", *data.label_names, "length, bp", "GC")]
    for split, part in parts.items():
        counts = np.bincount(part.labels, minlength=len(data.label_names))
        lengths_bp = np.array([len(sequence) for sequence in part.sequences])
        gc = sum(sequence.count("G") + sequence.count("C") for sequence in part.sequences)
        splits.append(
            (
                split,
                f"{len(part):,}",
                *(f"{count:,}" for count in counts),
                _describe_lengths(lengths_bp),
                format_figure(gc / int(lengths_bp.sum())),
            )
        )
    num_bases = sum(map(len, data.sequences))
    audit = None
    if num_bases <= MAX_AUDITED_BASES:
        audit = check_data(data, reporter=reporter)
    return _render(
        header=_build_header(
            list(parts), len(data), title=title, license=license, task="text-classification"
        ),
        title=title,
        license=license,
        splits=splits,
        labeled={
            "source": data.source,
            "sha256": sha256,
            "has_splits": data.has_splits,
            "findings": [f"{each.severity}: {escape_text(each.text)}" for each in audit.findings]
            if audit
            else None,
        },
    )


def _divide(data: LabeledData) -> dict[str, LabeledData]:
    """Return the splits that have sequences."""
    if not data.has_splits:
        return {"train": data}
    parts = {split: data.select(split) for split in SPLITS}
    return {split: part for split, part in parts.items() if len(part)}


def _build_header(splits: list[str], num_rows: int, *, title: str, license: str | None, task: str) -> str:
    from huggingface_hub import DatasetCardData

    data = DatasetCardData(
        license=license,
        pretty_name=title,
        size_categories=[next((name for limit, name in _SIZES.items() if num_rows < limit), "other")],
        task_categories=[task],
        tags=list(_TAGS),
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"data/{split}-*"} for split in splits],
            }
        ],
    )
    return data.to_yaml().strip()


def _describe_lengths(lengths_bp: Any) -> str:
    if not len(lengths_bp):
        return "-"
    low, middle, high = np.min(lengths_bp), np.median(lengths_bp), np.max(lengths_bp)
    return f"{low:,} to {high:,}, median {middle:,.0f}"


def _render(**content: Any) -> str:
    return render_template(TEMPLATE, {"version": genolm.__version__, **content})
