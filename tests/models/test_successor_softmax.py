import math
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from genolm.models import AwdLstmConfig, AwdLstmForCausalLM
from genolm.tokenization.encoder import encode_sequence
from genolm.tokenization.scheme import KmerScheme

SCHEMES = [KmerScheme(*pair) for pair in [(1, 1), (2, 1), (3, 1), (2, 2), (3, 2), (4, 2), (3, 3)]]
CLS, SEP, PAD, UNK = 2, 3, 0, 1

every_scheme = pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)


def build_model(scheme: KmerScheme, *, successor_softmax: bool = True) -> AwdLstmForCausalLM:
    torch.manual_seed(1)
    model = AwdLstmForCausalLM(
        AwdLstmConfig(
            vocab_size=scheme.vocab_size,
            embedding_size=6,
            lstm_size=10,
            num_layers=2,
            kmer_k=scheme.k,
            kmer_stride=scheme.stride,
            successor_softmax=successor_softmax,
        )
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.rand(parameter.shape) - 0.5)
    return model.eval()


def draw_ids(scheme: KmerScheme, *, rows: int = 3, tokens: int = 12) -> torch.Tensor:
    generator = np.random.default_rng(0)
    length_bp = scheme.k + (tokens - 1) * scheme.stride
    texts = ["".join(generator.choice(list("ACGT"), size=length_bp)) for _ in range(rows)]
    encoded = [encode_sequence(text, scheme, add_special_tokens=False) for text in texts]
    return torch.from_numpy(np.stack(encoded)).long()


def find_successors(token: int, scheme: KmerScheme) -> list[int]:
    """Brute force over the vocabulary: the k-mers that begin with what this one ends in."""
    names = ["".join(letters) for letters in product("ATCG", repeat=scheme.k)]
    shared = names[token - 5][scheme.stride :]
    return [5 + index for index, name in enumerate(names) if name.startswith(shared)]


@every_scheme
def test_the_loss_is_the_full_softmax_restricted_to_the_successors(scheme):
    model, ids = build_model(scheme), draw_ids(scheme)
    full = build_model(scheme, successor_softmax=False)
    with torch.no_grad():
        output = model(ids, labels=ids)
        full_logits = full(ids).logits
    nats = []
    for row in range(ids.shape[0]):
        for position in range(ids.shape[1] - 1):
            successors = find_successors(int(ids[row, position]), scheme)
            assert len(successors) == 4**scheme.stride
            logits = full_logits[row, position]
            nats.append(logits[successors].logsumexp(0) - logits[ids[row, position + 1]])
    assert output.num_scored.item() == len(nats)
    torch.testing.assert_close(output.loss, torch.stack(nats).mean(), rtol=0, atol=1e-5)


@every_scheme
def test_logits_of_tokens_that_cannot_follow_are_minus_infinity_and_the_others_are_those_of_the_decoder(
    scheme,
):
    ids = draw_ids(scheme, rows=2, tokens=5)
    with torch.no_grad():
        logits = build_model(scheme)(ids).logits
        full_logits = build_model(scheme, successor_softmax=False)(ids).logits
    for position in np.ndindex(*ids.shape):
        successors = find_successors(int(ids[position]), scheme)
        assert torch.isfinite(logits[position]).nonzero().flatten().tolist() == successors
        assert torch.equal(logits[position][successors], full_logits[position][successors])


@every_scheme
def test_logits_and_loss_agree(scheme):
    model, ids = build_model(scheme), draw_ids(scheme)
    with torch.no_grad():
        logits, loss = model(ids).logits, model(ids, labels=ids).loss
    expected = F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-5)


@every_scheme
def test_zero_weights_give_exactly_two_bits_per_new_base(scheme):
    model, ids = build_model(scheme), draw_ids(scheme)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        loss = model(ids, labels=ids).loss.item()
    assert loss == pytest.approx(scheme.stride * math.log(4), abs=1e-6)
    assert loss / math.log(2) / scheme.stride == pytest.approx(2.0, abs=1e-6)


