"""Corpora and labeled data as folders for the hub: what is written, what the card says, the commands."""

import re

import pytest
import yaml
from datasets import load_dataset
from huggingface_hub import DatasetCard
from made_up_dna import make_dna
from typer.testing import CliRunner

from genolm.cli import app
from genolm.corpus.build import build_corpus
from genolm.corpus.labeled import ColumnNames, read_labeled
from genolm.corpus.settings import CorpusSettings
from genolm.errors import DataError, PublishError, RunFolderError
from genolm.files import compute_sha256
from genolm.publishing import dataset_card
from genolm.publishing.card.hub_rules import PLACEHOLDERS
from genolm.publishing.dataset_card import write_dataset_folder


@pytest.fixture(scope="module")
def corpus(small_genome, tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus") / "corpus"
    build_corpus([small_genome.path], folder, settings=CorpusSettings(block_bp=2_000), workers=1)
    return folder


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """30 sequences of 40 and 50 bp, 18 to train, 6 to validate, 6 to test; two of train are the same."""
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    lines = ["name,dna,kind,part"]
    for number in range(30):
        split = ("train", "train", "train", "validation", "test")[number // 2 % 5]
        seed = number if number != 2 else 0
        lines.append(
            f"r{number},{make_dna(40 + number % 2 * 10, seed=seed)},{('a|b', 'c')[number % 2]},{split}"
        )
    path.write_text("\n".join(lines) + "\n")
    return path


COLUMNS = ColumnNames(sequence="dna", label="kind", split="part", id="name")


def test_labeled_data_come_back_as_they_were(labels, tmp_path):
    written = write_dataset_folder(labels, tmp_path / "my set", license="cc0-1.0", columns=COLUMNS)
    assert written.records == {"train": 18, "validation": 6, "test": 6}
    files = sorted((tmp_path / "my set" / "data").iterdir())
    assert [file.name for file in files] == [
        f"{split}-00000-of-00001.parquet" for split in ("test", "train", "validation")
    ]
    assert written.total_bytes == sum(file.stat().st_size for file in files)
    loaded = load_dataset(str(tmp_path / "my set"), cache_dir=str(tmp_path / "cache"))
    original = read_labeled(labels, **COLUMNS.build_arguments())
    assert set(loaded) == set(written.records)
    for split, rows in loaded.items():
        part = original.select(split)
        assert rows.features["label"].names == ["a|b", "c"]
        assert (rows["id"][:], rows["sequence"][:], rows["label"][:]) == (
            list(part.ids),
            part.sequences,
            part.labels.tolist(),
        )


def test_the_card_of_labeled_data_has_counts_checksum_and_audit(labels, tmp_path):
    write_dataset_folder(labels, tmp_path / "set", license="cc0-1.0", columns=COLUMNS)
    text = (tmp_path / "set" / "README.md").read_text()
    data = DatasetCard(text).data
    assert (data.license, data.size_categories, data.pretty_name) == ("cc0-1.0", ["n<1K"], "set")
    assert data.task_categories == ["text-classification"]
    assert "| split | records | a\\|b | c | length, bp | GC |" in text
    assert re.search(r"\| train \| 18 \| 9 \| 9 \| 40 to 50, median 45 \| 0\.\d{3} \|", text)
    assert f"File `labels.csv`, sha256 `{compute_sha256(labels)}`" in text
    assert "\n- warning: 1 record repeating an earlier one; 0 pairs of reverse complements\n" in text
    assert "`cc0-1.0`, as stated by whoever wrote this folder" in text
    assert PLACEHOLDERS.search(text) is None
    assert str(tmp_path) not in text


def test_data_without_splits_are_one_split_and_the_card_says_so(tmp_path):
    path = tmp_path / "plain.csv"
    lines = [f"{make_dna(40, seed=number)},{number % 2}" for number in range(20)]
    path.write_text("\n".join(["sequence,label", *lines]) + "\n")
    assert write_dataset_folder(path, tmp_path / "set").records == {"train": 20}
    text = (tmp_path / "set" / "README.md").read_text()
    assert "The source has no splits" in text
    assert "Not stated by whoever wrote this folder" in text
    assert "license" not in yaml.safe_load(text.split("---\n")[1])
    assert load_dataset(str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"))["train"].num_rows == 20


def test_data_too_large_for_the_audit_say_so(labels, tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_card, "MAX_AUDITED_BASES", 10)
    write_dataset_folder(labels, tmp_path / "set", columns=COLUMNS)
    assert "Not audited for leaks: too many bases" in (tmp_path / "set" / "README.md").read_text()


def test_the_card_of_a_corpus_has_lengths_and_checksums(corpus, small_genome, tmp_path):
    summary = write_dataset_folder(corpus, tmp_path / "bases", license="cc0-1.0")
    text = (tmp_path / "bases" / "README.md").read_text()
    data = DatasetCard(text).data
    assert (data.license, data.task_categories) == ("cc0-1.0", ["fill-mask"])
    loaded = load_dataset(str(tmp_path / "bases"), cache_dir=str(tmp_path / "cache"))
    lengths_bp = sorted(map(len, loaded["validation"]["sequence"]))
    gc = sum(each.upper().count(base) for each in loaded["validation"]["sequence"] for base in "GC")
    row = next(line for line in text.splitlines() if line.startswith("| validation |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:4] == [str(len(lengths_bp)), f"{sum(lengths_bp):,}", f"{gc / sum(lengths_bp):.3f}"]
    assert cells[5].startswith(f"{lengths_bp[0]:,} to {lengths_bp[-1]:,}, median ")
    assert cells[6] == compute_sha256(corpus / "bases-validation.u8")
    assert f"| small | a file of the user | small.fa.gz | {compute_sha256(small_genome.path)} | 2 |" in text
    assert "Left out, in bp: 701 that are not A, C, G or T" in text
    assert set(summary.files) == set(loaded)
    assert PLACEHOLDERS.search(text) is None


def test_bad_input_is_refused_before_anything_is_written(corpus, labels, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("x")
    for source in (corpus, labels):
        with pytest.raises(RunFolderError, match="full, which is not empty; expected a new folder"):
            write_dataset_folder(source, tmp_path / "full", columns=COLUMNS)
        with pytest.raises(PublishError, match="the license 'free'; expected an identifier of the hub"):
            write_dataset_folder(source, tmp_path / "new", license="free")
    with pytest.raises(RunFolderError, match=r"no corpus.json in .*; expected a finished corpus"):
        write_dataset_folder(tmp_path, tmp_path / "new")
    with pytest.raises(DataError, match="expected a column named sequence"):
        write_dataset_folder(labels, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def run_command(*words: object) -> str:
    result = CliRunner().invoke(app, list(map(str, words)))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_data_export_is_a_command(labels, tmp_path):
    names = [
        "--sequence-column",
        "dna",
        "--label-column",
        "kind",
        "--split-column",
        "part",
        "--id-column",
        "name",
    ]
    printed = run_command("data", "export", labels, "--output", tmp_path / "set", "--license", "mit", *names)
    assert "set: train 18, validation 6, test 6 records; 0.0 MB of Parquet and README.md" in printed
    card = (tmp_path / "set" / "README.md").read_text()
    assert DatasetCard(card).data.license == "mit"
    with pytest.raises(PublishError, match="the license 'free'"):
        run_command("data", "export", labels, "--output", tmp_path / "other", "--license", "free")


def test_corpus_export_writes_the_card_where_it_is_asked_for(corpus, tmp_path):
    run_command("corpus", "export", corpus, "--output", tmp_path / "plain")
    assert "sha256 of the bases" not in (tmp_path / "plain" / "README.md").read_text()
    printed = run_command("corpus", "export", corpus, "--output", tmp_path / "card", "--card")
    assert "files: train 1, validation 1, test 1" in printed
    assert "sha256 of the bases" in (tmp_path / "card" / "README.md").read_text()
    run_command("corpus", "export", corpus, "--output", tmp_path / "licensed", "--license", "mit")
    assert DatasetCard((tmp_path / "licensed" / "README.md").read_text()).data.license == "mit"
    with pytest.raises(PublishError, match="the license 'free'"):
        run_command("corpus", "export", corpus, "--output", tmp_path / "no", "--license", "free")
