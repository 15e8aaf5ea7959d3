"""A fastai language model taken over: the same answers, rows in the order of genolm's tokens, a report."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from genolm.cli import main
from genolm.errors import RunFolderError, SettingsError
from genolm.pipeline.importers.fastai import import_fastai
from genolm.tokenization.scheme import KmerScheme

FASTAI = Path(__file__).parents[2] / "fixtures" / "fastai_awd_lstm.safetensors"
SCHEME = KmerScheme(k=2, stride=1)
# 13 rows, in an order of their own: of the 16 2-mers AA, TT, CT, CG and GT are missing.
NAMES = ["xxunk", "TA", "AC", "GG", "xxpad", "CC", "AT", "GA", "TG", "CA", "AG", "GC", "TC"]
LAYERS = ("weight_hh_l0", "weight_ih_l0", "bias_ih_l0", "bias_hh_l0")


def name_as_fastai(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The names of `Learner.save`, with the doubles that lie in such a file."""
    named = {
        "0.encoder.weight": tensors["embedding.weight"],
        "0.encoder_dp.emb.weight": tensors["embedding.weight"],
        "1.decoder.weight": tensors["embedding.weight"],
        "1.decoder.bias": tensors["decoder.bias"],
    }
    for layer in range(3):
        for name in LAYERS:
            tensor = tensors[f"lstm_layers.{layer}.{name}"]
            named[f"0.rnns.{layer}.module.{name}"] = tensor * 0 if name == "weight_hh_l0" else tensor
        named[f"0.rnns.{layer}.weight_hh_l0_raw"] = tensors[f"lstm_layers.{layer}.weight_hh_l0"]
    return named


@pytest.fixture(scope="module")
def tensors():
    return load_file(FASTAI)


@pytest.fixture
def files(tensors, tmp_path):
    torch.save({"model": name_as_fastai(tensors), "opt": {"lr": 0.1}}, tmp_path / "lm.pth")
    np.save(tmp_path / "vocab.npy", np.array(NAMES))
    return tmp_path / "lm.pth", tmp_path / "vocab.npy"


def test_the_answers_are_those_of_fastai_on_the_same_kmers(files, tensors, tmp_path):
    output = tmp_path / "imported"
    report = import_fastai(files[0], output, vocabulary_path=files[1], scheme=SCHEME)
    tokenizer = AutoTokenizer.from_pretrained(output, trust_remote_code=False)
    own_ids = [tokenizer.convert_tokens_to_ids({"xxunk": "[UNK]", "xxpad": "[PAD]"}.get(n, n)) for n in NAMES]
    model = AutoModelForCausalLM.from_pretrained(output).eval()
    input_ids = torch.tensor(own_ids)[tensors["input_ids"]]
    with torch.no_grad():
        logits = model(input_ids).logits[..., own_ids]
    torch.testing.assert_close(logits, tensors["logits_first_BTV"], rtol=0, atol=1e-5)
    assert len(report.mapped) == 1 + 1 + 3 * 4
    assert len(report.ignored) == 2 + 3
    assert report.ignored["0.rnns.1.module.weight_hh_l0"].startswith("weight_hh_l0_raw as it was")
    kept = json.loads((output / "import.json").read_text())
    assert kept["filled"] == {
        "8 rows of the embedding": "the mean of all rows ([CLS], [SEP], [MASK], AA, TT, CT, CG, GT)"
    }
    mean = tensors["embedding.weight"].mean(dim=0)
    rows = model.awd_lstm.embedding.weight.detach()
    torch.testing.assert_close(rows[tokenizer.convert_tokens_to_ids("GT")], mean)


@pytest.mark.parametrize("ending", ["txt", "json"])
def test_a_vocabulary_may_be_text_and_tokens_lower_case(files, tensors, tmp_path, ending):
    names = [name if name.startswith("xx") else name.lower() for name in NAMES]
    path = tmp_path / f"vocab.{ending}"
    path.write_text(json.dumps(names) if ending == "json" else "\n".join(names))
    for number, vocabulary in enumerate((files[1], path)):
        import_fastai(files[0], tmp_path / str(number), vocabulary_path=vocabulary, scheme=SCHEME)
    found = [(tmp_path / str(number) / "model.safetensors").read_bytes() for number in range(2)]
    assert found[0] == found[1]


