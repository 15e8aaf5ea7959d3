"""BPE tokens in masked language models: encoding, masking, score, and a whole training."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from made_up_dna import make_dna
from small_bpe import train_small_bpe
from torch import nn
from transformers import AutoModelForMaskedLM, AutoTokenizer

import genolm.training.masking.batches as batches_module
from genolm.alphabet import decode_bases, encode_bases, reverse_complement
from genolm.cli import main
from genolm.corpus.bases import CorpusBases
from genolm.corpus.build import build_corpus
from genolm.corpus.settings import CorpusSettings
from genolm.corpus.window_epochs import WindowSettings
from genolm.errors import DataError, SettingsError
from genolm.files import compute_sha256, read_json
from genolm.models.bert import BertSettings
from genolm.tokenization.scheme import KmerScheme
from genolm.tokenization.tokens import BpeTokens, load_tokens
from genolm.training.job import LoopSettings
from genolm.training.masked_lm import PretrainMaskedSettings, pretrain_masked
from genolm.training.masking.batches import MaskedBatches
from genolm.training.masking.bpe import encode_bpe_windows, mask_bpe_windows
from genolm.training.masking.bpe_score import compute_bpe_score
from genolm.training.masking.score import pad_windows
from genolm.training.masking.statistics import compute_mask_statistics
from genolm.training.masking.windows import MaskSettings, build_keys

MASK = MaskSettings(style="tokens", rate=0.2)
SETTINGS = PretrainMaskedSettings(
    steps=24,
    batch_size=8,
    learning_rate=1e-2,
    warmup_steps=4,
    evaluations=2,
    eval_max_bp=2_000,
    model=BertSettings(size="debug", max_tokens=30, hidden_dropout=0.1),
    mask=MASK,
    windows=WindowSettings(kind="random", length_bp=60),
    loop=LoopSettings(precision="no", checkpoint_every_steps=4, log_every_steps=8),
)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory) -> BpeTokens:
    return train_small_bpe(tmp_path_factory.mktemp("bpe"))


def draw_windows(num: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows of different lengths, some with an unknown base."""
    windows = [encode_bases(make_dna(50 + row % 40, seed=row)) for row in range(num)]
    for window in windows[::5]:
        window[len(window) // 2] = 4
    return pad_windows(windows)


def test_ids_are_those_of_tokenizer_json(tokens):
    codes, lengths = draw_windows(20)
    ids = encode_bpe_windows(codes, lengths, tokens=tokens)
    texts = [decode_bases(row[:length]) for row, length in zip(codes, lengths, strict=True)]
    stock = AutoTokenizer.from_pretrained(tokens.folder)
    expected = stock(texts, padding=True, return_tensors="np")
    np.testing.assert_array_equal(ids, expected["input_ids"])
    assert (ids == 1).sum() == 4, "an unknown base is one [UNK]"
    assert tokens.token_bp[ids].sum(axis=1).tolist() == lengths.tolist(), "the tokens add up to the window"
    short = encode_bpe_windows(codes, lengths, tokens=replace(tokens, max_tokens=9))
    np.testing.assert_array_equal(short[:, :8], ids[:, :8])
    assert (short[:, 8] == 3).all(), "it ends with [SEP]"
    assert encode_bpe_windows(codes[:2], np.array([0, 0]), tokens=tokens).tolist() == [[2, 3], [2, 3]]
    with pytest.raises(DataError, match=r"lengths \(2,\) up to 90; expected codes \[B, L\] and lengths"):
        encode_bpe_windows(codes[:2, :80], np.array([90, 3]), tokens=tokens)


def test_what_is_hidden_are_the_bases_of_the_scored_tokens(tokens):
    codes, lengths = draw_windows(60)
    keys = build_keys(0, 0, np.arange(60))
    batch = mask_bpe_windows(codes, lengths, tokens=tokens, settings=MASK, keys=keys)
    true = encode_bpe_windows(codes, lengths, tokens=tokens)
    scored = batch.labels != -100
    np.testing.assert_array_equal(batch.labels[scored], true[scored])
    np.testing.assert_array_equal(batch.input_ids[~scored], true[~scored])
    assert (true[scored] >= 5).all()
    assert (batch.input_ids[scored & (batch.input_ids != 4)] >= 5).all(), "no special token is drawn"
    for row in range(60):
        place, hidden = 0, []
        for token, is_scored in zip(true[row], scored[row], strict=True):
            size_bp = int(tokens.token_bp[token])
            hidden += range(place, place + size_bp) if is_scored else []
            place += size_bp
        assert np.flatnonzero(batch.hidden[row]).tolist() == hidden
    alone = mask_bpe_windows(
        codes[7:8, : lengths[7]], lengths[7:8], tokens=tokens, settings=MASK, keys=keys[7:8]
    )
    width = alone.input_ids.shape[1]
    assert alone.input_ids[0].tolist() == batch.input_ids[7, :width].tolist(), "a row depends on itself alone"


def test_rate_and_fates_are_those_asked_for(tokens):
    codes = encode_bases(make_dna(400_000, seed=0)).reshape(-1, 400)
    keys = build_keys(1, 0, np.arange(len(codes)))
    batch = mask_bpe_windows(codes, np.full(len(codes), 400), tokens=tokens, settings=MASK, keys=keys)
    scored = batch.labels != -100
    assert batch.hidden.mean() == pytest.approx(0.2, abs=0.005)
    assert scored.sum() > 20_000
    shown, true = batch.input_ids[scored], batch.labels[scored]
    assert (shown == 4).mean() == pytest.approx(0.8, abs=0.01)
    # A token drawn from 35 is the true one in 1 of 35 cases.
    assert ((shown != 4) & (shown != true)).mean() == pytest.approx(0.1 * 34 / 35, abs=0.008)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            MaskSettings(),
            "style base_spans with bpe_40; expected the style tokens.*set masked.mask.style=tokens",
        ),
        (replace(MASK, soft_masked_weight=0.1), "soft_masked_weight 0.1 with bpe_40; .*soft_masked_weight=1"),
    ],
)
def test_settings_that_mean_nothing_for_bpe_are_refused(tokens, settings, message):
    codes, lengths = draw_windows(2)
    with pytest.raises(SettingsError, match=message):
        mask_bpe_windows(
            codes, lengths, tokens=tokens, settings=settings, keys=build_keys(0, 0, np.arange(2))
        )


