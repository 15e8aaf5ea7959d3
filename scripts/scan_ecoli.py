#!/usr/bin/env python
"""Find transcription starts in the held-out blocks of the E. coli genome, and compare with a matrix scan.

    python scripts/scan_ecoli.py --model runs/quickstart/model --output runs/scan_ecoli [--stride-bp 15]

The classifier of the quickstart reads the test blocks of 50 kb (number 3 and 8 of every ten) on both strands.
Its rival is a position weight matrix of the -35 and the -10 box with the best spacer, learned from the
training promoters alone. Both give a value for each base; the highest local maxima are calls, as many of one
as of the other, and so are places drawn by chance. A call is right if a known start of the test split lies
within the distance on the same strand. Starts that nobody has mapped yet count as wrong.
"""

import argparse
import csv
import gzip
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.alphabet import Codes, decode_bases, encode_bases, reverse_complement
from genolm.genome.contigs import iter_contigs
from genolm.interpretation.scan.run import STRANDS, scan_genome
from genolm.interpretation.scan.settings import ScanSettings
from genolm.progress import build_reporter

BUILTIN = Path(__file__).parents[1] / "genolm" / "builtin_data"
BLOCK_BP, TEST_BLOCKS = 50_000, (3, 8)
WINDOW_BP, START_BP = 81, 60  # of the promoter windows, and the base of the 5' end in them
DISTANCES_BP = (10, 25, 50, 100)
CALLS_APART_BP = 50
BOX_BP, SPACERS_BP, STARTS_10_BP = 6, np.arange(15, 20), np.arange(44, 53)
CONSENSUS_35, CONSENSUS_10 = "TTGACA", "TATAAT"
PSEUDOCOUNT, ROUNDS = 1.0, 10

Floats = npt.NDArray[np.float64]


class Boxes(NamedTuple):
    """Log-odds in nats of both boxes and of the spacers, and the usual way from -10 box to 5' end."""

    box_35: Floats
    """[6, 4]"""
    box_10: Floats
    """[6, 4]"""
    spacers: Floats
    """[5]"""
    start_bp: int
    """from the first base of the -10 box to the 5' end"""


def score_boxes(codes: Codes, boxes: Boxes) -> Floats:
    """Return the best sum of both boxes and spacer for each first base of a -10 box, [bp - 5]."""
    ten, far = (
        sum(
            np.append(matrix[offset], 0.0)[codes[offset : len(codes) - BOX_BP + 1 + offset]]
            for offset in range(BOX_BP)
        )
        for matrix in (boxes.box_10, boxes.box_35)
    )
    best = np.full(len(ten), -np.inf)
    for spacer_bp, bonus in zip(SPACERS_BP, boxes.spacers, strict=True):
        shift = BOX_BP + int(spacer_bp)
        best[shift:] = np.maximum(best[shift:], ten[shift:] + far[:-shift] + bonus)
    return best


def fit_boxes(promoters: list[Codes], background: Floats) -> Boxes:
    """Learn the boxes from promoter windows: the best pair in each, then the matrices, 10 times."""
    one_hot = np.log(np.array([[0.85 if base == each else 0.05 for each in "ATCG"] for base in CONSENSUS_10]))
    far = np.log(np.array([[0.85 if base == each else 0.05 for each in "ATCG"] for base in CONSENSUS_35]))
    boxes = Boxes(far - np.log(background), one_hot - np.log(background), np.zeros(len(SPACERS_BP)), 12)
    windows = np.stack(promoters)
    for _ in range(ROUNDS):
        options = np.stack(
            [
                _sum_box(windows, start, boxes.box_10)
                + _sum_box(windows, start - spacer - BOX_BP, boxes.box_35)
                + bonus
                for start in STARTS_10_BP
                for spacer, bonus in zip(SPACERS_BP, boxes.spacers, strict=True)
            ]
        )
        start_index, spacer_index = np.divmod(options.argmax(axis=0), len(SPACERS_BP))
        starts, spacers = STARTS_10_BP[start_index], SPACERS_BP[spacer_index]
        counts = np.bincount(spacer_index, minlength=len(SPACERS_BP)) + PSEUDOCOUNT
        boxes = Boxes(
            _build_matrix(windows, starts - spacers - BOX_BP, background),
            _build_matrix(windows, starts, background),
            np.log(counts / counts.sum() * len(SPACERS_BP)),
            START_BP - int(np.median(starts)),
        )
    return boxes


def _sum_box(windows: Codes, start: int, matrix: Floats) -> Floats:
    sums: Floats = matrix[np.arange(BOX_BP), windows[:, start : start + BOX_BP]].sum(axis=1)
    return sums


def _build_matrix(windows: Codes, starts: npt.NDArray[np.int64], background: Floats) -> Floats:
    found = np.take_along_axis(windows, starts[:, None] + np.arange(BOX_BP), axis=1)
    counts = np.stack([(found == code).sum(axis=0) for code in range(4)], axis=1) + PSEUDOCOUNT
    matrix: Floats = np.log(counts / counts.sum(axis=1, keepdims=True)) - np.log(background)
    return matrix


def pick_calls(places: npt.NDArray[np.int64], values: Floats, number: int) -> npt.NDArray[np.int64]:
    """Take the best places one by one, none within 50 bp of a better one: indices, best first."""
    taken: dict[int, int] = {}  # by cell as wide as the distance, which holds one call at most
    for index in np.argsort(-values, kind="stable").tolist():
        place = int(places[index])
        cell = place // CALLS_APART_BP
        rivals = (taken.get(each) for each in (cell - 1, cell, cell + 1))
        if all(each is None or abs(int(places[each]) - place) >= CALLS_APART_BP for each in rivals):
            taken[cell] = index
            if len(taken) == number:
                break
    return np.array(list(taken.values()))


