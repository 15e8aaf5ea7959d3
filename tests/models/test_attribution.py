"""Attribution libraries on finished classifiers, and the classifier behind one-hot DNA."""

import pytest
import torch
from small_bpe import train_small_bpe
from small_models import build_small_model, save_small_model

from genolm.errors import SettingsError
from genolm.inference.loading import load_model
from genolm.models.one_hot import OneHotClassifier
from genolm.models.sequence_nets import SequenceNetSettings, build_sequence_net
from genolm.tokenization.encoder import encode_sequences, pad_batch
from genolm.tokenization.scheme import KmerScheme

SEQUENCES = ["ACGTACGTACGATTACAGGT", "GGGTTTAAACCNATATATNN"]


def make_one_hot(sequences: list[str]) -> torch.Tensor:
    channels = [[[letter == base for letter in each] for base in "ACGT"] for each in sequences]
    return torch.tensor(channels).float()


def compute_logits(model, scheme) -> torch.Tensor:
    batch = pad_batch(encode_sequences(SEQUENCES, scheme))
    with torch.no_grad():
        return model(
            input_ids=torch.from_numpy(batch.input_ids),
            attention_mask=torch.from_numpy(batch.attention_mask),
        ).logits


@pytest.mark.parametrize(
    "name", ["deepbind_classifier", "danq_classifier", "awd_lstm_classifier", "bert_classifier"]
)
def test_one_hot_dna_gives_the_logits_of_its_tokens(name):
    model, scheme = build_small_model(name)
    wrapped = OneHotClassifier(model, scheme)
    with torch.no_grad():
        found = wrapped(make_one_hot(SEQUENCES))
    torch.testing.assert_close(found, compute_logits(model, scheme), rtol=0, atol=1e-5)
    assert wrapped.has_gradients == (name in ("deepbind_classifier", "danq_classifier"))


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_k_mers_of_one_hot_dna_are_those_of_the_tokenizer(stride):
    scheme = KmerScheme(k=3, stride=stride)
    wrapped = OneHotClassifier(build_small_model("bert_classifier")[0], scheme)
    seen = []
    wrapped.model.register_forward_pre_hook(
        lambda module, arguments, given: seen.append(given["input_ids"]), with_kwargs=True
    )
    wrapped(make_one_hot(SEQUENCES))
    assert [row.tolist() for row in encode_sequences(SEQUENCES, scheme)] == seen[0].tolist()


def test_a_learned_embedding_of_bases_has_gradients_too():
    scheme = KmerScheme(k=1, stride=1)
    model = build_sequence_net(
        scheme, SequenceNetSettings(architecture="gru", embedding_size=6), names=("a", "b"), seed=2
    ).eval()
    one_hot = make_one_hot(SEQUENCES).requires_grad_()
    found = OneHotClassifier(model, scheme)(one_hot)
    torch.testing.assert_close(found.detach(), compute_logits(model, scheme), rtol=0, atol=1e-5)
    found[:, 1].sum().backward()
    assert one_hot.grad[0].abs().min() > 0
    assert one_hot.grad[1, :, 11].abs().max() == 0, "an unknown base is no mixture of bases"


def test_bpe_tokens_have_no_one_hot(tmp_path):
    with pytest.raises(SettingsError, match=r"the tokenizer bpe_40 for one-hot DNA; expected k-mers"):
        OneHotClassifier(build_small_model("bert_classifier")[0], train_small_bpe(tmp_path))


@pytest.mark.parametrize("name", ["deepbind_classifier", "awd_lstm_classifier"])
def test_tangermeme_mutates_every_base(name):
    mutagenesis = pytest.importorskip("tangermeme.saturation_mutagenesis")
    model, scheme = build_small_model(name)
    wrapped, sequence = OneHotClassifier(model, scheme), SEQUENCES[0]
    raw = mutagenesis.saturation_mutagenesis(
        wrapped, make_one_hot([sequence]), raw_outputs=True, device="cpu", batch_size=16
    )
    changed = [sequence[:7] + base + sequence[8:] for base in "ACGT"]
    with torch.no_grad():
        expected = wrapped(make_one_hot(changed))
    torch.testing.assert_close(raw.y_hat[0, :, 7], expected, rtol=0, atol=1e-5)
    assert not model.training
    maps = mutagenesis.saturation_mutagenesis(wrapped, make_one_hot([sequence]), target=1, device="cpu")
    assert maps.shape == (1, 4, 20)
    assert maps.abs().sum() > 0


def test_captum_integrates_gradients_over_one_hot_dna():
    attribution = pytest.importorskip("captum.attr")
    wrapped = OneHotClassifier(*build_small_model("danq_classifier"))
    one_hot, baseline = make_one_hot(SEQUENCES[:1]), torch.full((1, 4, 20), 0.25)
    found = attribution.IntegratedGradients(wrapped).attribute(one_hot, baseline, target=1, n_steps=200)
    with torch.no_grad():
        change = (wrapped(one_hot) - wrapped(baseline))[0, 1]
    assert found.shape == (1, 4, 20)
    assert found.sum().item() == pytest.approx(change.item(), rel=0.03)
    assert abs(change) > 1e-3


@pytest.mark.parametrize("name", ["awd_lstm_classifier", "bert_classifier", "modernbert_classifier"])
def test_captum_integrates_gradients_over_the_embedding_of_a_finished_classifier(name, tmp_path):
    attribution = pytest.importorskip("captum.attr")
    loaded = load_model(save_small_model(tmp_path / name, name), device="cpu")
    ids = torch.from_numpy(pad_batch(encode_sequences(SEQUENCES[:1], loaded.scheme)).input_ids)
    unknown = torch.where(ids > 4, 1, ids)

    def compute_class_1(input_ids):
        return loaded.model(input_ids=input_ids, attention_mask=torch.ones_like(input_ids)).logits[:, 1]

    layer = loaded.model.get_input_embeddings()
    found = attribution.LayerIntegratedGradients(compute_class_1, layer).attribute(
        ids, baselines=unknown, n_steps=200
    )
    with torch.no_grad():
        change = (compute_class_1(ids) - compute_class_1(unknown)).item()
    assert found.shape[:2] == ids.shape
    assert found.sum().item() == pytest.approx(change, rel=0.03)
    assert abs(change) > 1e-3
    assert found[0, [0, -1]].abs().max() == 0, "[CLS] and [SEP] are the same in both"
