"""A genome scan from a FASTA file and a model folder to tracks and peaks."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

import genolm
from genolm.errors import RunFolderError, SettingsError
from genolm.files import compute_sha256, is_unused, read_json, write_json, write_text
from genolm.inference.classify import Classifier, load_classifier
from genolm.interpretation.chosen_model import check_window, open_for_inference
from genolm.interpretation.genome_codes import GenomeCodes, open_genome_codes
from genolm.interpretation.scan.blocks import Block, Values, cut_block, iter_blocks, score_block
from genolm.interpretation.scan.parts import PartsFolder
from genolm.interpretation.scan.peaks import Peaks, format_bed, merge_windows
from genolm.interpretation.scan.settings import ScanSettings
from genolm.interpretation.scan.tracks import (
    TrackPart,
    TrackRow,
    iter_rows,
    load_bigwig_writer,
    write_bedgraph,
    write_bigwig,
)
from genolm.interpretation.targets import Target, choose_target
from genolm.progress import Reporter
from genolm.training.hardware.precision import choose_precision
from genolm.training.persistence.disk_space import explain_full_disk
from genolm.training.persistence.run_lock import lock_run_folder

STRANDS = (("+", "plus"), ("-", "minus"))
SCAN_FILE, BEGUN_FILE, PARTS_FOLDER, PEAKS_FILE = "scan.json", "begun.json", "parts", "peaks.bed"


def scan_genome(
    genome_path: Path,
    model_folder: Path,
    output: Path,
    *,
    settings: ScanSettings,
    with_bigwig: bool = True,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Classify the windows of a genome on both strands, and write tracks and peaks.

    Written are plus and minus, each as .bedgraph.gz and .bw, peaks.bed and, last, scan.json. A scan that was
    broken off goes on after its last whole block; a finished one is not done again.

    Args:
        genome_path: FASTA, plain or gzipped.
        model_folder: of a classifier or regression of whole sequences.
        output: folder, new or of this very scan.
        settings: of the scan.
        with_bigwig: write bigWig files too, which takes pybigtools.
        reporter: shows the progress.

    Returns:
        What scan.json holds: settings, checksums, numbers of windows, of skipped ones, and of peaks.

    Raises:
        DataError: the genome is not usable.
        RunFolderError: the output folder holds something else, or the model folder no finished classifier.
        SettingsError: the class or threshold is not given or not usable, the window does not fit the model,
            or pybigtools is missing.
        StorageError: the disk is full.
    """
    reporter = reporter or Reporter()
    classifier = load_classifier(model_folder)
    target = choose_target(classifier, class_name=settings.class_name)
    check_window(classifier.model.config, classifier.scheme, window_bp=settings.window_bp)
    threshold = find_threshold(classifier, target, model_folder, given=settings.threshold)
    if with_bigwig:
        load_bigwig_writer()
    with explain_full_disk(output), lock_run_folder(output), open_genome_codes(genome_path) as genome:
        kept = {**asdict(settings), "class_name": target.name, "threshold": threshold.value}
        kept["threshold_from"] = threshold.source
        identity = {
            "settings": {**kept, "precision": choose_precision(settings.precision), "bigwig": with_bigwig},
            "genome": {"name": genome_path.name, "sha256": genome.sha256},
            "model": {"sha256": compute_sha256(model_folder / "model.safetensors")},
            "genolm": genolm.__version__,
        }
        if finished := _claim(output, identity):
            return finished
        blocks, parts = list(iter_blocks(genome, settings)), PartsFolder(output / PARTS_FOLDER)
        if not blocks:
            raise SettingsError(
                found=f"no contig of {settings.window_bp} bp in {genome_path.name}",
                expected="at least one window",
                remedy="set a smaller --window-bp, if the model takes it",
            )

        def score(block: Block) -> Values:
            return score_block(classifier, cut_block(genome, block, settings), target, settings)

        num_tokens = settings.window_bp + 2
        with open_for_inference(classifier.model, precision=settings.precision, num_tokens=num_tokens):
            _fill_parts(parts, blocks, score, reporter)
        found = _write_results(output, genome, blocks, parts, settings, threshold.value, with_bigwig)
        write_json(output / SCAN_FILE, {**identity, **found})
        (output / BEGUN_FILE).unlink()
        shutil.rmtree(output / PARTS_FOLDER)
        return {**identity, **found}


class Threshold(NamedTuple):
    """The value from which a window is a peak, and where it is from."""

    value: float
    source: Literal["given", "validation", "default"]


