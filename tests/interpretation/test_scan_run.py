"""A whole scan: files, goings-on after a kill, and what is refused."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from made_up_dna import make_dna
from small_window_models import save_classifier
from warm_processes import CONTEXT

from genolm.errors import RunFolderError, SettingsError
from genolm.files import read_json, write_json
from genolm.interpretation.chosen_model import find_window_bp
from genolm.interpretation.scan.parts import PartsFolder
from genolm.interpretation.scan.run import scan_genome
from genolm.interpretation.scan.settings import ScanSettings

SETTINGS = ScanSettings(
    window_bp=20, stride_bp=5, anchor_bp=15, block_windows=16, precision="no", threshold=0.4
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_classifier(tmp_path_factory.mktemp("model") / "classifier")


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "g.fa"
    text = make_dna(1_000, seed=8)
    path.write_text(f">z\n{text[:600]}NNN{text[603:]}\n>short\nACGT\n>a\n{make_dna(200, seed=9)}\n")
    return path


def read_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".run")}


@pytest.fixture(scope="module")
def scanned(model, genome, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scan") / "out"
    return folder, scan_genome(genome, model, folder, settings=SETTINGS)


def test_a_scan_writes_tracks_and_peaks_and_nothing_else(scanned):
    folder, found = scanned
    tracks = {f"{name}.{ending}" for name in ("plus", "minus") for ending in ("bedgraph.gz", "bw")}
    assert set(read_files(folder)) == tracks | {"peaks.bed", "scan.json"}
    # 197 + 37 windows; those from 585 to 600 hold an N
    assert (found["windows"], found["skipped_windows"]) == (234, 4)
    assert found == read_json(folder / "scan.json")
    peaks = [line.split("\t") for line in (folder / "peaks.bed").read_text().splitlines()]
    assert len(peaks) == sum(found["peaks"].values()) > 2
    assert {row[0] for row in peaks} == {"a", "z"}


def test_the_best_place_of_a_peak_is_in_the_track_of_its_strand(scanned):
    import gzip

    folder, _ = scanned
    tracks = {}
    for sign, name in (("+", "plus"), ("-", "minus")):
        lines = gzip.decompress((folder / f"{name}.bedgraph.gz").read_bytes()).decode().splitlines()
        tracks[sign] = {(row[0], int(row[1])): float(row[3]) for row in map(str.split, lines)}
    assert min(place for contig, place in tracks["+"] if contig == "z") == 15
    assert min(place for contig, place in tracks["-"] if contig == "z") == 4
    for line in (folder / "peaks.bed").read_text().splitlines():
        contig, start, end, name, score, strand = line.split("\t")
        place = int(name.removeprefix("summit_")) - 1
        assert tracks[strand][contig, place] * 1000 == pytest.approx(int(score), abs=0.51)
        assert int(start) <= place < int(end)


@pytest.mark.skipif(shutil.which("bedtools") is None, reason="bedtools is not installed")
def test_bedtools_reads_peaks_and_tracks(scanned):
    folder, _ = scanned
    for track in ("plus", "minus"):
        words = ["bedtools", "intersect", "-u", "-a", "peaks.bed", "-b", f"{track}.bedgraph.gz"]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == ((folder / "peaks.bed").read_text(), "")


def test_a_finished_scan_is_not_done_again_and_another_is_refused(scanned, model, genome):
    folder, found = scanned
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert scan_genome(genome, model, folder, settings=SETTINGS) == found
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    other = ScanSettings(window_bp=20, stride_bp=6)
    with pytest.raises(RunFolderError, match=r"another scan in .* \(other settings\)"):
        scan_genome(genome, model, folder, settings=other)


def scan_and_die(genome: Path, model: Path, output: Path, last: int) -> None:
    """Scan, and SIGKILL this very process before a part of a number is written."""
    torch.set_num_threads(1)
    write = PartsFolder.write

    def write_some(self, number, values):
        if number == last:
            os.kill(os.getpid(), signal.SIGKILL)
        write(self, number, values)

    PartsFolder.write = write_some
    scan_genome(genome, model, output, settings=SETTINGS)


def test_a_killed_scan_goes_on_to_the_same_files(scanned, model, genome, tmp_path):
    folder, _ = scanned
    output = tmp_path / "out"
    process = CONTEXT.Process(target=scan_and_die, args=(genome, model, output, 5))
    process.start()
    process.join(timeout=120)
    assert process.exitcode == -signal.SIGKILL
    parts = sorted((output / "parts").iterdir())
    assert [path.name[:7] for path in parts] == [f"{number:07d}" for number in range(5)]
    parts[1].write_bytes(b"cut short")
    first = parts[0].stat().st_mtime_ns
    time.sleep(0.01)
    seen = []
    original = shutil.rmtree

    def watch(path, *args, **kwargs):
        seen.append(parts[0].stat().st_mtime_ns)
        original(path, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genolm.interpretation.scan.run.shutil.rmtree", watch)
        scan_genome(genome, model, output, settings=SETTINGS)
    assert seen == [first]  # what was whole was not scanned again
    # bigWig holds no time, so all files are the same to the byte
    assert read_files(output) == read_files(folder)


def test_a_folder_with_other_files_is_refused(model, genome, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match=r"with files of another origin"):
        scan_genome(genome, model, tmp_path, settings=SETTINGS)


def test_a_genome_without_a_window_is_refused(model, tmp_path):
    (tmp_path / "g.fa").write_text(">a\nACGT\n")
    with pytest.raises(SettingsError, match=r"no contig of 20 bp in g.fa"):
        scan_genome(tmp_path / "g.fa", model, tmp_path / "out", settings=SETTINGS)


def test_the_threshold_is_given_or_that_of_validation_or_one_half(model, genome, tmp_path):
    def scan(name, folder, **changed):
        settings = ScanSettings(window_bp=20, stride_bp=20, **changed)
        found = scan_genome(genome, folder, tmp_path / name, settings=settings, with_bigwig=False)
        return found["settings"]["threshold"], found["settings"]["threshold_from"]

    assert scan("default", model) == (0.5, "default")
    copy = shutil.copytree(model, tmp_path / "copy")
    write_json(copy / "metrics.json", {"threshold": 0.35})
    assert scan("chosen", copy) == (0.35, "validation")
    assert scan("first", copy, class_name="no") == (0.65, "validation")
    assert scan("given", copy, threshold=0.9) == (0.9, "given")


def test_a_regression_needs_a_threshold(genome, tmp_path):
    folder = save_classifier(tmp_path / "model", num_labels=1)
    with pytest.raises(SettingsError, match=r"a regression and no threshold; expected a value"):
        scan_genome(genome, folder, tmp_path / "out", settings=ScanSettings(window_bp=20))


def test_the_window_is_given_or_that_of_the_training(tmp_path):
    assert find_window_bp(tmp_path / "model", 30) == 30
    (tmp_path / "model").mkdir()
    with pytest.raises(SettingsError, match=r"no length of the training sequences in .*; set --window-bp"):
        find_window_bp(tmp_path / "model", None)
    write_json(tmp_path / "data_audit.json", {"classes": [{"min_bp": 81, "max_bp": 81}] * 2})
    assert find_window_bp(tmp_path / "model", None) == 81
    write_json(tmp_path / "data_audit.json", {"classes": [{"min_bp": 80, "max_bp": 81}]})
    with pytest.raises(SettingsError, match=r"set --window-bp"):
        find_window_bp(tmp_path / "model", None)
    write_json(tmp_path / "model" / "metrics.json", {"train_lengths_bp": [60, 60]})
    assert find_window_bp(tmp_path / "model", None) == 60
    write_json(tmp_path / "model" / "metrics.json", {"train_lengths_bp": [60, 61]})
    with pytest.raises(SettingsError, match=r"set --window-bp"):
        find_window_bp(tmp_path / "model", None)
    write_json(tmp_path / "model" / "run_config.json", {"settings": {"windows": {"length_bp": 256}}})
    assert find_window_bp(tmp_path / "model", None) == 256
    with pytest.raises(SettingsError, match=r"a window of 0 bp"):
        find_window_bp(tmp_path / "model", 0)