def test_after_a_special_token_every_token_may_follow():
    scheme = KmerScheme(2, 1)
    with torch.no_grad():
        logits = build_model(scheme)(torch.tensor([[CLS, UNK, SEP, 5]])).logits
    assert torch.isfinite(logits[0]).sum(dim=1).tolist() == [21, 21, 21, 4]


def test_labels_that_cannot_follow_are_not_scored():
    scheme = KmerScheme(2, 1)  # ids: 5 AA, 6 AT, 7 AC, 8 AG, 9 TA, 10 TT ...
    model = build_model(scheme)
    ids = torch.tensor([[CLS, 5, 6, 9, UNK, 5, 6, SEP]])
    shift_labels = torch.tensor([[5, 6, 5, -100, 5, UNK, 10, 5]])
    with torch.no_grad():
        output = model(ids, shift_labels=shift_labels)
        logits = model(ids).logits[0]
    # AA -> AT and AT -> TT follow by overlap; AT -> AA does not; the rest is special or masked.
    assert output.num_scored.item() == 2
    expected = -(logits[1].log_softmax(-1)[6] + logits[6].log_softmax(-1)[10]) / 2
    torch.testing.assert_close(output.loss, expected, rtol=0, atol=1e-5)


def test_a_batch_without_a_label_has_loss_zero_and_no_gradient():
    model = build_model(KmerScheme(3, 1)).train()
    model.config.activation_regularization = model.config.temporal_activation_regularization = 0.0
    output = model(torch.tensor([[CLS, SEP, CLS]]), shift_labels=torch.full((1, 3), -100))
    assert (output.loss.item(), output.num_scored.item()) == (0.0, 0)
    output.loss.backward()
    assert all(parameter.grad.abs().max() == 0 for parameter in model.parameters())


@pytest.mark.parametrize("successor_softmax", [True, False])
def test_labels_are_shifted_as_transformers_does_and_shift_labels_are_not(successor_softmax):
    scheme = KmerScheme(3, 1)
    model, ids = build_model(scheme, successor_softmax=successor_softmax), draw_ids(scheme)
    shifted = torch.cat([ids[:, 1:], torch.full((3, 1), -100)], dim=1)
    with torch.no_grad():
        from_labels, from_shifted = model(ids, labels=ids), model(ids, shift_labels=shifted)
    assert from_labels.num_scored.item() == 3 * 11
    assert from_labels.num_scored == from_shifted.num_scored
    assert torch.equal(from_labels.loss, from_shifted.loss)
    assert from_labels.logits is None


@pytest.mark.parametrize("successor_softmax", [True, False])
def test_padding_is_not_scored(successor_softmax):
    scheme = KmerScheme(3, 1)
    model, ids = build_model(scheme, successor_softmax=successor_softmax), draw_ids(scheme)
    ids[1, 7:] = PAD
    ids[2, 4:] = PAD
    with torch.no_grad():
        output = model(ids, attention_mask=(ids != PAD).long(), labels=ids)
        alone = [
            model(row[None, :length], labels=row[None, :length])
            for row, length in zip(ids, (12, 7, 4), strict=True)
        ]
    assert output.num_scored.item() == 11 + 6 + 3
    nats = sum(each.loss * each.num_scored for each in alone)
    torch.testing.assert_close(output.loss, nats / 20, rtol=0, atol=1e-5)


def test_the_full_softmax_scores_the_whole_vocabulary():
    scheme = KmerScheme(2, 1)
    model, ids = build_model(scheme, successor_softmax=False), draw_ids(scheme)
    with torch.no_grad():
        output = model(ids, labels=ids)
        expected = F.cross_entropy(model(ids).logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    torch.testing.assert_close(output.loss, expected, rtol=0, atol=1e-6)


def test_gradients_of_the_gathered_rows_are_those_of_the_masked_full_softmax():
    scheme = KmerScheme(3, 1)
    ids = draw_ids(scheme)
    gathered, masked = build_model(scheme), build_model(scheme)
    gathered(ids, labels=ids).loss.backward()
    F.cross_entropy(masked(ids).logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    for left, right in zip(gathered.parameters(), masked.parameters(), strict=True):
        torch.testing.assert_close(left.grad, right.grad, rtol=0, atol=1e-6)
