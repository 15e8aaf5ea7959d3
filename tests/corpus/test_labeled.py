import gzip
import json

import numpy as np
import pytest

from genolm.corpus.labeled import (
    LabeledData,
    assign_random_split,
    read_labeled,
    read_labeled_pair,
    read_sequences,
)
from genolm.errors import DataError, SettingsError

CSV = "id,sequence,label,split\np1,ACGT,1,train\nn1,ggcu,0,training\np2,TTNA,1,dev\nn2,CCCC,0,Testing\n"


def write(folder, content, name="data.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def as_jsonl(csv_text):
    names, *rows = (line.split(",") for line in csv_text.split())
    return "\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows) + "\n"


def as_fasta(csv_text):
    rows = [line.split(",") for line in csv_text.split()[1:]]
    return "".join(f">{name}|{label}|{split}\n{sequence}\n" for name, sequence, label, split in rows)


def as_parquet(folder):
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "id": ["p1", "n1", "p2", "n2"],
        "sequence": ["ACGT", "ggcu", "TTNA", "CCCC"],
        "label": [1, 0, 1, 0],
        "split": ["train", "training", "dev", "Testing"],
    }
    pq.write_table(pa.table(columns), folder / "x.parquet")
    return (folder / "x.parquet").read_bytes()


@pytest.mark.parametrize(
    "convert",
    [
        pytest.param(lambda _: CSV, id="CSV"),
        pytest.param(lambda _: "\ufeff" + CSV.replace("\n", "\r\n"), id="CSV of Excel"),
        pytest.param(lambda _: gzip.compress(CSV.encode(), mtime=0), id="CSV.gz"),
        pytest.param(lambda _: CSV.replace(",", "\t"), id="TSV"),
        pytest.param(
            lambda _: CSV.replace(",", " ; ").replace("n1", "\n n1"), id="semicolons and white space"
        ),
        pytest.param(lambda _: CSV.replace("ACGT", '"AC GT"'), id="quoted"),
        pytest.param(lambda _: as_jsonl(CSV), id="JSONL"),
        pytest.param(
            lambda _: as_jsonl(CSV).replace('"0"', "0").replace('"1"', "1"), id="JSONL with numbers"
        ),
        pytest.param(lambda _: as_fasta(CSV.replace("ggcu", "ggct")), id="FASTA"),
        pytest.param(as_parquet, id="Parquet"),
    ],
)
def test_the_same_data_from_every_format(tmp_path, convert):
    data = read_labeled(write(tmp_path, convert(tmp_path)))
    assert data.sequences == ["ACGT", "GGCT", "TTNA", "CCCC"]
    assert data.labels.tolist() == [1, 0, 1, 0]
    assert data.labels.dtype == np.int64
    assert data.label_names == ("0", "1")
    assert data.splits == ("train", "train", "validation", "test")
    assert data.ids == ("p1", "n1", "p2", "n2")


def test_mapped_columns_and_missing_optional_ones(tmp_path):
    path = write(tmp_path, "dna,class\nACGT,weak\nGGGG,NA\nTTTT,strong\n")
    data = read_labeled(path, sequence_column="dna", label_column="class")
    assert data.label_names == ("NA", "strong", "weak")
    assert data.labels.tolist() == [2, 0, 1]
    assert data.ids == ("record_1", "record_2", "record_3")
    assert data.splits == ("", "", "")
    assert not data.has_splits


def test_na_as_a_sequence_is_two_letters(tmp_path):
    assert read_labeled(write(tmp_path, "sequence,label\nNA,0\nACGT,1\n")).sequences == ["NA", "ACGT"]


def test_label_names_sort_as_numbers_before_words(tmp_path):
    rows = "".join(f"ACGT,{label}\n" for label in ("10", "9", "-1", "b", "a", "01"))
    assert read_labeled(write(tmp_path, "sequence,label\n" + rows)).label_names == (
        "-1",
        "01",
        "9",
        "10",
        "a",
        "b",
    )


def test_empty_split_column_means_no_split(tmp_path):
    assert not read_labeled(write(tmp_path, "sequence,label,split\nACGT,0,\nTTTT,1,\n")).has_splits


