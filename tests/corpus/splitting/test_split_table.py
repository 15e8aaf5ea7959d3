"""A table in, the same table with its splits out, and what the summary says of it."""

import gzip
import json
from collections import Counter

import pytest
from made_up_dna import make_dna
from planted_duplicates import find_plainly, flip

from genolm.corpus.labeled import ColumnNames, read_labeled
from genolm.corpus.splitting.groups import ClusterSettings
from genolm.corpus.splitting.split_table import SplitSettings, split_table, write_split_table
from genolm.corpus.splitting.table import get_places, read_record_table
from genolm.errors import DataError, SettingsError
from genolm.genome.intervals import Interval


@pytest.fixture
def write_table(tmp_path):
    def write(rows, header="sequence,label,note"):
        path = tmp_path / "data.csv"
        path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows), ""]))
        return path

    return write


def make_rows(num_pairs=60):
    """Pairs of records that overlap by three quarters, every second pair turned; a third is of class b."""
    rows = []
    for number in range(num_pairs):
        text = make_dna(100, seed=number)
        mate = text[20:]
        label = "b" if number % 3 == 0 else "a"
        rows += [(text[:80], label, f"first {number}"), (flip(mate) if number % 2 else mate, label, "")]
    return rows


def read(path, **columns):
    return read_record_table(path, columns=ColumnNames(**columns))


def test_the_table_keeps_its_cells_and_gets_a_split(write_table, tmp_path):
    rows = make_rows()
    result = split_table(read(write_table(rows)), settings=SplitSettings(), seed=0)
    output = tmp_path / "out" / "split.csv.gz"
    summary_path = write_split_table(result, output, provenance={"seed": 0})
    first = output.read_bytes()
    lines = gzip.decompress(first).decode().splitlines()
    assert lines[0] == "sequence,label,note,split"
    assert [line.rpartition(",")[0] for line in lines[1:]] == [",".join(row) for row in rows]
    found = read_labeled(output)
    assert Counter(found.splits) == {"train": 84, "validation": 12, "test": 24}
    assert [one for one in range(0, 120, 2) if found.splits[one] != found.splits[one + 1]] == []
    summary = json.loads(summary_path.read_text())
    assert summary_path.name == "split.json"
    assert (summary["records"], summary["groups"], summary["largest_group"], summary["seed"]) == (
        120,
        60,
        2,
        0,
    )
    assert summary["splits"] == {
        "train": {"a": 56, "b": 28},
        "validation": {"a": 8, "b": 4},
        "test": {"a": 16, "b": 8},
    }
    assert summary["largest_share_error"] == 0
    assert summary["closest_pair"] is None
    write_split_table(result, output, provenance={"seed": 0})
    assert output.read_bytes() == first


def test_the_closest_pair_is_the_one_of_the_plain_comparison(write_table):
    texts = [row[0] for row in make_rows(12)]
    table = read(write_table([(text, index % 2, index) for index, text in enumerate(texts)]))
    settings = SplitSettings(method="random", validation_fraction=0, test_fraction=0.5)
    result = split_table(table, settings=settings, seed=1)
    splits = [cells["split"] for cells in result.rows]
    crossing = [share for (i, j), share in find_plainly(texts, 12, 0.25).items() if splits[i] != splits[j]]
    assert result.summary.closest_pair["share"] == pytest.approx(max(crossing))
    one, other = (int(name.removeprefix("record_")) - 1 for name in result.summary.closest_pair["ids"])
    assert splits[one] != splits[other]
    assert abs(one - other) == 1


def test_a_random_split_is_warned_of(write_table, caplog):
    settings = SplitSettings(method="random")
    split_table(read(write_table(make_rows())), settings=settings, seed=0)
    assert "a random split can leak" in caplog.text
    assert "have 71 % of their 12-mers in common" in caplog.text  # 49 of the 69 of each record


def test_groups_that_are_too_large_for_a_balance_are_told(write_table, caplog):
    rows = [(make_dna(60, seed=n), "ab"[n % 7 == 0], "x" if n < 30 else n) for n in range(60)]
    settings = SplitSettings(method="group", group_column="note", validation_fraction=0, test_fraction=0.25)
    result = split_table(read(write_table(rows)), settings=settings, seed=0)
    assert {cells["split"] for cells in result.rows[:30]} == {"train"}
    assert (result.summary.groups, result.summary.largest_group) == (31, 30)
    assert "the share of a class differs" not in caplog.text
    rows = [(make_dna(60, seed=n), "a" if n < 30 or n % 2 else "b", "x" if n < 30 else n) for n in range(60)]
    settings = SplitSettings(method="group", group_column="note", validation_fraction=0, test_fraction=0.7)
    result = split_table(read(write_table(rows)), settings=settings, seed=0)
    assert result.summary.largest_share_error > 0.02
    assert "(the largest has 30 of 60 records) for a better balance" in caplog.text


def test_folds_are_columns_counted_from_one(write_table):
    settings = SplitSettings(folds=4, repeats=2)
    result = split_table(read(write_table(make_rows())), settings=settings, seed=0)
    assert result.columns == ("sequence", "label", "note", "fold_1", "fold_2")
    for column in ("fold_1", "fold_2"):
        assert Counter(cells[column] for cells in result.rows) == dict.fromkeys("1234", 30)
    assert list(result.summary.splits) == [f"fold_{r}={f}" for r in (1, 2) for f in (1, 2, 3, 4)]
    assert result.summary.splits["fold_2=3"] == {"a": 20, "b": 10}


