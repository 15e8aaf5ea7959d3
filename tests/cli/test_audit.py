"""`genolm data check`, as an app of its own."""

import json

import pytest
import typer
from made_up_dna import make_dna
from typer.testing import CliRunner

from genolm.cli.audit import check
from genolm.errors import DataError, SettingsError


@pytest.fixture
def run(monkeypatch):
    """Run the command in a wide terminal; an error of genolm is raised."""
    monkeypatch.setenv("COLUMNS", "200")
    app = typer.Typer()
    app.command()(check)

    def run_command(*words):
        result = CliRunner().invoke(app, list(map(str, words)))
        run_command.output = result.stdout
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    return run_command


def write_table(path, *, leaks, names=("id", "sequence", "label", "split")):
    sequences = [make_dna(60, seed=number) for number in range(40)]
    if leaks:
        sequences[35] = sequences[1]
    rows = [
        f"g{number},{sequence},{('other', 'promoter')[number % 2]},{'train' if number < 30 else 'test'}"
        for number, sequence in enumerate(sequences)
    ]
    path.write_text("\n".join([",".join(names), *rows]) + "\n")
    return path


def test_clean_data(run, tmp_path):
    output = run(write_table(tmp_path / "clean.csv", leaks=False))
    assert "40 records" in output
    assert "train, promoter" in output
    assert "test with train" in output
    assert "'other' if it shares a 16-mer with a training record of 'other'" in output
    assert "leak:" not in output


def test_a_leak_is_an_error(run, tmp_path):
    path, figures = write_table(tmp_path / "leaky.csv", leaks=True), tmp_path / "figures.json"
    message = r"found 3 leak\(s\) in leaky.csv \(duplicates_across_splits, near_dup.*, shared.*--allow-leak"
    with pytest.raises(DataError, match=message) as raised:
        run(path, "--json", figures)
    assert raised.value.exit_code == 3
    assert "1 (10.0 %) of test with train" in run.output
    assert "remedy: remove these records from training" in run.output
    leak = json.loads(figures.read_text())["findings"][0]
    assert (leak["severity"], leak["figures"]["examples"]) == ("leak", ["g1 and g35"])


def test_a_leak_is_allowed(run, tmp_path):
    assert "leak: duplicates_across_splits" in run(
        write_table(tmp_path / "x.csv", leaks=True), "--allow-leak"
    )


def test_columns_are_named(run, tmp_path):
    path = write_table(tmp_path / "x.csv", leaks=False, names=("name", "dna", "kind", "part"))
    options = {"sequence": "dna", "label": "kind", "split": "part", "id": "name"}
    words = [word for kind, name in options.items() for word in (f"--{kind}-column", name)]
    assert "train, promoter" in run(path, *words)
    with pytest.raises(DataError, match="expected a column named sequence"):
        run(path)


def test_no_split_and_a_class_of_one(run, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("sequence,label\nACGTN,0\nNN,1\nGGC,0\n")
    output = run(path)
    assert "predictors without biology: not tried, for a class has a single record" in output
    assert "N in" not in output


def test_a_folder_for_the_figures_is_refused(run, tmp_path):
    with pytest.raises(SettingsError, match="expected a file name for the figures"):
        run(write_table(tmp_path / "x.csv", leaks=False), "--json", tmp_path)
