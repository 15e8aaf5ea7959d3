import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertForTokenClassification

from genolm.models.scoring import find_task
from genolm.models.token_scoring import (
    compute_token_probabilities,
    find_center_bases,
    find_tokens_of_bases,
    spread_over_bases,
)
from genolm.tokenization.encoder import encode_sequences
from genolm.tokenization.scheme import KmerScheme

SCHEME = KmerScheme(k=3, stride=1)
SEQUENCES = ["ACGTACGTAC", "ACG", "GGGTTTAAACCC", "TTGA", "CATCATN"]


def build_model(max_tokens: int = 32) -> BertForTokenClassification:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=SCHEME.vocab_size,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=max_tokens,
        initializer_range=0.3,
        num_labels=3,
        architectures=["BertForTokenClassification"],
    )
    return BertForTokenClassification(config).eval()


def test_a_head_for_tokens_is_told_from_one_for_sequences():
    model = build_model()
    assert find_task(model.config) == "token_classification"
    assert find_task(BertForSequenceClassification(BertConfig(num_labels=3, num_hidden_layers=0)).config) == (
        "classification"
    )


@pytest.mark.parametrize(
    ("k", "stride", "tokens"),
    [
        (1, 1, [0, 1, 2, 3, 4, 5, 6]),
        (3, 1, [0, 0, 1, 2, 3, 4, 4]),
        (6, 1, [0, 0, 0, 1, 1, 1, 1]),
        (3, 3, [0, 0, 0, 1, 1, 1, 1]),  # centers 1 and 4; base 6 is told by the last token
        (3, 2, [0, 0, 0, 1, 1, 2, 2]),  # centers 1, 3, 5; base 2 is as near to 1 as to 3
    ],
)
def test_each_base_has_the_token_whose_center_is_nearest(k, stride, tokens):
    assert find_tokens_of_bases(7, scheme=KmerScheme(k, stride)).tolist() == tokens


@pytest.mark.parametrize(("k", "stride"), [(k, s) for k in range(1, 7) for s in range(1, k + 1)])
def test_the_rule_is_the_nearest_center_for_every_scheme(k, stride):
    scheme = KmerScheme(k, stride)
    for length_bp in range(k, 25):
        centers = find_center_bases(scheme.count_tokens(length_bp), scheme=scheme)
        distances = np.abs(np.arange(length_bp)[:, None] - centers)
        found = find_tokens_of_bases(length_bp, scheme=scheme)
        assert found.tolist() == distances.argmin(axis=1).tolist(), "the earlier one of two"
        assert found[centers].tolist() == list(range(len(centers))), "a center is told by its own token"


def compute_logits(model, ids: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model(input_ids=torch.from_numpy(ids)[None].long()).logits[0, 1:-1].numpy()


def apply_softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)


def test_probabilities_do_not_depend_on_the_batches():
    model, token_ids, done = build_model(), encode_sequences(SEQUENCES, SCHEME), []
    found = compute_token_probabilities(model, token_ids, batch_size=2, on_batch=done.append)
    assert done == [2, 4, 5]
    assert [each.shape for each in found] == [(8, 3), (1, 3), (10, 3), (2, 3), (5, 3)]
    for ids, rows, other in zip(token_ids, found, compute_token_probabilities(model, token_ids), strict=True):
        np.testing.assert_allclose(rows, apply_softmax(compute_logits(model, ids)), atol=1e-5)
        np.testing.assert_allclose(rows, other, atol=1e-5)
    assert np.ptp(found[0], axis=0).max() > 0.05, "the tokens must differ for this test"


def test_tokens_in_several_windows_have_the_mean_of_their_logits():
    model = build_model(max_tokens=8)
    model.config.long_inputs = "windows"
    token_ids = encode_sequences(SEQUENCES, SCHEME)
    found = compute_token_probabilities(model, token_ids, batch_size=4)
    ids = token_ids[2]  # 10 k-mers in windows of 6: from 0, 2 and 4 on
    sums, counts = np.zeros((10, 3)), np.zeros((10, 1))
    for start in (0, 2, 4):
        window = np.concatenate([ids[:1], ids[1 + start : 7 + start], ids[-1:]])
        sums[start : start + 6] += compute_logits(model, window)
        counts[start : start + 6] += 1
    np.testing.assert_allclose(found[2], apply_softmax(sums / counts), atol=1e-5)
    np.testing.assert_allclose(found[3], apply_softmax(compute_logits(model, token_ids[3])), atol=1e-5)


def test_rows_of_tokens_become_rows_of_bases():
    rows = [np.array([[0.1], [0.2]], dtype=np.float32), np.array([[0.3]], dtype=np.float32)]
    found = spread_over_bases(rows, lengths_bp=[4, 3], scheme=SCHEME)
    assert [each[:, 0].round(1).tolist() for each in found] == [
        pytest.approx([0.1, 0.1, 0.2, 0.2]),
        pytest.approx([0.3, 0.3, 0.3]),
    ]