def test_the_command_says_what_was_mapped(files, tmp_path, capsys):
    arguments = ["import", "fastai", str(files[0]), "--vocabulary", str(files[1]), "--scheme", "kmer_k2_s1"]
    with pytest.raises(SystemExit, match="0"):
        main([*arguments, "--output", str(tmp_path / "out")])
    printed = capsys.readouterr().out
    assert printed.startswith("14 tensors of lm.pth (sha256 ")
    assert "ignored 1.decoder.weight: the embedding again" in printed
    assert "filled 8 rows of the embedding" in printed


def test_an_encoder_alone_has_no_bias(tensors, files, tmp_path):
    encoder = {n[2:]: t for n, t in name_as_fastai(tensors).items() if n.startswith("0.")}
    torch.save(encoder, tmp_path / "encoder.pth")
    report = import_fastai(tmp_path / "encoder.pth", tmp_path / "o", vocabulary_path=files[1], scheme=SCHEME)
    assert report.filled["decoder.bias"] == "zeros"


class Evil:
    def __reduce__(self):
        return (print, ("code ran",))


def break_weights(kind: str, files, tmp_path) -> None:
    if kind == "code":
        torch.save({"model": Evil()}, files[0])
    elif kind == "cut":
        files[0].write_bytes(files[0].read_bytes()[:500])
    elif kind == "text":
        files[0].write_text("not found")
    elif kind == "list":
        torch.save([torch.ones(2)], files[0])
    elif kind == "layer":
        weights = torch.load(files[0], weights_only=True)["model"]
        torch.save({n: t for n, t in weights.items() if n != "0.rnns.1.module.bias_ih_l0"}, files[0])
    elif kind == "short":
        np.save(files[1], np.array(NAMES[:-1]))
    elif kind == "other k":
        np.save(files[1], np.array([*NAMES[:-1], "TCA"]))
    elif kind == "twice":
        np.save(files[1], np.array([*NAMES[:-1], "TA"]))
    elif kind == "objects":
        np.save(files[1], np.array(NAMES, dtype=object), allow_pickle=True)
    elif kind == "mapping":
        files[1].with_suffix(".json").write_text('{"TA": 1}')
    elif kind == "full folder":
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "notes.txt").touch()


BAD = {
    "code": (RunFolderError, "lm.pth, which is damaged or holds more than tensors"),
    "cut": (RunFolderError, "lm.pth, which is damaged or holds more than tensors"),
    "text": (RunFolderError, "lm.pth, which is damaged or holds more than tensors"),
    "list": (RunFolderError, "lm.pth without a dictionary of tensors"),
    "layer": (RunFolderError, r"no weights for awd_lstm.lstm_layers.1.bias_ih_l0; expected shape \(40,\)"),
    "short": (RunFolderError, "an embedding of 13 rows in lm.pth, 12 tokens in vocab.npy"),
    "other k": (SettingsError, "k-mers of 2, 3 bases in vocab.npy; expected 2-mers"),
    "twice": (SettingsError, "1 tokens twice in vocab.npy"),
    "objects": (RunFolderError, "vocab.npy, which cannot be read as a vocabulary"),
    "mapping": (RunFolderError, "vocab.json without a list of tokens"),
    "full folder": (RunFolderError, "expected a new or empty folder"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_refused_and_nothing_is_written(kind, files, tmp_path, capsys):
    break_weights(kind, files, tmp_path)
    vocabulary = files[1].with_suffix(".json") if kind == "mapping" else files[1]
    before = sorted(path.name for path in tmp_path.rglob("*"))
    error, text = BAD[kind]
    with pytest.raises(error, match=text):
        import_fastai(files[0], tmp_path / "out", vocabulary_path=vocabulary, scheme=SCHEME)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
    assert "code ran" not in capsys.readouterr().out


def test_a_missing_file_and_the_wrong_scheme(files, tmp_path):
    with pytest.raises(RunFolderError, match=r"found no file .*none\.pth"):
        import_fastai(tmp_path / "none.pth", tmp_path / "o", vocabulary_path=files[1], scheme=SCHEME)
    with pytest.raises(SettingsError, match=r"k-mers of 2 bases in vocab\.npy; expected 3-mers"):
        import_fastai(files[0], tmp_path / "o", vocabulary_path=files[1], scheme=KmerScheme(k=3, stride=1))