def test_sequence_longer_than_the_limit_of_the_csv_module(tmp_path):
    import csv

    limit = csv.field_size_limit()
    data = read_labeled(write(tmp_path, f"sequence,label\n{'ACGT' * 50_000},0\nACGT,1\n"))
    assert len(data.sequences[0]) == 200_000
    assert csv.field_size_limit() == limit


def test_select_keeps_the_fields_parallel(tmp_path):
    data = read_labeled(write(tmp_path, CSV))
    train = data.select("train")
    assert (train.sequences, train.labels.tolist(), train.ids) == (["ACGT", "GGCT"], [1, 0], ("p1", "n1"))
    assert train.label_names == data.label_names
    assert [len(data.select(split)) for split in ("train", "validation", "test")] == [2, 1, 1]
    with pytest.raises(SettingsError, match="found the split 'dev'; expected train, validation or test"):
        data.select("dev")


HEAD = "sequence,label,split,id\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty file data.csv"),
        (HEAD, "no record in data.csv"),
        ("dna,label\nACGT,1\n", "the columns dna, label in data.csv; .*named sequence; .*--sequence-column"),
        ("sequence,class\nACGT,1\n", "a column named label; .*--label-column"),
        ("ACGT,1\nTTTT,0\n", "the columns ACGT, 1 in data.csv"),
        ("sequence,label,label\nACGT,1,0\n", "column name twice"),
        (HEAD + "ACGT,1,train\n", "3 value.s. at line 2 of data.csv; expected 4"),
        (HEAD + "ACGT,1,train,a\n\nTTTT,0,test,b,c\n", "5 value.s. at line 4 of data.csv"),
        (HEAD + 'ACGT,1,"train,a\n', "line 2 of data.csv: unexpected end of data"),
        (HEAD + "ACGT,1,,a\nTTTT,,,b\n", "no label at line 3 of data.csv"),
        (HEAD + "ACGT,1,,a\n,0,,b\n", "no sequence at line 3"),
        (HEAD + "ACGT,1,,a\nACXT,0,,b\n", "'X' at position 3 of line 3 of data.csv"),
        (HEAD + "ACGT,1,,a\nAC-T,0,,b\n", "'-' at position 3 of line 3"),
        (HEAD + "ACGT,1,,a\nTTTT,1,,b\n", r"one class only \('1'\) in data.csv"),
        (HEAD + "ACGT,1,train,a\nTTTT,0,test,b\n", r"one class only \('1'\) in train"),
        (HEAD + "A,1,train,a\nT,0,train,b\nG,2,dev,c\n", "the class '2' in data.csv, which train does not"),
        (HEAD + "ACGT,1,train,a\nTTTT,0,,b\n", "no split at line 3"),
        (HEAD + "ACGT,1,fold1,a\nTTTT,0,fold2,b\n", "the split 'fold1' at line 2"),
        ("sequence,label\nACGT,\xe9\n".encode("latin1"), "not UTF-8 text"),
        ('{"sequence": "ACGT", "label": 1}\n{"sequence": "ACGT"}\n', "no label at line 2 of data.csv"),
        ('{"sequence": "ACGT", "label": 1}\n{"sequence": null, "label": 0}\n', "no sequence at line 2"),
        ('{"sequence": "ACGT"\n', "line 1 of data.csv, which is no JSON object"),
        ('[{"sequence": "ACGT", "label": 1}]\n', "no JSON object; .*jq"),
        (">a|1\nACGT\n>b\nTTTT\n", "the header 'b' in data.csv; expected '>id|label'"),
        (">a|1\nACGT\n>b|0|fold\nTTTT\n", "no split at record 'a|1'"),
        (">a|1\nACGT\n>b|\nTTTT\n", "no label at record"),
        (b"PAR1 but no table", "damaged Parquet file"),
        ("<html>404</html>", "HTML or XML page"),
        (gzip.compress(CSV.encode(), mtime=0)[:40], "ends too early"),
    ],
)
def test_bad_input_is_one_clear_error(tmp_path, content, message):
    with pytest.raises(DataError, match=message.replace("|", r"\|")) as caught:
        read_labeled(write(tmp_path, content))
    assert "\n" not in str(caught.value)