def test_an_old_split_is_replaced_in_its_place(write_table):
    rows = [(text, "junk", label) for text, label, _ in make_rows()]
    table = read(write_table(rows, header="sequence,split,label"))
    result = split_table(table, settings=SplitSettings(), seed=0)
    assert result.columns == ("sequence", "split", "label")
    assert {cells["split"] for cells in result.rows} == {"train", "validation", "test"}


def test_blocks_by_columns_and_by_ids(write_table):
    rows = [
        (
            make_dna(50, seed=n),
            n % 2,
            "c",
            10_000 * (n // 4) + 100 * (n % 4),
            10_000 * (n // 4) + 100 * (n % 4) + 50,
        )
        for n in range(40)
    ]
    table = read(write_table(rows, header="sequence,label,contig,start,end"))
    settings = SplitSettings(method="blocks", block_bp=10_000)
    result = split_table(table, settings=settings, seed=0)
    splits = [cells["split"] for cells in result.rows]
    assert result.summary.groups == 10
    assert all(len({*splits[n : n + 4]}) == 1 for n in range(0, 40, 4))
    by_id = [(text, label, f"{contig}:{start}-{end}(-)|x") for text, label, contig, start, end in rows]
    table = read(write_table(by_id, header="sequence,label,id"))
    assert get_places(table)[5] == Interval("c", 10_100, 10_150)
    assert [cells["split"] for cells in split_table(table, settings=settings, seed=0).rows] == splits


def test_many_values_are_no_classes(write_table):
    rows = [(make_dna(40, seed=n), f"{n / 7:.3f}", "") for n in range(50)]
    result = split_table(read(write_table(rows)), settings=SplitSettings(), seed=0)
    assert result.summary.splits == {"train": {"all": 35}, "validation": {"all": 5}, "test": {"all": 10}}


def test_fasta_with_and_without_labels(tmp_path):
    path = tmp_path / "data.fa"
    path.write_text("".join(f">r{n}|{n % 2}|training\n{make_dna(40, seed=n)}\n" for n in range(30)))
    result = split_table(read(path), settings=SplitSettings(), seed=0)
    assert result.columns == ("id", "sequence", "label", "split")
    assert result.rows[3] | {"split": ""} == {
        "id": "r3",
        "sequence": make_dna(40, seed=3),
        "label": "1",
        "split": "",
    }
    path.write_text("".join(f">r{n}\n{make_dna(40, seed=n)}\n" for n in range(30)))
    result = split_table(read(path), settings=SplitSettings(), seed=0)
    assert result.columns == ("id", "sequence", "split")
    assert Counter(cells["split"] for cells in result.rows) == {"train": 21, "test": 6, "validation": 3}


def test_columns_that_are_missing_are_named(write_table):
    path = write_table(make_rows(3))
    with pytest.raises(DataError, match=r"the columns sequence, label, note in data.csv; .* named class"):
        read(path, label="class")
    with pytest.raises(DataError, match="expected a column named family"):
        split_table(read(path), settings=SplitSettings(method="group", group_column="family"), seed=0)
    with pytest.raises(
        DataError, match=r"no note at record 2 of data.csv; expected a group for every record"
    ):
        split_table(read(path), settings=SplitSettings(method="group", group_column="note"), seed=0)
    with pytest.raises(DataError, match=r"no place on a genome for record 1 of data\.csv"):
        split_table(read(path), settings=SplitSettings(method="blocks"), seed=0)


@pytest.mark.parametrize("row", ["c,20,10", "c,x,30", ",0,30", "c,-5,30", "c,,30"])
def test_a_place_that_is_none_is_refused(write_table, row):
    path = write_table([(make_dna(30, seed=1), 1, row)], header="sequence,label,contig,start,end")
    with pytest.raises(DataError, match="no place on a genome for record 1"):
        get_places(read(path))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "best"}, "the method 'best'; expected one of clusters, blocks, group, random"),
        ({"method": "group"}, "method group and group_column ''"),
        ({"group_column": "x"}, "method clusters and group_column 'x'"),
        ({"validation_fraction": -0.1}, "validation_fraction = -0.1"),
        ({"validation_fraction": 0, "test_fraction": 0}, "more than 0 and less than 1"),
        ({"test_fraction": 0.9}, "test_fraction = 0.9; expected shares of 0 or more"),
        ({"folds": 1}, "folds = 1 and repeats = 1"),
        ({"repeats": 3}, "folds = 0 and repeats = 3"),
        ({"folds": 3, "repeats": 0}, "folds = 3 and repeats = 0"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(wrong, message):
    with pytest.raises(SettingsError, match=message):
        SplitSettings(**wrong)


def test_another_ending_is_refused(write_table, tmp_path):
    settings = SplitSettings(clusters=ClusterSettings(identity=1.0))
    result = split_table(read(write_table(make_rows())), settings=settings, seed=0)
    assert result.summary.groups == 120
    with pytest.raises(SettingsError, match=r"the output split\.tsv; expected NAME\.csv"):
        write_split_table(result, tmp_path / "split.tsv", provenance={})
