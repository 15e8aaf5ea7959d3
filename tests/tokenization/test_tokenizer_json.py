import json
import os
import random
import subprocess
import sys
from functools import cache
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from genolm.errors import RunFolderError
from genolm.tokenization.encoder import encode_sequence
from genolm.tokenization.scheme import KmerScheme
from genolm.tokenization.tokenizer_json import build_tokenizer, load_scheme, save_tokenizer

SHIPPED_FOLDER = Path(__file__).parents[2] / "tokenizer_configs"
SHIPPED_NAMES = ["kmer_k3_s1", "kmer_k6_s1"]
ALL_SCHEMES = [KmerScheme(k, stride) for k in range(1, 9) for stride in range(1, k + 1)]
DNA_TEXT = st.text(alphabet="ACGTacgtNnUuRYKM \t\n\r\v\f", max_size=60)
ANY_TEXT = st.text(alphabet=st.characters(exclude_characters="[", exclude_categories=["Cs"]), max_size=40)

# Runs where genolm cannot be imported; prints what plain transformers makes of each tokenizer folder.
LOAD_WITHOUT_GENOLM = """
import json, sys
sys.modules["genolm"] = None
from transformers import AutoTokenizer
texts, *folders, saved_folder = json.loads(sys.stdin.read())
loaded = [AutoTokenizer.from_pretrained(folder) for folder in folders]
loaded[0].save_pretrained(saved_folder)
loaded.append(AutoTokenizer.from_pretrained(saved_folder))
print(json.dumps([{
    "ids": [tokenizer(text)["input_ids"] for text in texts],
    "padded": dict(tokenizer(["ACGTACG", "A"], padding=True)),
    "special": [tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.cls_token_id,
                tokenizer.sep_token_id, tokenizer.mask_token_id],
    "vocab_size": len(tokenizer),
} for tokenizer in loaded]))
"""


@cache
def load_built(scheme: KmerScheme) -> Tokenizer:
    """Build the tokenizer once a test run, and pass it through its file form."""
    return Tokenizer.from_str(build_tokenizer(scheme).to_str())


@cache
def build_vocabulary(k: int) -> dict[str, int]:
    return {"".join(letters): 5 + rank for rank, letters in enumerate(product("ATCG", repeat=k))}


def encode_by_hand(text: str, scheme: KmerScheme) -> list[int]:
    bases = "".join(letter for letter in text if letter not in " \t\n\r\v\f")
    bases = "".join({"u": "T", "U": "T"}.get(letter, letter) for letter in bases)
    bases = "".join(letter.upper() if letter in "acgt" else letter for letter in bases)
    starts = range(0, len(bases) - scheme.k + 1, scheme.stride)
    vocabulary = build_vocabulary(scheme.k)
    return [2, *(vocabulary.get(bases[i : i + scheme.k], 1) for i in starts), 3]


@pytest.mark.parametrize("scheme", ALL_SCHEMES, ids=lambda scheme: scheme.name)
def test_every_scheme_and_length_gives_three_times_the_same_ids(scheme: KmerScheme) -> None:
    chance = random.Random(scheme.name)
    for length_bp in range(3 * scheme.k + 3):
        text = "".join(chance.choices("ACGTacgtuN", weights=[9] * 9 + [2], k=length_bp))
        expected = encode_by_hand(text, scheme)
        assert len(expected) == scheme.count_tokens(length_bp) + 2
        assert encode_sequence(text, scheme).tolist() == expected
        assert load_built(scheme).encode(text).ids == expected


@settings(max_examples=600, deadline=None)
@given(DNA_TEXT | ANY_TEXT, st.sampled_from(ALL_SCHEMES))
def test_encoder_equals_tokenizer_json_on_any_text(text: str, scheme: KmerScheme) -> None:
    expected = encode_by_hand(text, scheme)
    assert encode_sequence(text, scheme).tolist() == expected
    assert load_built(scheme).encode(text).ids == expected
    bare_ids = encode_sequence(text, scheme, add_special_tokens=False).tolist()
    assert load_built(scheme).encode(text, add_special_tokens=False).ids == bare_ids


