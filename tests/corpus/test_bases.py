import json

import pytest

from genolm.alphabet import decode_bases
from genolm.corpus.bases import load_corpus_bases, locate_bases, read_corpus_info
from genolm.corpus.build import build_corpus
from genolm.corpus.settings import CorpusSettings
from genolm.errors import RunFolderError


@pytest.fixture
def corpus(small_genome, tmp_path):
    build_corpus([small_genome.path], tmp_path / "corpus", settings=CorpusSettings(split="none"))
    return tmp_path / "corpus"


def test_info_and_bases_agree(corpus):
    bases = load_corpus_bases(corpus, "train")
    assert read_corpus_info(corpus)["splits"]["train"]["bp"] == len(bases.codes) == 60_000 - 701
    assert bases.row_starts.tolist() == [0, 10_000, 29_300, 39_299, 59_299]
    assert bases.row_weights.tolist() == [1, 1, 1, 1]
    assert bases.soft_masked.tolist() == [[19_300, 22_300]]


def test_folder_without_a_corpus(tmp_path):
    with pytest.raises(RunFolderError, match=r"found no corpus\.json in .*build the corpus first"):
        load_corpus_bases(tmp_path, "train")


def test_missing_split_lists_those_there_are(corpus):
    with pytest.raises(RunFolderError, match=r"found the splits train in .*expected a split named test"):
        load_corpus_bases(corpus, "test")


@pytest.mark.parametrize(
    "content", [{"format": "other"}, {"format": "genolm-corpus", "format_version": 99}, []]
)
def test_other_format(corpus, content):
    (corpus / "corpus.json").write_text(json.dumps(content))
    with pytest.raises(RunFolderError, match="expected genolm-corpus version 2; build the corpus again"):
        load_corpus_bases(corpus, "train")


def test_soft_mask_that_does_not_fit(corpus):
    (corpus / "soft-masked-train.npy").unlink()
    with pytest.raises(
        RunFolderError, match=r"found 0 soft-masked bp in .*; expected 3000 bp, as corpus\.json"
    ):
        load_corpus_bases(corpus, "train")


def test_rows_carry_the_weight_of_their_genome(small_genome, tmp_path):
    other = tmp_path / "other.fa"
    other.write_text(f">c\n{'ACGTT' * 400}\n")
    settings = CorpusSettings(split="none", weights={"other": 2.5})
    build_corpus([small_genome.path, other], tmp_path / "corpus", settings=settings)
    assert load_corpus_bases(tmp_path / "corpus", "train").row_weights.tolist() == [1, 1, 1, 1, 2.5]


@pytest.mark.parametrize("length_bp", [None, 100])
def test_bases_that_do_not_fit_the_rows(corpus, length_bp):
    path = corpus / "bases-train.u8"
    if length_bp is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:length_bp])
    with pytest.raises(
        RunFolderError, match=rf"{length_bp or 0} bp in bases-train\.u8, 59299 bp in the rows"
    ):
        load_corpus_bases(corpus, "train")


def test_a_base_is_found_again_in_its_genome(corpus, small_genome):
    bases = load_corpus_bases(corpus, "train")
    positions = [0, 9_999, 10_000, 39_298, 39_299, 59_298]
    places = locate_bases(corpus, "train", positions)
    assert places == [
        f"small {place}"
        for place in ("contig_a:0", "contig_a:9999", "contig_a:10700", "contig_a:39999", "contig_b:0")
    ] + ["small contig_b:19999"]
    for position, place in zip(positions, places, strict=True):
        contig, start = place.split()[1].split(":")
        assert small_genome.sequences[contig][int(start)].upper() == decode_bases(bases.codes[[position]])