def test_too_short_sequence_is_named(tmp_path):
    path = write(tmp_path, CSV.replace("CCCC", "CCC"))
    assert len(read_labeled(path, min_length_bp=3)) == 4
    with pytest.raises(DataError, match=r"a sequence of 3 bp at line 5 of data\.csv; expected at least 4 bp"):
        read_labeled(path, min_length_bp=4)


def test_held_out_records_alone_need_no_train(tmp_path):
    data = read_labeled(write(tmp_path, HEAD + "ACGT,1,test,a\nTTTT,0,test,b\n"))
    assert data.splits == ("test", "test")


def test_labels_may_be_absent_where_they_are_not_required(tmp_path):
    data = read_labeled(write(tmp_path, "sequence\nACGT\nTTTT\n"), require_labels=False)
    assert data.labels.tolist() == [-1, -1]
    assert data.label_names == ()
    fasta = read_labeled(write(tmp_path, ">a\nACGT\n>b\nTT\n"), require_labels=False)
    assert fasta.labels.tolist() == [-1, -1]
    one_class = read_labeled(write(tmp_path, "sequence,label\nACGT,7\n"), require_labels=False)
    assert (one_class.labels.tolist(), one_class.label_names) == ([0], ("7",))


def test_pair_of_fasta_files(tmp_path):
    positives = write(tmp_path, ">p1|1|training\nACGT\n>p2|1|testing\nAAAA\n", "pos.fa")
    negatives = write(tmp_path, gzip.compress(b">n1|0|training\nGGGG\n>n2|0|testing\nCCCC\n"), "neg.fa")
    data = read_labeled_pair(positives, negatives)
    assert data.label_names == ("negative", "positive")
    assert data.labels.tolist() == [1, 1, 0, 0]
    assert data.splits == ("train", "test", "train", "test")
    plain = read_labeled_pair(
        write(tmp_path, ">a\nAC\n>a\nGT\n", "p.fa"), write(tmp_path, ">b\nTT\n", "n.fa")
    )
    assert plain.ids == ("a", "a", "b")
    assert not plain.has_splits


@pytest.mark.parametrize(
    "content",
    [
        ">x some words\nacgu\n>y|1|training\nNNNN\n",
        "sequence,id\nacgu,x\nNNNN,y|1|training\n",
        "id\tsequence\tlabel\tsplit\nx\tacgu\t\tfold1\ny|1|training\tNNNN\t1\t\n",
        '{"id": "x", "sequence": "acgu"}\n{"id": "y|1|training", "sequence": "NNNN"}\n',
    ],
)
def test_sequences_to_predict(tmp_path, content):
    ids, sequences = read_sequences(write(tmp_path, content))
    assert ids == ("x", "y|1|training")
    assert sequences == ["ACGT", "NNNN"]


def make_data(num_positive, num_negative):
    num = num_positive + num_negative
    return LabeledData(
        sequences=["ACGT"] * num,
        labels=np.array([1] * num_positive + [0] * num_negative),
        label_names=("0", "1"),
        splits=("",) * num,
        ids=tuple(map(str, range(num))),
    )


def test_random_split_has_the_same_shares_of_each_class():
    data = assign_random_split(make_data(40, 200), seed=3)
    counts = {
        split: np.bincount(data.select(split).labels).tolist() for split in ("train", "validation", "test")
    }
    assert counts == {"train": [140, 28], "validation": [20, 4], "test": [40, 8]}
    assert assign_random_split(make_data(40, 200), seed=3).splits == data.splits
    assert assign_random_split(make_data(40, 200), seed=4).splits != data.splits
    assert set(assign_random_split(data, seed=1, validation_fraction=0).splits) == {"train", "test"}


@pytest.mark.parametrize(("validation", "test"), [(-0.1, 0.2), (0.5, 0.5), (0.1, 1.0)])
def test_fractions_must_leave_something_for_train(validation, test):
    with pytest.raises(SettingsError, match="add up to less than 1"):
        assign_random_split(make_data(9, 9), seed=0, validation_fraction=validation, test_fraction=test)


def test_class_too_small_to_be_split():
    with pytest.raises(DataError, match=r"2 sequence\(s\) of class '1'; expected enough for every split"):
        assign_random_split(make_data(2, 100), seed=0)
