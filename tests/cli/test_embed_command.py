"""`genolm embed` and `genolm score`, and shipped models by name, through `genolm.cli.main`."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from small_models import save_small_model
from test_cli_commands import check_refused, run_cli

from genolm.inference.classification import classify
from genolm.inference.embed import embed
from genolm.inference.score import score
from genolm.models import builtin

SEQUENCES = ["ACGTACGTACGG", "TTTTACGACG", "CATNACATCATACT"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with lm, masked, classifier and sequences.fa."""
    folder = tmp_path_factory.mktemp("embed")
    for name, kind in (("lm", "awd_lstm_lm"), ("masked", "bert_lm"), ("classifier", "awd_lstm_classifier")):
        save_small_model(folder / name, kind)
    (folder / "sequences.fa").write_text("".join(f">s{i} text\n{s}\n" for i, s in enumerate(SEQUENCES)))
    return folder


def test_vectors_are_written_in_three_formats(place, tmp_path):
    expected = embed(place / "classifier", SEQUENCES, both_strands=True, layer=1, pooling="max")
    options = ("--model", place / "classifier", "--pooling", "max", "--layer", "1", "--both-strands")
    for name in ("vectors.npz", "vectors.parquet", "vectors.tsv"):
        done = run_cli("embed", place / "sequences.fa", *options, "--output", tmp_path / "new" / name)
        assert done.code == 0, done.err
        assert done.out == f"3 vectors of 12 numbers in {tmp_path / 'new' / name}\n"
    with np.load(tmp_path / "new" / "vectors.npz", allow_pickle=False) as file:
        assert file["ids"].tolist() == ["s0", "s1", "s2"]
        assert file["vectors"].dtype == np.float32
        np.testing.assert_allclose(file["vectors"], expected, atol=1e-5)
        written = file["vectors"]
    table = pq.read_table(tmp_path / "new" / "vectors.parquet")
    assert table["id"].to_pylist() == ["s0", "s1", "s2"]
    np.testing.assert_array_equal(np.array(table["vector"].to_pylist(), dtype=np.float32), written)
    header, *rows = [line.split("\t") for line in (tmp_path / "new" / "vectors.tsv").read_text().splitlines()]
    assert header == ["id", *(f"v{number}" for number in range(1, 13))]
    assert [row[0] for row in rows] == ["s0", "s1", "s2"]
    np.testing.assert_allclose(np.array([row[1:] for row in rows], dtype=float), written, rtol=1e-6)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "vectors.npz",
        "vectors.parquet",
        "vectors.tsv",
    ]


@pytest.mark.parametrize("model", ["lm", "masked"])
def test_scores_are_a_table(place, tmp_path, model):
    done = run_cli("score", place / "sequences.fa", "--model", place / model)
    assert done.code == 0, done.err
    header, *rows = [line.split("\t") for line in done.out.splitlines()]
    assert header == ["id", "bits_per_base", "bases"]
    expected = score(place / model, SEQUENCES)
    assert [row[0] for row in rows] == ["s0", "s1", "s2"]
    assert [float(row[1]) for row in rows] == pytest.approx(expected.bits_per_base, abs=1e-5)
    assert [int(row[2]) for row in rows] == expected.bases.tolist()
    to_file = run_cli(
        "score", place / "sequences.fa", "--model", place / model, "--output", tmp_path / "s.tsv"
    )
    assert (to_file.code, to_file.out) == (0, "")
    assert (tmp_path / "s.tsv").read_text() == done.out


def test_a_shipped_model_goes_by_its_name(place, monkeypatch, tmp_path):
    monkeypatch.setattr(builtin, "BUILTIN_MODELS_FOLDER", str(place))
    monkeypatch.chdir(tmp_path)
    done = run_cli("predict", place / "sequences.fa", "--model", "classifier")
    assert done.code == 0, done.err
    expected = classify("classifier", SEQUENCES).probabilities[:, 1]
    assert [float(line.split("\t")[3]) for line in done.out.splitlines()[1:]] == pytest.approx(
        expected, abs=1e-5
    )
    (tmp_path / "labels.csv").write_text("sequence,label\nACGTACGT,other\nTTTACGTT,promoter\n")
    assert run_cli("evaluate", "labels.csv", "--model", "classifier").code == 0
    assert run_cli("embed", place / "sequences.fa", "--model", "lm", "--output", "v.npz").code == 0
    for command, *words in (("predict",), ("evaluate",), ("score",), ("embed", "--output", "v.npz")):
        check_refused(
            run_cli(command, "labels.csv", "--model", "promoters", *words),
            4,
            r"no model folder promoters; expected .* the shipped models classifier, lm, masked; correct",
        )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("embed", "--model", "lm", "--output", "v.npy"),
            r"file name v.npy; .* ends in .npz, .parquet, .tsv",
        ),
        (
            ("embed", "--model", "lm", "--output", "v.tsv", "--pooling", "cls"),
            r"pooling cls for the model type",
        ),
        (("embed", "--model", "lm", "--output", "v.tsv", "--layer", "9"), r"found layer 9; expected 0"),
        (
            ("embed", "--model", "lm", "--output", "v.tsv", "--device", "gqu"),
            r"the device gqu .*genolm doctor",
        ),
        (("score", "--model", "classifier"), r"a classifier \(AwdLstmForSequenceClassification\)"),
        (("score", "--model", "lm", "--output", "lm"), r"the folder lm; expected a file name"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(place, monkeypatch, words, message):
    monkeypatch.chdir(place)
    before = sorted(place.iterdir())
    check_refused(run_cli(words[0], "sequences.fa", *words[1:]), 2, message)
    assert sorted(place.iterdir()) == before


def test_a_sequence_shorter_than_a_token_is_named(place, tmp_path):
    (tmp_path / "short.fa").write_text(">fine\nACGT\n>tiny\nAC\n")
    for words in (("score",), ("embed", "--output", tmp_path / "v.npz")):
        check_refused(
            run_cli(words[0], tmp_path / "short.fa", "--model", place / "lm", *words[1:]),
            3,
            r"a sequence of 2 bp at record 'tiny' of short.fa; expected at least 3 bp",
        )
