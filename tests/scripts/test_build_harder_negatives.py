"""The shipped set with harder negatives is what its script makes, and is as hard as it says."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from genolm.corpus.builtin import find_builtin
from genolm.corpus.labeled import read_labeled
from genolm.files import read_json

SCRIPT = Path(__file__).parents[2] / "scripts" / "build_harder_negatives.py"
build_harder_negatives = runpy.run_path(str(SCRIPT))


def compute_gc(sequences: list[str]) -> float:
    return float(np.mean([(s.count("G") + s.count("C")) / len(s) for s in sequences]))


def select(data, label: int) -> list[str]:
    return [text for text, found in zip(data.sequences, data.labels, strict=True) if found == label]


def test_the_script_makes_the_shipped_files_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["build", "--output", str(tmp_path)])
    build_harder_negatives["main"]()
    for name in ("ecoli_promoters_gc_matched.csv.gz", "ecoli_promoters_gc_matched.json"):
        assert (tmp_path / name).read_bytes() == (find_builtin("ecoli_promoters").parent / name).read_bytes()
    assert '"left_out_in_blocks_of_another_split": 193' in capsys.readouterr().out


def test_the_promoters_are_those_of_the_quickstart_and_the_gc_content_is_theirs():
    easy, hard = (read_labeled(find_builtin(f"ecoli_promoters{kind}")) for kind in ("", "_gc_matched"))
    sets = [
        {row for row in zip(each.sequences, each.labels.tolist(), each.splits, strict=True) if row[1] == 1}
        for each in (easy, hard)
    ]
    assert sets[0] == sets[1]
    assert len(sets[0]) == 1996
    gc = [[compute_gc(select(each, label)) for label in (0, 1)] for each in (easy, hard)]
    assert gc[0][0] - gc[0][1] > 0.1
    assert abs(gc[1][0] - gc[1][1]) < 0.005


def test_every_negative_lies_in_a_block_of_its_split():
    rules = read_json(find_builtin("ecoli_promoters").parent / "provenance.json")["settings"]
    hard = read_labeled(find_builtin("ecoli_promoters_gc_matched"))
    starts = [
        (int(name.split(":")[1].split("-")[0]), split)
        for name, label, split in zip(hard.ids, hard.labels, hard.splits, strict=True)
        if label == 0
    ]
    assert len(starts) == 3790
    for start, split in starts:
        block = start // rules["block_bp"] % 10
        assert split == ("test" if block in (3, 8) else "validation" if block == 5 else "train")


@pytest.mark.parametrize(("start", "split"), [(0, "train"), (249_790, ""), (250_210, "validation")])
def test_windows_beside_another_split_belong_to_none(start, split):
    rules = read_json(find_builtin("ecoli_promoters").parent / "provenance.json")["settings"]
    assert build_harder_negatives["find_split"](start, start + 81, rules) == split
