"""`genolm data split` and `genolm data negatives`, as commands."""

import inspect
import json
from dataclasses import fields

import pytest
import typer
from made_up_dna import make_dna
from typer.testing import CliRunner

from genolm.cli import data_tools
from genolm.corpus.labeled import read_labeled
from genolm.corpus.negatives.build import NegativeSettings
from genolm.corpus.splitting.groups import ClusterSettings
from genolm.corpus.splitting.split_table import SplitSettings
from genolm.errors import DataError, SettingsError
from genolm.files import compute_sha256

GENES = [("contig_a", 1_001, 6_000, "+"), ("contig_a", 12_001, 19_000, "-"), ("contig_b", 2_001, 9_000, "+")]
PLACES = [("contig_a", 920, 1_001), ("contig_a", 33_000, 33_081), ("contig_b", 1_930, 2_011)]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a command; the words are its arguments."""
    monkeypatch.delenv("GENOLM_MIRRORS", raising=False)
    app = typer.Typer()
    app.command()(data_tools.split)
    app.command()(data_tools.negatives)

    def run_command(*words):
        result = CliRunner().invoke(app, [str(word) for word in words])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    return run_command


@pytest.fixture
def promoters(small_genome, tmp_path):
    """Three promoters of the small genome, with a class beside them, and the genes as GFF3."""
    lines = ["sequence,label,split,id"]
    for number, (contig, start, end) in enumerate(PLACES):
        lines.append(
            f"{small_genome.sequences[contig][start:end]},1,{'train' if number else 'test'},p{number}"
        )
    lines.append(f"{make_dna(81, seed=77)},0,train,n0\n")
    (tmp_path / "promoters.csv").write_text("\n".join(lines))
    rows = [f"{c}\tx\t{kind}\t{s}\t{e}\t.\t{d}\t0\tID=x" for c, s, e, d in GENES for kind in ("gene", "CDS")]
    (tmp_path / "genes.gff").write_text("\n".join(["##gff-version 3", *rows, ""]))
    return tmp_path / "promoters.csv"


def test_split_writes_the_table_and_prints_the_shares(run, tmp_path):
    data = tmp_path / "data.csv"
    families = [make_dna(60, seed=n) for n in range(40)]
    rows = [f"{text[i : i + 56]},{n % 2}\n" for n, text in enumerate(families) for i in (0, 4)]
    data.write_text("sequence,class\n" + "".join(rows))
    output = tmp_path / "split.csv"
    printed = run("split", data, "--output", output, "--label-column", "class", "--seed", 3)
    found = read_labeled(output, label_column="class")
    assert [n for n in range(0, 80, 2) if found.splits[n] != found.splits[n + 1]] == []
    assert "split.csv: 80 records" in printed
    assert "40 groups, the largest of 2 records" in printed
    assert "28 (50.0%)" in printed
    assert "closest pair across: none near the limit" in printed
    summary = json.loads((tmp_path / "split.json").read_text())
    assert summary["source"] == {"name": "data.csv", "sha256": compute_sha256(data)}
    assert (summary["seed"], summary["settings"]["clusters"]["identity"]) == (3, 0.1)

    printed = run("split", data, "--output", output, "--method", "random", "--folds", 2, "--repeats", 2)
    assert output.read_text().splitlines()[0] == "sequence,class,fold_1,fold_2"
    assert "closest pair across: 0.91 of the k-mers, record_" in printed  # 41 of 45
    assert "fold_2=1" in printed


@pytest.mark.parametrize("method", ["intergenic", "antisense_coding", "gc_matched"])
def test_negatives_from_a_genome(run, promoters, small_genome, tmp_path, method):
    output = tmp_path / "both.csv.gz"
    words = ["negatives", promoters, "--method", method, "--genome", small_genome.path, "--output", output]
    words += ["--annotation", tmp_path / "genes.gff", "--negatives-per-positive", 2, "--gc-bin-width", 0.2]
    printed = run(*words, "--store", tmp_path / "store", "--offline")
    found = read_labeled(output)
    assert sorted(zip(found.splits, found.labels.tolist(), strict=True)) == sorted(
        [("train", 1)] * 2 + [("test", 1)] + [("train", 0)] * 4 + [("test", 0)] * 2
    )
    assert "both.csv.gz: 9" in printed
    assert "too few" not in printed
    summary = json.loads((tmp_path / "both.json").read_text())
    assert summary["genome"]["name"] == "small"
    assert summary["annotation"]["name"] == "genes.gff"
    assert summary["settings"]["method"] == method
    assert str(tmp_path) not in (tmp_path / "both.json").read_text()


def test_negatives_without_a_genome(run, promoters, tmp_path):
    output = tmp_path / "both.csv"
    run("negatives", promoters, "--method", "substitution", "--output", output, "--positive-label", 0)
    assert read_labeled(output).ids == ("n0", "n0|substitution_1")


def test_too_few_are_told(run, promoters, small_genome, tmp_path):
    words = ["negatives", promoters, "--method", "intergenic", "--genome", small_genome.path]
    words += ["--annotation", tmp_path / "genes.gff", "--min-distance-bp", 9_000, "--store", tmp_path / "s"]
    assert "too few: " in run(*words, "--output", tmp_path / "both.csv", "--negatives-per-positive", 50)


def test_what_cannot_be_done_is_said_and_nothing_is_written(run, promoters, small_genome, tmp_path):
    output = tmp_path / "out.csv"
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SettingsError, match=r"the output out\.tsv"):
        run("split", "none.csv", "--output", tmp_path / "out.tsv")
    with pytest.raises(SettingsError, match="the method 'best'"):
        run("split", "none.csv", "--output", output, "--method", "best")
    with pytest.raises(DataError, match=r"no file at none\.csv"):
        run("split", "none.csv", "--output", output)
    with pytest.raises(SettingsError, match="the method 'easy'"):
        run("negatives", promoters, "--method", "easy", "--output", output)
    with pytest.raises(SettingsError, match="gc_matched without a genome"):
        run("negatives", promoters, "--method", "gc_matched", "--output", output)
    words = ["negatives", promoters, "--method", "intergenic", "--output", output, "--store", tmp_path]
    with pytest.raises(SettingsError, match="intergenic without an annotation"):
        run(*words, "--genome", small_genome.path)
    assert sorted(tmp_path.iterdir()) == before


def test_the_defaults_of_the_commands_are_those_of_the_settings():
    for command, kinds in (
        (data_tools.split, (SplitSettings, ClusterSettings)),
        (data_tools.negatives, (NegativeSettings,)),
    ):
        defaults = {name: each.default for name, each in inspect.signature(command).parameters.items()}
        for field in (field for kind in kinds for field in fields(kind)):
            if (field.name, command) not in (
                ("clusters", data_tools.split),
                ("method", data_tools.negatives),
            ):
                assert defaults[field.name] == field.default
