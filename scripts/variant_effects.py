#!/usr/bin/env python
"""Compare what a model says of variants with what a saturation mutagenesis measured, element by element.

    python scripts/variant_effects.py DATA --genome hg38.fa.gz --model runs/human/model --output runs/effects
    python scripts/variant_effects.py DATA --model runs/human/model --output runs/effects    # elements alone

DATA is the folder with satmut_mpra_grch38.csv.gz and satmut_mpra_elements.csv.gz (Kircher et al. 2019,
doi:10.1038/s41467-019-11526-w). Without --genome each element is a contig of its own, so that only variants
whose whole window lies in the element are scored. Printed for each element is the rank correlation of the
measured log2 effect with the model's delta, with a 95 % interval (bootstrap over positions, whose variants
hang together), beside that with the change of GC and of CpG, which know no regulation.
"""

import argparse
import csv
import gzip
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from genolm.cli.console import open_model_reporter
from genolm.interpretation.chosen_model import find_window_bp
from genolm.interpretation.variants.run import annotate_variants
from genolm.interpretation.variants.settings import VariantSettings

MEASURED_FILE, ELEMENTS_FILE = "satmut_mpra_grch38.csv.gz", "satmut_mpra_elements.csv.gz"
MIN_BARCODES = 10  # below, the authors call a measurement unreliable
NUM_RESAMPLES = 1000

Floats = npt.NDArray[np.float64]


class Measured(NamedTuple):
    """A substitution and what it did."""

    element: str
    contig: str
    position_1based: int
    ref: str
    alt: str
    log2_effect: float


class Element(NamedTuple):
    """A stretch of the plus strand."""

    contig: str
    start_1based: int
    sequence: str


def read_measured(folder: Path) -> list[Measured]:
    """Read the substitutions with enough barcodes; deletions are left out."""
    with gzip.open(folder / MEASURED_FILE, "rt") as file:
        return [
            Measured(
                row["element"],
                row["chrom"],
                int(row["pos"]),
                row["ref"],
                row["alt"],
                float(row["log2_effect"]),
            )
            for row in csv.DictReader(file)
            if row["alt"] in "ACGT" and int(row["barcodes"]) >= MIN_BARCODES
        ]


def read_elements(folder: Path) -> dict[str, Element]:
    """Read the elements by name."""
    with gzip.open(folder / ELEMENTS_FILE, "rt") as file:
        return {
            row["element"]: Element(row["chrom"], int(row["start_1based"]), row["ref_sequence_plus_strand"])
            for row in csv.DictReader(file)
        }


def count_changes(variant: Measured, element: Element) -> tuple[float, float]:
    """Return how many G and C, and how many CpG, the variant adds."""
    place = variant.position_1based - element.start_1based
    left, right = element.sequence[max(place - 1, 0) : place], element.sequence[place + 1 : place + 2]
    gc = float(variant.alt in "GC") - float(variant.ref in "GC")
    cpg = (left + variant.alt + right).count("CG") - (left + variant.ref + right).count("CG")
    return gc, float(cpg)


def correlate(
    scores: Floats, effects: Floats, positions: npt.NDArray[np.int64], *, seed: int = 0
) -> tuple[float, float, float]:
    """Return Spearman's correlation and its 95 % interval; NaN where one side does not vary."""
    places = np.unique(positions, return_inverse=True)[1]
    order = np.argsort(places, kind="stable")
    rows_of = np.split(order, np.cumsum(np.bincount(places))[:-1])
    generator = np.random.default_rng(seed)
    drawn = [
        _correlate_ranks(scores[rows], effects[rows])
        for rows in (
            np.concatenate([rows_of[i] for i in generator.integers(0, len(rows_of), len(rows_of))])
            for _ in range(NUM_RESAMPLES)
        )
    ]
    low, high = np.nanpercentile(drawn, [2.5, 97.5]) if np.isfinite(drawn).any() else (np.nan, np.nan)
    return _correlate_ranks(scores, effects), float(low), float(high)


def _correlate_ranks(scores: Floats, effects: Floats) -> float:
    if np.ptp(scores) == 0 or np.ptp(effects) == 0:
        return float("nan")
    return float(spearmanr(scores, effects).statistic)


def read_scores(path: Path, column: str) -> dict[tuple[str, int, str], float]:
    """Read a column of the table of genolm variants, of the alleles that were scored."""
    with path.open() as file:
        rows = csv.DictReader(file, delimiter="\t")
        return {
            (row["contig"], int(row["position_1based"]), row["alt"]): float(row[column])
            for row in rows
            if row["status"] == "scored"
        }


def main() -> None:
    """Score, correlate, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--genome", type=Path, help="GRCh38; without it only the elements themselves")
    parser.add_argument("--elements", nargs="+", help="names; by default all")
    parser.add_argument("--window-bp", type=int)
    parser.add_argument("--strand", default="both", choices=("both", "plus", "minus"))
    parser.add_argument("--class", dest="class_name")
    parser.add_argument("--column", default="delta", help="of the table; llr for a language model")
    arguments = parser.parse_args()
    elements = read_elements(arguments.data)
    chosen = arguments.elements or list(elements)
    measured = [each for each in read_measured(arguments.data) if each.element in chosen]
    arguments.output.mkdir(parents=True, exist_ok=True)
    genome = arguments.genome
    if genome is None:
        genome = arguments.output / "elements.fa"
        genome.write_text("".join(f">{name}\n{elements[name].sequence}\n" for name in chosen))
    table = arguments.output / "measured.csv"

    def locate(each: Measured) -> tuple[str, int, str]:
        """Contig, position from 1, and alternative allele, as the table of scores has them."""
        if arguments.genome is not None:
            return each.contig, each.position_1based, each.alt
        return each.element, each.position_1based - elements[each.element].start_1based + 1, each.alt

    places = {locate(each): each.ref for each in measured}
    rows = "".join(f"{contig},{position},{ref},{alt}\n" for (contig, position, alt), ref in places.items())
    table.write_text("contig,position,ref,alt\n" + rows)
    settings = VariantSettings(
        window_bp=find_window_bp(arguments.model, arguments.window_bp),
        strand=arguments.strand,
        class_name=arguments.class_name,
    )
    found = annotate_variants(
        table,
        genome,
        arguments.model,
        arguments.output / "scores.tsv",
        settings=settings,
        reporter=open_model_reporter(),
    )
    print(f"{found.num_scored:,} of {found.num_alleles:,} alleles scored; skipped: {found.skipped}")
    scores = read_scores(arguments.output / "scores.tsv", arguments.column)
    print("| element | variants | model | change of GC | change of CpG |")
    print("| --- | --- | --- | --- | --- |")
    for name in chosen:
        kept = [each for each in measured if each.element == name and locate(each) in scores]
        if len(kept) < 10:
            print(f"| {name} | {len(kept)} | | | |")
            continue
        changes = np.array([count_changes(each, elements[name]) for each in kept])
        model = np.array([scores[locate(each)] for each in kept])
        effects = np.array([each.log2_effect for each in kept])
        positions = np.array([each.position_1based for each in kept])
        cells = (correlate(column, effects, positions) for column in (model, changes[:, 0], changes[:, 1]))
        print(
            f"| {name} | {len(kept)} | "
            + " | ".join(f"{r:.3f} ({a:.3f} .. {b:.3f})" for r, a, b in cells)
            + " |"
        )


if __name__ == "__main__":
    main()
