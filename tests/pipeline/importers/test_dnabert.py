"""DNABERT's files taken over: a pickle of tensors, vocab.txt, a config.json with settings of others."""

import json

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, BertConfig, BertForPreTraining

from genolm.cli import main
from genolm.errors import RunFolderError
from genolm.kmers import build_kmer_names
from genolm.pipeline.importers.dnabert import import_dnabert
from genolm.tokenization.scheme import SPECIAL_TOKENS

# As in DNABERT's config.json, which belongs to a fork of transformers 2.
OWN_SETTINGS = {"num_rnn_layer": 2, "rnn": "lstm", "rnn_dropout": 0.0, "rnn_hidden": 768, "split": 10}


@pytest.fixture(scope="module")
def original():
    """A BERT with pooler and the head of next-sentence prediction, as DNABERT's file has them."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=69, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    model = BertForPreTraining(config).eval()
    with torch.no_grad():
        model.cls.predictions.bias.copy_(torch.rand(69))
    return model


@pytest.fixture
def folder(original, tmp_path):
    path = tmp_path / "3-new-12w-0"
    path.mkdir()
    weights = dict(original.state_dict())
    weights["bert.embeddings.position_ids"] = torch.arange(512)[None]
    torch.save(weights, path / "pytorch_model.bin")
    kept = {
        n: v for n, v in original.config.to_dict().items() if n not in ("model_type", "transformers_version")
    }
    (path / "config.json").write_text(
        json.dumps({**kept, **OWN_SETTINGS, "architectures": ["BertForMaskedLM"], "num_labels": 2})
    )
    (path / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, *build_kmer_names(3)]) + "\n")
    return path


def test_it_loads_with_plain_classes_takes_raw_dna_and_answers_as_before(original, folder, tmp_path):
    report = import_dnabert(folder, tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "out").eval()
    batch = tokenizer("ACGTTGCAAC", return_tensors="pt")
    assert tokenizer.convert_ids_to_tokens(batch["input_ids"][0])[:3] == ["[CLS]", "ACG", "CGT"]
    with torch.no_grad():
        expected = original(**batch).prediction_logits
        torch.testing.assert_close(model(**batch).logits, expected, rtol=0, atol=1e-6)
    assert {name for name in report.ignored} >= {
        "bert.pooler.dense.weight",
        "cls.seq_relationship.bias",
        "bert.embeddings.position_ids",
    }
    assert set(report.mapped) | set(report.ignored) == {
        *original.state_dict(),
        "bert.embeddings.position_ids",
    }
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert not set(OWN_SETTINGS) & set(config)
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".json"] * 4 + [".safetensors"]


def test_the_oldest_names_of_layer_norms_are_read(original, folder, tmp_path):
    weights = torch.load(folder / "pytorch_model.bin", weights_only=True)
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    for new, name in old.items():
        weights = {each.replace(new, name): tensor for each, tensor in weights.items()}
    torch.save(weights, folder / "pytorch_model.bin")
    import_dnabert(folder, tmp_path / "out")
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "out")
    torch.testing.assert_close(
        model.bert.embeddings.LayerNorm.weight, original.bert.embeddings.LayerNorm.weight
    )


def test_the_command_and_a_second_time(folder, tmp_path, capsys):
    arguments = ["import", "dnabert", str(folder), "--output", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match="0"):
        main(arguments)
    assert "tensors of pytorch_model.bin" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="4"):
        main(arguments)
    assert "expected a new or empty folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.json", "no config.json in"),
        ("pytorch_model.bin", r"no model\.safetensors and no pytorch_model\.bin in"),
    ],
)
def test_a_missing_file_is_named(folder, tmp_path, name, text):
    (folder / name).unlink()
    with pytest.raises(RunFolderError, match=text):
        import_dnabert(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_vocabulary_or_missing_weights_are_refused(original, folder, tmp_path):
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, *build_kmer_names(2)]) + "\n")
    with pytest.raises(RunFolderError, match=r"found vocab_size 69 in .*; expected 21"):
        import_dnabert(folder, tmp_path / "out")
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, *build_kmer_names(3)]) + "\n")
    weights = {n: t for n, t in original.state_dict().items() if "layer.1.output" not in n}
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(RunFolderError, match=r"no weights for bert\.encoder\.layer\.1\.output"):
        import_dnabert(folder, tmp_path / "out")
