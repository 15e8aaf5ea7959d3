#!/usr/bin/env python3
"""Build genolm/builtin_data/ecoli_promoters_gc_matched.csv.gz: the quickstart's promoters, harder negatives.

    python scripts/build_harder_negatives.py

The negatives of ecoli_promoters.csv.gz are all antisense to coding sequence, so that "is it coding?" and the
GC content answer much of the question. These are windows of the same genome, wherever they lie, with the GC
content of the promoters, at least 150 bp from every one of them. Like the promoters they belong to the split
of their 50 kb block.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

from genolm.corpus.builtin import find_builtin
from genolm.corpus.labeled import ColumnNames
from genolm.corpus.negatives.build import NegativeSet, NegativeSettings, Record, build_negatives
from genolm.corpus.negatives.negative_table import read_positives, write_negative_set
from genolm.files import compute_sha256, read_json

SOURCE, GENOME, NAME = "ecoli_promoters", "ecoli_k12_mg1655", "ecoli_promoters_gc_matched"
SETTINGS = NegativeSettings(method="gc_matched", negatives_per_positive=2)
SEED = 0


def find_split(start: int, end: int, rules: dict) -> str:
    """Return the split of a window by its block, empty within `edge_bp` of a block of another split.

    >>> rules = dict(block_bp=100, blocks_per_cycle=3, validation_blocks=[1], test_blocks=[2], edge_bp=10)
    >>> [find_split(start, start + 20, rules) for start in (0, 20, 75, 115, 190, 240)]
    ['train', 'train', '', 'validation', '', 'test']
    """

    def get_split(position: int) -> str:
        block = position // rules["block_bp"] % rules["blocks_per_cycle"]
        held_out = {"validation": rules["validation_blocks"], "test": rules["test_blocks"]}
        return next((split for split, blocks in held_out.items() if block in blocks), "train")

    found = {
        get_split(position) for position in (max(start - rules["edge_bp"], 0), end - 1 + rules["edge_bp"])
    }
    return found.pop() if len(found) == 1 else ""


def keep_split_blocks(rows: list[Record], *, positive: str, rules: dict) -> list[Record]:
    """Return the positives, and the negatives that lie in blocks of their own split."""
    return [
        row
        for row in rows
        if row.label == positive or find_split(int(row.start), int(row.end), rules) == row.split
    ]


def main() -> None:
    """Parse the command line and build."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("genolm/builtin_data"), help="folder to write")
    output = parser.parse_args().output
    source, genome = find_builtin(SOURCE), find_builtin(GENOME)
    rules = read_json(source.with_name("provenance.json"))["settings"]
    positives, labels = read_positives(source, columns=ColumnNames())
    built = build_negatives(positives, settings=SETTINGS, labels=labels, seed=SEED, genome_path=genome)
    rows = keep_split_blocks(built.rows, positive=labels[0], rules=rules)
    provenance = {
        "source": {"name": source.name, "sha256": compute_sha256(source)},
        "genome": {"name": genome.name, "sha256": compute_sha256(genome)},
        "settings": asdict(SETTINGS),
        "seed": SEED,
        "left_out_in_blocks_of_another_split": len(built.rows) - len(rows),
    }
    result = NegativeSet(rows, built.missing, built.not_found)
    print(write_negative_set(result, output / f"{NAME}.csv.gz", provenance=provenance).read_text())


if __name__ == "__main__":
    main()
