"""Positives out of a table, and both labels back into one."""

import gzip
import json

import pytest

from genolm.corpus.builtin import find_builtin
from genolm.corpus.labeled import ColumnNames, read_labeled
from genolm.corpus.negatives.build import NegativeSettings, build_negatives
from genolm.corpus.negatives.negative_table import count_records, read_positives, write_negative_set
from genolm.errors import DataError, SettingsError
from genolm.genome.intervals import Interval

SHUFFLE = NegativeSettings(method="dinucleotide_shuffle")


@pytest.fixture
def read(tmp_path):
    def read_text(text, name="data.csv", **options):
        path = tmp_path / name
        path.write_text(text)
        return read_positives(path, columns=ColumnNames(), **options)

    return read_text


def test_the_second_class_is_the_positive_one(read):
    positives, labels = read("sequence,label,split\nACGT,0,train\nGGCC,1,dev\nTTAA,1,test\n")
    assert positives.sequences == ["GGCC", "TTAA"]
    assert positives.splits == ["dev", "test"]
    assert positives.ids == ["record_2", "record_3"]
    assert positives.places is None
    assert labels == ("1", "0")
    positives, labels = read("sequence,label\nACGT,0\nGGCC,1\n", positive_label="0")
    assert (positives.sequences, labels) == (["ACGT"], ("0", "1"))


def test_one_class_or_none_is_all_positive(read):
    assert read("sequence\nACGT\nGGCC\n")[1] == ("positive", "negative")
    assert read("sequence,label\nACGT,enhancer\n")[1] == ("enhancer", "negative")
    positives, labels = read(">x\nACGT\n>y\nGG\n", name="data.fa")
    assert (positives.ids, labels) == (["x", "y"], ("positive", "negative"))


def test_three_classes_need_a_word(read):
    table = "sequence,label\nACGT,a\nGGCC,b\nTTAA,c\n"
    assert read(table, positive_label="b")[1] == ("b", "negative")
    with pytest.raises(
        DataError, match=r"the classes a, b, c in data.csv; expected one or two classes; .*--pos"
    ):
        read(table)
    with pytest.raises(DataError, match="expected a class 'd'"):
        read(table, positive_label="d")


def test_places_are_read_from_columns(read):
    positives, _ = read("sequence,contig,start,end,strand\nACGT,c,10,14,-\nGGCC,c,20,24,?\n")
    assert positives.places == [Interval("c", 10, 14), Interval("c", 20, 24)]
    assert positives.strands == ["-", ""]


def test_the_table_has_the_columns_that_are_known(read, tmp_path):
    positives, labels = read("sequence,label,id\nACGTTGCAACGT,0,n\nGGCATCCATTGA,1,x\n")
    result = build_negatives(positives, settings=SHUFFLE, labels=labels)
    path = tmp_path / "both.csv.gz"
    summary = write_negative_set(result, path, provenance={"seed": 0})
    header, own, made = gzip.decompress(path.read_bytes()).decode().splitlines()
    assert header == "sequence,label,id"
    assert own == "GGCATCCATTGA,1,x"
    assert made.endswith(",0,x|dinucleotide_shuffle_1")
    assert json.loads(summary.read_text()) == {
        "records": {"all": {"1": 1, "0": 1}},
        "missing": 0,
        "not_found": 0,
        "seed": 0,
    }
    with pytest.raises(SettingsError, match=r"the output both\.txt"):
        write_negative_set(result, tmp_path / "both.txt", provenance={})


def test_the_builtin_promoters_keep_their_splits(tmp_path):
    positives, labels = read_positives(find_builtin("ecoli_promoters"), columns=ColumnNames())
    assert labels == ("promoter", "other")
    result = build_negatives(positives, settings=SHUFFLE, labels=labels)
    write_negative_set(result, tmp_path / "both.csv", provenance={})
    found = read_labeled(tmp_path / "both.csv")
    assert found.label_names == ("other", "promoter")
    original = read_labeled(find_builtin("ecoli_promoters"))
    for split, counts in count_records(result).items():
        number = int((original.select(split).labels == 1).sum())
        assert counts == {"promoter": number, "other": number}
