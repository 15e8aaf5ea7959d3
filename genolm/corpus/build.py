"""Genomes to a corpus: rows of known bases in Arrow, base codes beside them, held-out windows cut out."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import genolm
from genolm.alphabet import Codes, encode_bases
from genolm.corpus.bases import CORPUS_JSON, FORMAT_NAME, FORMAT_VERSION, get_bases_path
from genolm.corpus.exclude import build_sequence_index, find_occurrences
from genolm.corpus.pieces import SPLITS, CorpusSettings, plan_pieces
from genolm.corpus.rows import CorpusRow, SplitSummary, SplitWriter, save_dataset_dict
from genolm.errors import DataError, RunFolderError, SettingsError
from genolm.files import atomic_folder, compute_sha256, write_json
from genolm.genome.fasta import FastaRecord, iter_fasta
from genolm.genome.intervals import Interval, Intervals

__all__ = ["CorpusSettings", "CorpusSummary", "build_corpus"]

logger = logging.getLogger(__name__)

_ENCODE_BP = 1 << 24
_FASTA_SUFFIXES = (".gz", ".bgz", ".fa", ".fna", ".fasta", ".fas")


@dataclass(frozen=True, kw_only=True)
class CorpusSummary:
    """What `build_corpus` wrote and left out.

    total_bp is the bp of all splits + unknown_bp + excluded_bp + dropped_short_bp.
    """

    splits: dict[str, SplitSummary]
    """rows, bp and checksum of each split that is not empty"""
    total_bp: int
    """bp; length of all genomes"""
    unknown_bp: int
    """bp; letters that are no A, C, G, T or U"""
    excluded_bp: int
    """bp; known bases cut out as excluded or within the margin"""
    dropped_short_bp: int
    """bp; known bases in stretches shorter than min_piece_bp"""
    soft_masked_bp: int
    """bp; lower-case letters in the rows"""
    num_exclude_intervals: int
    """intervals given to be left out"""
    num_exclude_sequences: int
    """sequences given to be left out"""
    num_sequences_found: int
    """sequences of those that occur at least once"""
    num_occurrences: int
    """places where one of them occurs, on either strand"""


def build_corpus(
    genome_paths: Sequence[Path],
    output: Path,
    *,
    settings: CorpusSettings,
    exclude: Sequence[Interval] = (),
    exclude_sequences: Sequence[str] = (),
    exclude_margin_bp: int = 0,
) -> CorpusSummary:
    """Write genomes as a corpus: a `datasets.DatasetDict`, a file of base codes per split, `corpus.json`.

    A row is a stretch of known bases of one contig in one split; nothing is glued across an unknown base,
    a contig end, an excluded stretch or a split border. One contig at a time is in memory. The folder
    appears when it is complete, and then replaces an older corpus of that name.

    Args:
        genome_paths: FASTA files, plain or gzipped.
        output: the folder to write.
        settings: how to cut and split.
        exclude: intervals to leave out of every split.
        exclude_sequences: DNA to leave out wherever it occurs exactly, on either strand; 16 bp or more.
        exclude_margin_bp: bp to leave out on both sides of everything excluded.

    Raises:
        SettingsError: no genome, two of one name, or a negative margin.
        DataError: a genome is not usable, a contig named in the settings or in `exclude` does not exist,
            an excluded sequence is too short, or nothing is left for train.
        RunFolderError: something that is not a corpus stands at `output`.
    """
    assemblies = _name_assemblies(genome_paths)
    _check_output(output)
    exclusion = _Exclusion(exclude, exclude_sequences, margin_bp=exclude_margin_bp)
    with atomic_folder(output) as folder:
        arrow_paths = {split: folder / f"rows-{split}.arrow" for split in SPLITS}
        tally = _write_rows(assemblies, folder, arrow_paths, settings=settings, exclusion=exclusion)
        _check_names(settings, exclusion)
        _check_train(tally.splits, settings)
        for split in set(SPLITS) - set(tally.splits):
            get_bases_path(folder, split).unlink()
        save_dataset_dict({split: arrow_paths[split] for split in tally.splits}, folder)
        for arrow_path in arrow_paths.values():
            arrow_path.unlink()
        summary = CorpusSummary(**vars(tally), **exclusion.get_counts())
        write_json(folder / CORPUS_JSON, _describe(assemblies, settings, summary, exclude_margin_bp))
    _log_summary(output, summary)
    return summary


class _Tally:
    """Running totals over the contigs; the names are those of `CorpusSummary`."""

    def __init__(self) -> None:
        self.splits: dict[str, SplitSummary] = {}
        self.total_bp = self.unknown_bp = self.excluded_bp = 0
        self.dropped_short_bp = self.soft_masked_bp = 0


class _Exclusion:
    """What is to be left out, and the record of which contigs were met and which sequences found."""

    def __init__(self, exclude: Sequence[Interval], sequences: Sequence[str], *, margin_bp: int) -> None:
        if margin_bp < 0:
            raise SettingsError(
                found=f"exclude_margin_bp = {margin_bp}", expected="0 or more", remedy="give it in bp"
            )
        self.contigs: set[str] = set()
        self.intervals: dict[str, list[tuple[int, int]]] = {}
        for contig, start, end in exclude:
            self.intervals.setdefault(contig, []).append((start, end))
        self._num_intervals = len(exclude)
        self._margin_bp = margin_bp
        self._index = build_sequence_index(sequences)
        self._is_found = np.zeros(len(sequences), dtype=bool)
        self._num_occurrences = 0

    def find_cuts(self, contig: str, codes: Codes) -> Intervals:
        """Return int64 [n, 2], unsorted, margins included, what to cut out of a contig."""
        self.contigs.add(contig)
        given = np.array(self.intervals.get(contig, []), dtype=np.int64).reshape(-1, 2)
        if len(given) and given.max() > len(codes):
            raise DataError(
                found=f"an excluded interval that ends at {given.max()} on '{contig}' of {len(codes)} bp",
                expected="intervals within the contig",
                remedy="check that the intervals were made for this assembly",
            )
        occurrences = find_occurrences(self._index, codes)
        self._is_found[occurrences.sequence_ids] = True
        self._num_occurrences += len(np.unique(occurrences.intervals, axis=0))
        cuts = np.concatenate([given, occurrences.intervals])
        return np.clip(cuts + np.array([-self._margin_bp, self._margin_bp]), 0, len(codes))

    def get_counts(self) -> dict[str, Any]:
        """Return the fields of `CorpusSummary` that this class counts."""
        return {
            "num_exclude_intervals": self._num_intervals,
            "num_exclude_sequences": len(self._is_found),
            "num_sequences_found": int(self._is_found.sum()),
            "num_occurrences": self._num_occurrences,
        }


def _write_rows(
    assemblies: dict[str, Path],
    folder: Path,
    arrow_paths: dict[str, Path],
    *,
    settings: CorpusSettings,
    exclusion: _Exclusion,
) -> _Tally:
    """Stream all genomes into one writer per split; the splits of the result are those with rows."""
    tally = _Tally()
    with ExitStack() as stack:
        writers = {
            split: stack.enter_context(
                SplitWriter(arrow_path=arrow_paths[split], bases_path=get_bases_path(folder, split))
            )
            for split in SPLITS
        }
        for assembly, path in assemblies.items():
            for record in iter_fasta(path):
                _write_record(assembly, record, writers, settings=settings, exclusion=exclusion, tally=tally)
                del record  # a human chromosome is let go before the next one is read
    tally.splits = {split: writer.summary for split, writer in writers.items() if writer.summary.rows}
    return tally


def _write_record(
    assembly: str,
    record: FastaRecord,
    writers: dict[str, SplitWriter],
    *,
    settings: CorpusSettings,
    exclusion: _Exclusion,
    tally: _Tally,
) -> None:
    """Write every piece of one contig, and add up what is left out."""
    codes = _encode_blockwise(record.sequence)
    cuts = exclusion.find_cuts(record.id, codes)
    plan = plan_pieces(codes, contig=record.id, settings=settings, cuts=cuts)
    tally.total_bp += len(codes)
    tally.unknown_bp += plan.unknown_bp
    tally.excluded_bp += plan.excluded_bp
    tally.dropped_short_bp += plan.dropped_short_bp
    for split, pieces in plan.pieces.items():
        for start, end in pieces.tolist():
            text = record.sequence[start:end]
            soft_masked = int(np.count_nonzero(np.frombuffer(text.encode("ascii"), dtype=np.uint8) & 0x20))
            tally.soft_masked_bp += soft_masked
            row = CorpusRow(assembly, record.id, start, end, text, soft_masked)
            writers[split].write(row, codes[start:end])


def _encode_blockwise(sequence: str) -> Codes:
    """Encode a whole chromosome without a second copy of its letters."""
    codes = np.empty(len(sequence), dtype=np.uint8)
    for start in range(0, len(sequence), _ENCODE_BP):
        block = encode_bases(sequence[start : start + _ENCODE_BP])
        codes[start : start + len(block)] = block
    return codes


def _name_assemblies(genome_paths: Sequence[Path]) -> dict[str, Path]:
    """Name each genome after its file, without .fa.gz and the like."""
    assemblies: dict[str, Path] = {}
    for path in genome_paths:
        name = path.name
        while name.lower().endswith(_FASTA_SUFFIXES):
            name = name[: name.rindex(".")]
        if name in assemblies:
            raise SettingsError(
                found=f"two genomes named '{name}'", expected="one file per name", remedy="rename one file"
            )
        assemblies[name] = path
    if not assemblies:
        raise SettingsError(found="no genome", expected="at least one FASTA file", remedy="name a genome")
    return assemblies


def _check_output(output: Path) -> None:
    """Refuse to replace anything but a corpus or an empty folder."""
    is_empty = not output.exists() or (output.is_dir() and not any(output.iterdir()))
    if not is_empty and not (output / CORPUS_JSON).is_file():
        raise RunFolderError(
            found=f"{output}, which is not a corpus",
            expected="a new folder, or an older corpus to replace",
            remedy="choose another output folder",
        )


def _check_names(settings: CorpusSettings, exclusion: _Exclusion) -> None:
    named = set(exclusion.intervals)
    if settings.split == "contigs":
        named |= {*settings.validation_contigs, *settings.test_contigs}
    if missing := sorted(named - exclusion.contigs):
        raise DataError(
            found=f"no contig named {', '.join(missing[:5])}",
            expected=f"a name among {', '.join(sorted(exclusion.contigs)[:10])}",
            remedy="use the names that stand after '>' in the FASTA file",
        )


def _check_train(splits: dict[str, SplitSummary], settings: CorpusSettings) -> None:
    if "train" not in splits:
        raise DataError(
            found="no row for train",
            expected=f"at least one stretch of {settings.min_piece_bp} known bases in train",
            remedy="lower block_bp or min_piece_bp, or set split to none",
        )
    for split in SPLITS:
        if split not in splits and settings.split != "none":
            logger.warning("the %s split is empty; lower block_bp to have one", split)


def _describe(
    assemblies: dict[str, Path], settings: CorpusSettings, summary: CorpusSummary, exclude_margin_bp: int
) -> dict[str, Any]:
    """Return what `corpus.json` holds; no path, so that a corpus can be published."""
    sources = [
        {"assembly": name, "file": path.name, "sha256": compute_sha256(path)}
        for name, path in assemblies.items()
    ]
    counts = asdict(summary) | {"exclude_margin_bp": exclude_margin_bp}
    counts["splits"] = {split: counted._asdict() for split, counted in summary.splits.items()}
    return {
        "format": FORMAT_NAME,
        "format_version": FORMAT_VERSION,
        "genolm_version": genolm.__version__,
        "sources": sources,
        "settings": asdict(settings),
        **counts,
    }


def _log_summary(output: Path, summary: CorpusSummary) -> None:
    for split, counted in summary.splits.items():
        logger.info("%s: %s has %d rows, %d bp", output.name, split, counted.rows, counted.bp)
    if summary.num_exclude_sequences or summary.num_exclude_intervals:
        is_complete = summary.num_sequences_found == summary.num_exclude_sequences
        logger.log(
            logging.INFO if is_complete else logging.WARNING,
            "%d of %d held-out windows found, at %d places; with %d intervals %d bp are cut out",
            summary.num_sequences_found,
            summary.num_exclude_sequences,
            summary.num_occurrences,
            summary.num_exclude_intervals,
            summary.excluded_bp,
        )
