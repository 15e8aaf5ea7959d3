from pathlib import Path

import pytest

from genolm.corpus.builtin import BUILTIN_FILES, find_builtin, resolve_source
from genolm.corpus.labeled import read_labeled
from genolm.errors import SettingsError
from genolm.genome.fasta import iter_fasta


def test_the_shipped_genome_is_mg1655():
    (record,) = iter_fasta(resolve_source("builtin:ecoli_k12_mg1655"))
    assert len(record.sequence) == 4_641_652
    assert record.sequence.startswith("AGCTTTTCATTCTGACTGCAACGGGCAATATGTCTCTGTGTGG")


def test_the_shipped_promoters_are_labeled_and_split():
    data = read_labeled(resolve_source("builtin:ecoli_promoters"))
    assert data.label_names == ("other", "promoter")
    assert {len(sequence) for sequence in data.sequences} == {81}
    assert set(data.splits) == {"train", "validation", "test"}
    assert len(set(data.ids)) == len(data)


def test_names_work_with_and_without_the_prefix():
    assert find_builtin("ecoli_promoters") == find_builtin("builtin:ecoli_promoters")
    assert all(find_builtin(name).is_file() for name in BUILTIN_FILES)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(
        SettingsError, match=r"'builtin:yeast'; .*builtin:ecoli_k12_mg1655, builtin:ecoli_prom"
    ):
        resolve_source("builtin:yeast")


def test_anything_else_is_a_path():
    assert resolve_source("some/genome.fa") == Path("some/genome.fa")
    assert resolve_source("~/genome.fa") == Path.home() / "genome.fa"