def find_threshold(
    classifier: Classifier, target: Target, model_folder: Path, *, given: float | None
) -> Threshold:
    """Return the value from which a window is a peak: given, chosen on validation, or 0.5.

    The one in metrics.json is of the second of two classes; the first is called where the second is not.

    Raises:
        SettingsError: a regression without one.
    """
    if given is not None:
        return Threshold(given, "given")
    path = model_folder / "metrics.json"
    chosen = read_json(path).get("threshold") if path.is_file() else None
    if chosen is None and classifier.task == "regression":
        raise SettingsError(
            found="a regression and no threshold", expected="a value", remedy="set --threshold"
        )
    if chosen is None:
        return Threshold(0.5, "default")
    return Threshold(float(chosen) if target.index == 1 else 1 - float(chosen), "validation")


def _claim(output: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a finished scan of this identity found; else mark the folder as this scan's."""
    for name in (SCAN_FILE, BEGUN_FILE):
        if (output / name).is_file():
            known = read_json(output / name)
            differing = [key for key in identity if known.get(key) != identity[key]]
            if differing:
                raise RunFolderError(
                    found=f"another scan in {output} (other {', '.join(differing)})",
                    expected="an empty folder, or the same command again to go on",
                    remedy="choose another --output, or remove the folder",
                )
            return known if name == SCAN_FILE else None
    if not is_unused(output):
        raise RunFolderError(
            found=f"{output} with files of another origin",
            expected="an empty or new output folder",
            remedy="choose another --output",
        )
    write_json(output / BEGUN_FILE, identity)
    return None


def _fill_parts(
    parts: PartsFolder, blocks: list[Block], score: Callable[[Block], Values], reporter: Reporter
) -> None:
    """Score every block that is not there yet."""
    with reporter.task("scan", total=sum(block.num_windows for block in blocks)) as task:
        done = 0
        for number, block in enumerate(blocks):
            if parts.read(number) is None:
                parts.write(number, score(block))
            done += block.num_windows
            task.update(done)


def _write_results(
    output: Path,
    genome: GenomeCodes,
    blocks: list[Block],
    parts: PartsFolder,
    settings: ScanSettings,
    threshold: float,
    with_bigwig: bool,
) -> dict[str, Any]:
    """Write the tracks and the peaks; return the counts."""
    lengths_bp = {contig: len(codes) for contig, codes in genome.contigs.items()}
    places_bp = (settings.place_bp, settings.window_bp - 1 - settings.place_bp)

    def iter_track(strand: int) -> Iterator[TrackRow]:
        moved = (
            part._replace(places=part.places + places_bp[strand])
            for part in _iter_strand(blocks, parts, settings, strand)
        )
        return iter_rows(moved, stride_bp=settings.stride_bp, contig_lengths_bp=lengths_bp)

    for strand, (_, name) in enumerate(STRANDS):
        write_bedgraph(output / f"{name}.bedgraph.gz", iter_track(strand))
        if with_bigwig:
            write_bigwig(output / f"{name}.bw", iter_track(strand), contig_lengths_bp=lengths_bp)
    peaks_of: dict[str, list[tuple[str, Peaks]]] = {}
    num_scored = 0
    for strand, (sign, _) in enumerate(STRANDS):
        by_contig = groupby(_iter_strand(blocks, parts, settings, strand), key=lambda part: part.contig)
        for contig, contig_parts in by_contig:
            high = []
            for part in contig_parts:
                is_high = part.values >= threshold
                high.append((part.places[is_high], part.values[is_high]))
                num_scored += len(part.values)
            starts, values = (np.concatenate(column) for column in zip(*high, strict=True))
            peaks = merge_windows(starts, values, window_bp=settings.window_bp, place_bp=places_bp[strand])
            peaks_of.setdefault(contig, []).append((sign, peaks))
    write_text(output / PEAKS_FILE, "".join(format_bed(contig, each) for contig, each in peaks_of.items()))
    num_windows = sum(block.num_windows for block in blocks)
    return {
        "windows": num_windows,
        "skipped_windows": num_windows - num_scored // len(STRANDS),
        "peaks": {
            name: sum(len(each[strand][1].starts) for each in peaks_of.values())
            for strand, (_, name) in enumerate(STRANDS)
        },
    }


def _iter_strand(
    blocks: list[Block], parts: PartsFolder, settings: ScanSettings, strand: int
) -> Iterator[TrackPart]:
    """Yield first bases and values of the known windows of a strand, sorted by contig, as text, and place."""
    for number in sorted(range(len(blocks)), key=lambda each: (blocks[each].contig, blocks[each].first)):
        values = _require(parts.read(number))[strand]
        known = ~np.isnan(values)
        starts = blocks[number].find_starts(settings.stride_bp)
        yield TrackPart(blocks[number].contig, starts[known], values[known])


def _require(values: Values | None) -> Values:
    if values is None:
        raise RunFolderError(
            found="a part of the scan that was damaged after it was written",
            expected="a disk that keeps what is written",
            remedy="run the same command again: the part is scanned anew",
        )
    return values
