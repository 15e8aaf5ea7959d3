import json

import numpy as np
import pytest
import torch
from small_bpe import train_small_bpe
from small_models import CLASSIFIERS, LANGUAGE_MODELS, SCHEME, build_small_model, save_small_model
from transformers import BertConfig, BertModel

from genolm.errors import RunFolderError, SettingsError
from genolm.inference.classification import classify
from genolm.inference.classify import Classifier
from genolm.inference.loading import LanguageModel, encode, load_model, load_tokenizer
from genolm.tokenization.encoder import encode_sequences
from genolm.tokenization.tokenizer_json import save_tokenizer

SEQUENCES = ["ACGTACGTAC", "acgun", "GGGTTTAAACCC"]


@pytest.mark.parametrize("name", [*LANGUAGE_MODELS, *CLASSIFIERS])
def test_a_folder_comes_back_as_what_it_is(name, tmp_path):
    folder = save_small_model(tmp_path / name, name)
    loaded = load_model(str(folder), device="cpu")
    model, scheme = build_small_model(name)
    assert (loaded.scheme, type(loaded.model)) == (scheme, type(model))
    assert not loaded.model.training
    for key, weight in model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[key], weight), key
    if name in CLASSIFIERS:
        assert isinstance(loaded, Classifier)
        assert loaded.label_names == ("other", "promoter")
    else:
        assert isinstance(loaded, LanguageModel)
        assert loaded.kind == ("masked" if "bert" in name else "causal")


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classes_of_a_folder_do_not_depend_on_the_batch(name, tmp_path):
    folder = save_small_model(tmp_path / name, name)
    found = classify(folder, SEQUENCES)
    assert found.label_names == ("other", "promoter")
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, atol=1e-6)
    assert found.labels == [found.label_names[int(p > 0.5)] for p in found.probabilities[:, 1]]
    loaded = load_model(folder)
    alone = [classify(loaded, [each]).probabilities[0] for each in SEQUENCES]
    np.testing.assert_allclose(found.probabilities, alone, atol=1e-5)


def test_a_model_of_bases_is_not_asked_for_classes_of_sequences():
    model, scheme = build_small_model("bert_classifier")
    model.config.architectures = ["BertForTokenClassification"]
    with pytest.raises(SettingsError, match=r"the class of every base; .*; use genolm predict"):
        classify(Classifier(model, scheme, ("a", "b")), SEQUENCES)


def test_what_is_no_finished_model_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match=r"no model folder .*nowhere; expected a folder that a training"):
        load_model(tmp_path / "nowhere")
    save_tokenizer(SCHEME, tmp_path / "unfinished")
    with pytest.raises(RunFolderError, match=r"no config.json that names a model in .*finish the training"):
        load_model(tmp_path / "unfinished")
    config = BertConfig(vocab_size=69, hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    BertModel(config).save_pretrained(tmp_path / "encoder")
    with pytest.raises(RunFolderError, match=r"a BertModel in .*; expected the folder of a finished"):
        load_model(tmp_path / "encoder")
    with pytest.raises(SettingsError, match=r"the device abacus \(.*\); expected one that this machine has"):
        load_model(tmp_path / "encoder", device="abacus")


@pytest.mark.parametrize("name", ["awd_lstm_lm", "bert_lm", "awd_lstm_classifier"])
def test_damaged_weights_are_named(name, tmp_path):
    folder = save_small_model(tmp_path / name, name)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(RunFolderError, match=r"weights that cannot be read|a damaged model.safetensors"):
        load_model(folder)
    weights.unlink()
    with pytest.raises(RunFolderError, match=r"safetensors"):
        load_model(folder)


def test_a_language_model_without_its_head_is_refused(tmp_path):
    folder = save_small_model(tmp_path / "model", "awd_lstm_classifier")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["AwdLstmForCausalLM"]}))
    with pytest.raises(RunFolderError, match=r"no weights for \d parameters, among them decoder"):
        load_model(folder)


def test_ids_are_those_of_the_tokenizer_whatever_names_it(tmp_path):
    folder = save_small_model(tmp_path / "lm", "awd_lstm_lm")
    expected = [ids.tolist() for ids in encode_sequences(SEQUENCES, SCHEME)]
    tokenizer = load_tokenizer(folder)
    assert tokenizer(SEQUENCES)["input_ids"] == expected
    for given in ("kmer_k3_s1", folder, str(folder), SCHEME, tokenizer, load_tokenizer("kmer_k3_s1")):
        found = encode(SEQUENCES, given)
        assert [ids.tolist() for ids in found] == expected
        assert found[0].dtype == np.int32
    bare = encode(SEQUENCES, SCHEME, add_special_tokens=False, dtype=np.uint16)
    assert [ids.tolist() for ids in bare] == [ids[1:-1] for ids in expected]
    assert bare[0].dtype == np.uint16


def test_a_tokenizer_of_bpe_is_its_folder(tmp_path):
    tokens = train_small_bpe(tmp_path / "bpe")
    tokenizer = load_tokenizer(tmp_path / "bpe")
    expected = tokenizer(SEQUENCES)["input_ids"]
    for given in (tmp_path / "bpe", tokens, tokenizer):
        assert [ids.tolist() for ids in encode(SEQUENCES, given)] == expected


def test_a_tokenizer_made_from_a_name_can_be_saved(tmp_path):
    tokenizer = load_tokenizer("nucleotide")
    assert tokenizer.name_or_path == "nucleotide"
    tokenizer.save_pretrained(tmp_path)
    assert load_tokenizer(tmp_path)(SEQUENCES)["input_ids"] == tokenizer(SEQUENCES)["input_ids"]


def test_a_name_that_means_nothing_is_refused():
    with pytest.raises(SettingsError, match=r"no tokenizer folder promoters; expected a scheme such as"):
        load_tokenizer("promoters")
    with pytest.raises(SettingsError, match=r"the scheme name 'kmer_6'; expected kmer_k<k>_s<stride>"):
        encode(SEQUENCES, "kmer_6")