class Told(nn.Module):
    """A model that is told the labels: it gives the right token some weight, and all others the same."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight, self.unused = weight, nn.Parameter(torch.zeros(1))

    def forward(self, input_ids, labels, attention_mask=None, return_logits=False) -> SimpleNamespace:
        wanted = labels[labels != -100]
        logits = torch.zeros(len(wanted), 40)
        logits[torch.arange(len(wanted)), wanted] = self.weight
        return SimpleNamespace(logits=logits)


def test_the_score_is_bits_of_hidden_tokens_over_their_bases(tokens):
    windows = [encode_bases(make_dna(50 + row, seed=row)) for row in range(30)]
    uniform = compute_bpe_score(Told(0.0), windows, tokens=tokens, settings=MASK)
    codes, lengths = pad_windows(windows)
    keys = build_keys(0, 0, np.arange(30))
    batch = mask_bpe_windows(codes, lengths, tokens=tokens, settings=MASK, keys=keys)
    labels = batch.labels[batch.labels != -100]
    assert (uniform.tokens, uniform.bases) == (len(labels), int(tokens.token_bp[labels].sum()))
    assert uniform.loss == pytest.approx(np.log(40), rel=1e-5)
    assert uniform.bits_per_base == pytest.approx(np.log2(40) * uniform.tokens / uniform.bases, rel=1e-5)
    sure = compute_bpe_score(Told(50.0), windows, tokens=tokens, settings=MASK, batch_size=7)
    assert sure.bits_per_base == pytest.approx(0.0, abs=1e-6)
    assert (sure.accuracy, sure.tokens, sure.bases) == (1.0, uniform.tokens, uniform.bases)
    with pytest.raises(DataError, match="found no hidden token in the held-out sequences"):
        compute_bpe_score(Told(0.0), [np.full(9, 4, np.uint8)], tokens=tokens, settings=MASK)


def open_batches(text: str, tokens: BpeTokens) -> MaskedBatches:
    return MaskedBatches(
        CorpusBases(
            codes=encode_bases(text),
            row_starts=np.array([0, len(text)]),
            row_weights=np.ones(1),
            soft_masked=np.empty((0, 2), dtype=np.int64),
        ),
        scheme=tokens,
        windows=WindowSettings(kind="random", length_bp=50),
        mask=MASK,
        batch_size=16,
        num_steps=10,
        seed=0,
    )


def test_rows_of_a_step_are_windows_of_both_strands_whatever_the_slice(tokens):
    text = make_dna(3_000, seed=8)
    batches = open_batches(text, replace(tokens, max_tokens=60))
    rows = batches.mask_rows(2, slice(0, 16))
    reverse = decode_bases(reverse_complement(encode_bases(text)))
    strands = {(decode_bases(row) in text, decode_bases(row) in reverse) for row in rows.codes}
    assert strands == {(True, False), (False, True)}
    whole = batches.build_input(2, slice(0, 16)).inputs
    part = batches.build_input(2, slice(5, 9)).inputs
    width = part["input_ids"].shape[1]
    assert torch.equal(part["input_ids"], whole["input_ids"][5:9, :width])
    assert torch.equal(part["labels"], whole["labels"][5:9, :width])
    largest = batches.build_largest(3)
    assert largest.inputs["input_ids"].shape == (3, 52), "one base a token"
    assert largest.weight > 0


def test_what_is_cut_off_is_told(tokens):
    batches = open_batches(make_dna(3_000, seed=8), replace(tokens, max_tokens=12))
    found = compute_mask_statistics(batches)
    assert (found.windows, found.bases, found.tokens_per_window) == (160, 8_000, 10)
    rows = [batches.mask_rows(step, slice(0, 16)) for step in range(10)]
    ids = np.concatenate(
        [np.where(row.batch.labels != -100, row.batch.labels, row.batch.input_ids) for row in rows]
    )
    assert found.seen_share == pytest.approx(tokens.token_bp[ids].sum() / 8_000)
    assert found.hidden_share == pytest.approx(0.2 * found.seen_share, abs=0.03)
    assert found.bases_per_token == pytest.approx(found.seen_share * 50 / 10)
    assert found.describe().endswith(f"; {1 - found.seen_share:.1%} of the bases are in no token")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """A genome of four words by chance, so that there is something to learn."""
    folder = tmp_path_factory.mktemp("words")
    words = np.array(["TATAAT", "GGCC", "ACGTTGCA", "CATCAT"])
    text = "".join(words[np.random.default_rng(0).integers(4, size=3_000)])
    (folder / "words.fa").write_text(f">c\n{text}\n")
    settings = CorpusSettings(split="blocks", block_bp=1_000, validation_blocks=(5,), test_blocks=(3,))
    build_corpus([folder / "words.fa"], folder / "corpus", settings=settings)
    return folder / "corpus"


def pretrain(
    corpus: Path, output: Path, tokenizer: Path, *, pretrained: Path | None = None, **changes
) -> dict:
    return pretrain_masked(
        corpus,
        output,
        scheme=load_tokens(tokenizer),
        settings=replace(SETTINGS, **changes),
        pretrained=pretrained,
        seed=1,
    )


@pytest.fixture(scope="module")
def finished(corpus, tokens, tmp_path_factory) -> tuple[Path, dict]:
    output = tmp_path_factory.mktemp("masked") / "run"
    return output, pretrain(corpus, output, tokens.folder)


def test_a_training_ends_with_a_folder_that_plain_classes_load(finished, tokens):
    folder, metrics = finished
    assert metrics["test"]["bits_per_base"] < 2
    assert metrics["test"]["bases"] > metrics["test"]["tokens"] > 100
    assert metrics["bases_seen"] > 1.5 * metrics["tokens_seen"]
    assert metrics["masking"]["hidden_share"] == pytest.approx(0.2, abs=0.03)
    assert compute_sha256(folder / "tokenizer.json") == compute_sha256(tokens.folder / "tokenizer.json")
    assert read_json(folder / "tokenizer_config.json")["scheme"] == "bpe_40"
    assert not list(folder.glob("checkpoint-*"))
    model, stock = AutoModelForMaskedLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model(**stock("ACGTTGCATATAAT", return_tensors="pt")).logits.shape[-1] == 40
    assert not {"scheme", "genolm"} & set(read_json(folder / "config.json"))


def test_a_training_that_broke_off_goes_on_to_the_same_weights(
    corpus, finished, tokens, tmp_path, monkeypatch
):
    calls = []

    def break_off(*arguments, **more):
        calls.append(0)
        if len(calls) == 24 + 11:  # all 24 steps are counted before the training begins
            raise RuntimeError("power cut")
        return plain(*arguments, **more)

    plain = batches_module.mask_bpe_windows
    monkeypatch.setattr(batches_module, "mask_bpe_windows", break_off)
    with pytest.raises(RuntimeError, match="power cut"):
        pretrain(corpus, tmp_path / "run", tokens.folder)
    monkeypatch.undo()
    assert (tmp_path / "run" / "checkpoint-8").is_dir()
    loop = replace(SETTINGS.loop, workers=1)
    assert pretrain(corpus, tmp_path / "run", tokens.folder, loop=loop) == finished[1]
    weights = [folder / "model.safetensors" for folder in (tmp_path / "run", finished[0])]
    assert compute_sha256(weights[0]) == compute_sha256(weights[1])


def test_training_goes_on_from_a_model_of_the_same_tokens_alone(corpus, finished, tokens, tmp_path):
    folder, metrics = finished
    short = {"steps": 2, "warmup_steps": 0, "learning_rate": 1e-5, "evaluations": 1}
    further = pretrain(corpus, tmp_path / "further", folder, pretrained=folder, **short)
    assert further["test"]["loss"] == pytest.approx(metrics["test"]["loss"], abs=0.05), (
        "it did not begin anew"
    )
    train_small_bpe(tmp_path / "other", seed=4)
    with pytest.raises(
        SettingsError, match=r"a model of bpe_40 in .*with the very tokens .*set tokenizer: /"
    ):
        pretrain(corpus, tmp_path / "refused", tmp_path / "other", pretrained=folder)
    with pytest.raises(SettingsError, match=r"a model of 40 tokens .*expected 69 tokens, as kmer_k3_s1 has"):
        pretrain_masked(
            corpus,
            tmp_path / "kmers",
            scheme=KmerScheme(k=3, stride=1),
            settings=replace(SETTINGS, windows=WindowSettings(kind="random", length_bp=20)),
            pretrained=folder,
        )


def test_masking_that_does_not_suit_is_refused_before_anything_is_written(corpus, tokens, tmp_path):
    with pytest.raises(SettingsError, match=r"style base_spans with bpe_40; .*set masked.mask.style=tokens"):
        pretrain(corpus, tmp_path / "run", tokens.folder, mask=MaskSettings())
    assert not (tmp_path / "run").exists()


COMMAND = [
    "pretrain", "masked", "--recipe", "dnabert_debug", "--set", "masked.mask.style=tokens",
    "--set", "masked.steps=2", "--set", "masked.warmup_steps=0", "--set", "masked.evaluations=1",
    "--set", "masked.windows.length_bp=60",
]  # fmt: skip


def test_the_command_takes_the_folder_of_a_tokenizer(corpus, tokens, tmp_path, capsys):
    words = [*COMMAND, "--corpus", corpus, "--tokenizer", tokens.folder, "--output", tmp_path / "run"]
    with pytest.raises(SystemExit, match=r"^0$"):
        main(list(map(str, words)))
    assert read_json(tmp_path / "run" / "run_config.json")["settings"]["tokenizer"] == "bpe_40"
    assert json.loads(capsys.readouterr().out.partition("model folder")[0])["steps"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tokenizer", "TOKENS", "--corpus", "CORPUS"], "--corpus without --output"),
        (["--tokenizer", "bpe_4096"], "found no tokenizer folder bpe_4096; .*tokenizer_configs/ has some"),
        (
            [
                "--tokenizer",
                "TOKENS",
                "--corpus",
                "CORPUS",
                "--output",
                "run",
                "--set",
                "masked.mask.style=base_spans",
            ],
            "style base_spans with bpe_40; .*set masked.mask.style=tokens",
        ),
    ],
)
def test_the_command_refuses_in_one_line(words, message, corpus, tokens, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    places = {"TOKENS": str(tokens.folder), "CORPUS": str(corpus)}
    with pytest.raises(SystemExit, match=r"^2$"):
        main([*COMMAND, *(places.get(word, word) for word in words)])
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error)
    assert not list(tmp_path.iterdir())
