import numpy as np
import pytest
import torch
from small_classifiers import SEQUENCES, make_classifier

from genolm.alphabet import decode_bases, encode_bases, reverse_complement
from genolm.errors import SettingsError
from genolm.interpretation.attention_map import compute_attention_maps, roll_out


def compute_weights(classifier, sequence: str) -> np.ndarray:
    """Attention [layers, heads, T, T] of one sequence, by the eager attention of transformers."""
    from genolm.tokenization.encoder import encode_sequences

    ids = torch.from_numpy(encode_sequences([sequence], classifier.scheme, dtype=np.int64)[0])[None]
    classifier.model.set_attn_implementation("eager")
    with torch.no_grad():
        found = classifier.model(input_ids=ids, output_attentions=True).attentions
    return torch.cat(found).double().numpy()


@pytest.mark.parametrize("kind", ["bert", "modernbert"])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_heads_and_rollout_are_those_of_the_weights_divided_over_the_bases(kind, pooling):
    if kind == "bert" and pooling == "mean":
        pooling = "cls"  # the class knows no other
    entries = {"classifier_pooling": pooling} if kind == "modernbert" else {}
    classifier = make_classifier(kind, stride=3, **entries)
    before = classifier.model.config._attn_implementation
    (found,) = compute_attention_maps(classifier, ["ACGTTGACATTA"])
    assert classifier.model.config._attn_implementation == before
    weights = compute_weights(classifier, "ACGTTGACATTA")
    rows = weights.mean(axis=2) if pooling == "mean" else weights[:, :, 0]
    assert found.heads.shape == (2, 2, 12)
    np.testing.assert_allclose(found.heads, np.repeat(rows[..., 1:-1] / 3, 3, axis=-1), atol=1e-6)
    first, second = (weights.mean(axis=1) + np.eye(6)) / 2
    rolled = second @ first
    row = rolled.mean(axis=0) if pooling == "mean" else rolled[0]
    np.testing.assert_allclose(found.rollout, np.repeat(row[1:-1] / 3, 3), atol=1e-6)
    assert found.rollout.sum() == pytest.approx(row[1:-1].sum())


def test_both_strands_are_averaged_where_the_classifier_does():
    classifier = make_classifier("bert", average_strands=True)
    other = decode_bases(reverse_complement(encode_bases(SEQUENCES[0])))
    found = compute_attention_maps(classifier, [SEQUENCES[0], other])
    np.testing.assert_allclose(found[0].rollout, found[1].rollout[::-1], atol=1e-6)
    np.testing.assert_allclose(found[0].heads, found[1].heads[..., ::-1], atol=1e-6)


def test_rollout_keeps_the_sum_of_each_row():
    weights = torch.rand(3, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weights /= weights.sum(dim=-1, keepdim=True)
    np.testing.assert_allclose(roll_out(weights).sum(dim=1), 1)


def test_a_model_without_attention_is_refused():
    with pytest.raises(SettingsError, match=r"kind awd_lstm, which has no attention; expected one of bert"):
        compute_attention_maps(make_classifier("awd_lstm"), SEQUENCES)