@pytest.mark.parametrize("stride", [1, 6, 12])
def test_rules_hold_for_the_largest_k(stride: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # With a vocabulary of two k-mers, because all 16 million are slow to build.
    first, last = "C" * 12, "ACGT" * 3
    monkeypatch.setattr("genolm.tokenization.tokenizer_json.build_kmer_names", lambda k: [first, last])
    encoding = build_tokenizer(KmerScheme(12, stride)).encode(first + last)
    assert encoding.ids == [2, 5, *[1] * (12 // stride - 1), 6, 3]
    assert encoding.offsets[1:-1] == [(start, start + 1) for start in range(0, 13, stride)]


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_offset_of_a_token_is_its_first_base(stride: int) -> None:
    encoding = load_built(KmerScheme(3, stride)).encode("acgtNACGT")
    assert encoding.offsets[1:-1] == [(start, start + 1) for start in range(0, 7, stride)]
    spaced = load_built(KmerScheme(3, stride)).encode("  aaa ttt")
    assert spaced.offsets[1] == (2, 3)


def test_special_tokens_inside_the_text_are_recognised() -> None:
    tokenizer = load_built(KmerScheme(3, 1))
    assert tokenizer.encode("AAAT[MASK][MASK] aaa[PAD]AA").ids == [2, 5, 6, 4, 4, 5, 0, 3]
    assert tokenizer.encode("[CLS][SEP][UNK]", add_special_tokens=False).ids == [2, 3, 1]


def test_a_pair_of_sequences_is_joined_as_bert_does() -> None:
    pair = load_built(KmerScheme(3, 1)).encode("AAA", "AAAT")
    assert pair.ids == [2, 5, 3, 5, 6, 3]
    assert pair.type_ids == [0, 0, 0, 1, 1, 1]


def test_vocabulary_is_that_of_dnabert_6() -> None:
    vocabulary = load_built(KmerScheme(6, 1)).get_vocab()
    special = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}
    assert vocabulary == special | build_vocabulary(6)
    assert (vocabulary["AAAAAA"], vocabulary["AAAAAT"], vocabulary["GGGGGG"]) == (5, 6, 4100)


def test_shipped_folders_are_all_covered() -> None:
    assert sorted(path.name for path in SHIPPED_FOLDER.iterdir() if path.is_dir()) == SHIPPED_NAMES


@pytest.mark.parametrize("name", SHIPPED_NAMES)
def test_shipped_folder_is_what_save_tokenizer_writes(name: str, tmp_path: Path) -> None:
    save_tokenizer(KmerScheme.parse(name), tmp_path)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["tokenizer.json", "tokenizer_config.json"]
    assert files == sorted(path.name for path in (SHIPPED_FOLDER / name).iterdir())
    for file in files:
        assert (tmp_path / file).read_bytes() == (SHIPPED_FOLDER / name / file).read_bytes()
    assert load_scheme(SHIPPED_FOLDER / name).name == name


def test_saving_leaves_other_files_of_the_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text("old")
    save_tokenizer(KmerScheme(4, 2), tmp_path)
    assert (tmp_path / "config.json").read_text() == "{}"
    assert Tokenizer.from_file(str(tmp_path / "tokenizer.json")).get_vocab_size() == 261
    assert load_scheme(tmp_path) == KmerScheme(4, 2)


def test_auto_tokenizer_without_genolm_gives_the_same_ids(tmp_path: Path) -> None:
    texts = ["", "acgtu ACGTN\nGGGGGGG", "AAAAAA", "ACGTACGTAC" * 20]
    folders = [SHIPPED_FOLDER / name for name in SHIPPED_NAMES]
    # A model beside it must not draw AutoTokenizer to the model's own tokenizer class.
    with_model = tmp_path / "with_model"
    save_tokenizer(KmerScheme(5, 2), with_model)
    (with_model / "config.json").write_text(json.dumps({"model_type": "bert", "vocab_size": 1029}))
    folders.append(with_model)
    saved_folder = tmp_path / "saved"
    request = json.dumps([texts, *map(str, folders), str(saved_folder)])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    result = subprocess.run(
        [sys.executable, "-I", "-c", LOAD_WITHOUT_GENOLM],
        input=request,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment | {"HF_HUB_OFFLINE": "1"},
    )
    assert result.returncode == 0, result.stderr
    answers = json.loads(result.stdout)
    schemes = [load_scheme(folder) for folder in [*folders, saved_folder]]
    assert [scheme.name for scheme in schemes] == ["kmer_k3_s1", "kmer_k6_s1", "kmer_k5_s2", "kmer_k3_s1"]
    for scheme, answer in zip(schemes, answers, strict=True):
        assert answer["ids"] == [encode_sequence(text, scheme).tolist() for text in texts]
        assert answer["special"] == [0, 1, 2, 3, 4]
        assert answer["vocab_size"] == scheme.vocab_size
        padded = answer["padded"]
        assert sorted(padded) == ["attention_mask", "input_ids"]
        num_tokens = scheme.count_tokens(7) + 2
        assert padded["input_ids"][1] == [2, 3] + [0] * (num_tokens - 2)
        assert padded["attention_mask"] == [[1] * num_tokens, [1, 1] + [0] * (num_tokens - 2)]


def test_scheme_of_a_folder_without_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(
        RunFolderError, match=r"found no tokenizer_config.json in .*; expected a tokenizer folder"
    ):
        load_scheme(tmp_path)
    with pytest.raises(RunFolderError, match=r"found no tokenizer_config.json in .*absent"):
        load_scheme(tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match=r"found no tokenizer_config.json in .*file"):
        load_scheme(tmp_path / "file")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{}", "no k-mer scheme"),
        ("[]", "no k-mer scheme"),
        ('{"scheme": 6}', "no k-mer scheme"),
        ('{"scheme": "bpe_4096"}', "no k-mer scheme"),
        ('{"scheme": "kmer_k6_s1"', "damaged JSON"),
        ("", "damaged JSON"),
    ],
)
def test_scheme_of_a_folder_with_another_file(text: str, found: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text(text)
    with pytest.raises(RunFolderError, match=f"found {found} in .*write the tokenizer again"):
        load_scheme(tmp_path)
