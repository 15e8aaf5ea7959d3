"""One thing for how text becomes ids: k-mers and BPE, loaded, named, written, told apart."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_dna import make_dna
from small_bpe import train_small_bpe
from transformers import AutoTokenizer

from genolm.errors import RunFolderError, SettingsError
from genolm.files import compute_sha256
from genolm.kmers import build_kmer_names
from genolm.tokenization.encoder import encode_sequences
from genolm.tokenization.scheme import SPECIAL_TOKENS, BpeScheme, KmerScheme
from genolm.tokenization.tokenizer_json import save_tokenizer
from genolm.tokenization.tokens import (
    BpeTokens,
    find_tokens,
    identify_tokens,
    load_tokens,
    require_kmers,
    save_tokens,
)

K3 = KmerScheme(k=3, stride=1)
FILES = {"tokenizer.json", "tokenizer_config.json"}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory) -> BpeTokens:
    return train_small_bpe(tmp_path_factory.mktemp("bpe"))


@pytest.fixture(scope="module")
def stock(tokens):
    return AutoTokenizer.from_pretrained(tokens.folder)


@given(texts=st.lists(st.text(alphabet="ACGTacgtUuNRyXé- \n", max_size=60), max_size=5))
def test_ids_of_bpe_are_those_of_tokenizer_json(tokens, stock, texts):
    ids = encode_sequences(texts, tokens)
    assert [each.tolist() for each in ids] == (stock(texts)["input_ids"] if texts else [])
    bare = encode_sequences(texts, tokens, add_special_tokens=False)
    assert all(np.array_equal(one, other[1:-1]) for one, other in zip(bare, ids, strict=True))


def test_ids_of_a_long_text_and_of_bytes(tokens, stock):
    text = make_dna(30_000, seed=5)
    ids = encode_sequences([text, text.encode()], tokens, dtype=np.uint16)
    assert [each.dtype for each in ids] == [np.uint16] * 2
    assert ids[0].tolist() == ids[1].tolist() == stock(text)["input_ids"]
    assert tokens.token_bp[ids[0]].sum() == 30_000
    with pytest.raises(SettingsError, match="ids of type int8 for bpe_40; expected uint16, int32 or int64"):
        encode_sequences([text], tokens, dtype=np.int8)


def test_both_kinds_are_loaded_and_written_alike(tokens, tmp_path):
    save_tokens(tokens, tmp_path / "bpe")
    assert {path.name for path in (tmp_path / "bpe").iterdir()} == FILES
    for name in FILES:
        assert compute_sha256(tmp_path / "bpe" / name) == compute_sha256(tokens.folder / name)
    again = load_tokens(tmp_path / "bpe")
    assert again == tokens
    assert hash(again) == hash(tokens)
    assert (again.name, again.vocab_size, again.min_length_bp) == ("bpe_40", 40, 1)
    save_tokens(K3, tmp_path / "kmers")
    assert load_tokens(tmp_path / "kmers") == K3
    assert (K3.min_length_bp, KmerScheme(6, 2).min_length_bp) == (3, 6)
    assert tokens != K3


def test_another_training_gives_other_tokens_though_the_name_is_the_same(tokens, tmp_path):
    other = train_small_bpe(tmp_path, seed=4)
    assert other.name == tokens.name
    assert other != tokens
    checksum = compute_sha256(tokens.folder / "tokenizer.json")
    assert identify_tokens(tokens) == {"tokenizer": checksum} != identify_tokens(other)
    assert identify_tokens(K3) == {}, "the name says it all"


def test_other_forms_of_the_same_merges_are_the_same_tokens(tokens, tmp_path):
    """The tokenizers library writes each pair as a list, genolm as one string."""
    shutil.copytree(tokens.folder, tmp_path / "copy")
    content = json.loads((tmp_path / "copy" / "tokenizer.json").read_text())
    content["model"]["merges"] = [pair.split(" ") for pair in content["model"]["merges"]]
    (tmp_path / "copy" / "tokenizer.json").write_text(json.dumps(content, indent=2))
    assert load_tokens(tmp_path / "copy") == tokens


def test_a_person_names_a_scheme_or_a_folder(tokens, tmp_path, monkeypatch):
    assert find_tokens("nucleotide") == KmerScheme(k=1, stride=1)
    assert find_tokens(str(tokens.folder)) == tokens
    save_tokenizer(K3, tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert find_tokens("mine") == K3


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("kmer_k3_s4", SettingsError, r"stride=4; expected a whole number in 1..k \(k=3\)"),
        (
            "bpe_4096",
            SettingsError,
            "no tokenizer folder bpe_4096; expected a scheme such as .*or the folder",
        ),
        ("empty", RunFolderError, "no tokenizer_config.json in empty; expected a tokenizer folder"),
    ],
)
def test_what_names_no_tokenizer_is_refused(name, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(error, match=message):
        find_tokens(name)


def test_the_vocabulary_of_dnabert_is_a_scheme(tmp_path):
    words = [*SPECIAL_TOKENS, *build_kmer_names(3)]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    assert load_tokens(tmp_path) == K3
    (tmp_path / "config.json").write_text('{"vocab_size": 70}')
    with pytest.raises(RunFolderError, match=r"vocab_size 70 in .*; expected 69"):
        load_tokens(tmp_path)
    (tmp_path / "config.json").unlink()
    (tmp_path / "vocab.txt").write_text("\n".join(words[::-1]) + "\n")
    with pytest.raises(RunFolderError, match=r"no tokenizer_config.json in "):
        load_tokens(tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[:100], r"that does not load \(.*copy the folder again"),
        (lambda text: "{}", r"that does not load \("),
        (
            lambda text: text.replace('"bpe_40"', '"bpe_39"'),
            r"that does not load \(index 39 is out of bounds",
        ),
    ],
    ids=["cut", "empty", "other size"],
)
def test_a_damaged_tokenizer_is_refused(tokens, tmp_path, damage, message):
    shutil.copytree(tokens.folder, tmp_path / "copy")
    name = "tokenizer_config.json" if "index" in message else "tokenizer.json"
    path = tmp_path / "copy" / name
    path.write_text(damage(path.read_text()))
    with pytest.raises(RunFolderError, match=message):
        load_tokens(tmp_path / "copy")


def test_what_needs_kmers_says_so(tokens):
    assert require_kmers(K3, what="anything") is K3
    for bpe in (tokens, BpeScheme(40)):
        with pytest.raises(
            SettingsError, match="the tokenizer bpe_40 for word2vec; expected k-mers, such as kmer_k6_s1"
        ):
            require_kmers(bpe, what="word2vec")