def measure(
    calls: npt.NDArray[np.int64], known: npt.NDArray[np.int64], distance_bp: int
) -> tuple[float, float]:
    """Return the share of calls near a known start, and of known starts near a call."""
    gaps = np.abs(calls[:, None] - known[None])
    return float((gaps.min(axis=1) <= distance_bp).mean()), float((gaps.min(axis=0) <= distance_bp).mean())


def read_promoters() -> Iterator[tuple[str, str, int, str]]:
    """Yield sequence, split, 0-based 5' end and strand of each promoter."""
    with gzip.open(BUILTIN / "ecoli_promoters.csv.gz", "rt") as file:
        for row in csv.DictReader(file):
            if row["label"] == "promoter":
                place = row["id"].split(":")[1]
                yield row["sequence"], row["split"], int(place[:-1]) - 1, place[-1]


def main() -> None:
    """Scan, call, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--stride-bp", type=int, default=15)
    parser.add_argument("--num-blocks", type=int, help="only the first test blocks")
    arguments = parser.parse_args()
    genome = next(iter_contigs(BUILTIN / "ecoli_k12_mg1655.fa.gz")).codes
    blocks = [start for start in range(0, len(genome), BLOCK_BP) if start // BLOCK_BP % 10 in TEST_BLOCKS]
    blocks = blocks[: arguments.num_blocks]
    arguments.output.mkdir(parents=True, exist_ok=True)
    fasta = arguments.output / "test_blocks.fa"
    fasta.write_text(
        "".join(f">{start}\n{decode_bases(genome[start : start + BLOCK_BP])}\n" for start in blocks)
    )
    promoters = list(read_promoters())
    # The minus strand is counted from the length of the genome on, so that the strands never come near.
    known = np.array(
        [
            place + (strand == "-") * 2 * len(genome)
            for _, split, place, strand in promoters
            if split == "test" and place // BLOCK_BP * BLOCK_BP in blocks
        ]
    )
    is_train = np.array([start // BLOCK_BP % 10 not in (*TEST_BLOCKS, 5) for start in range(len(genome))])
    counts = np.bincount(genome[is_train], minlength=4)[:4].astype(float)
    background = (counts + counts[[1, 0, 3, 2]]) / (2 * counts.sum())
    boxes = fit_boxes([encode_bases(text) for text, split, _, _ in promoters if split == "train"], background)
    print(
        "boxes learned from",
        sum(each[1] == "train" for each in promoters),
        "training promoters:",
        *("".join("ATCG"[code] for code in matrix.argmax(axis=1)) for matrix in (boxes.box_35, boxes.box_10)),
        f"spacer {SPACERS_BP[boxes.spacers.argmax()]} bp, {boxes.start_bp} bp from the -10 box to the start",
    )
    begun_s = time.monotonic()
    used_s = time.process_time()
    found = scan_genome(
        fasta,
        arguments.model,
        arguments.output / "scan",
        settings=ScanSettings(window_bp=WINDOW_BP, stride_bp=arguments.stride_bp, anchor_bp=START_BP),
        with_bigwig=False,
        reporter=build_reporter(),
    )
    elapsed_s, cpu_s = time.monotonic() - begun_s, time.process_time() - used_s
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{2 * found['windows']:,} windows, {elapsed_s:,.0f} s, {cpu_s:,.0f} s of CPU, "
        f"at most {peak_mb:,.0f} MB"
    )
    places, values = {"classifier": [], "matrix": []}, {"classifier": [], "matrix": []}
    for strand, (_, name) in enumerate(STRANDS):
        with gzip.open(arguments.output / "scan" / f"{name}.bedgraph.gz", "rt") as file:
            table = np.loadtxt(file, usecols=(0, 1, 3))
        places["classifier"].append(table[:, :2].sum(axis=1).astype(np.int64) + strand * 2 * len(genome))
        values["classifier"].append(table[:, 2])
        for start in blocks:
            codes = genome[start : start + BLOCK_BP]
            score = score_boxes(reverse_complement(codes) if strand else codes, boxes)
            place = np.arange(len(score)) + boxes.start_bp
            place = start + (len(codes) - 1 - place if strand else place)
            places["matrix"].append(place + strand * 2 * len(genome))
            values["matrix"].append(score)
    generator = np.random.default_rng(0)
    print(f"known starts in the test blocks: {len(known)}")
    print(
        "| calls | by | " + " | ".join(f"precision, recall within {each} bp" for each in DISTANCES_BP) + " |"
    )
    print("| --- " * (2 + len(DISTANCES_BP)) + "|")
    for number in (len(known), 2 * len(known), 5 * len(known)):
        for name in ("classifier", "matrix", "chance"):
            if name == "chance":
                calls = generator.choice(np.concatenate(places["matrix"]), size=number, replace=False)
            else:
                where, what = np.concatenate(places[name]), np.concatenate(values[name])
                calls = where[pick_calls(where, what, number)]
            figures = (measure(calls, known, distance_bp) for distance_bp in DISTANCES_BP)
            print(f"| {number:,} | {name} | " + " | ".join(f"{p:.3f}, {r:.3f}" for p, r in figures) + " |")


if __name__ == "__main__":
    main()
