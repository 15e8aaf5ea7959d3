"""A backward AWD-LSTM reads from the last token; a forward one on turned tokens is the oracle."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from genolm.errors import SettingsError
from genolm.models import AwdLstmForCausalLM, AwdLstmForSequenceClassification, AwdLstmModel
from genolm.models.modeling_awd_lstm import AwdLstmConfig, AwdLstmPreTrainedModel, reverse_tokens
from genolm.models.settings import AwdLstmSettings
from genolm.tokenization.encoder import encode_sequence
from genolm.tokenization.scheme import KmerScheme

CLS, SEP, PAD = 2, 3, 0
IGNORED = -100
SCHEMES = [KmerScheme(*pair) for pair in [(1, 1), (2, 1), (3, 1), (3, 2), (4, 2), (3, 3)]]
every_scheme = pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)


def build_model(
    model_class, direction: str, scheme: KmerScheme = SCHEMES[2], **changes
) -> AwdLstmPreTrainedModel:
    config = AwdLstmConfig(
        vocab_size=scheme.vocab_size,
        embedding_size=6,
        lstm_size=10,
        num_layers=2,
        kmer_k=scheme.k,
        kmer_stride=scheme.stride,
        direction=direction,
        **changes,
    )
    torch.manual_seed(3)
    model = model_class(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.rand(parameter.shape) - 0.5)
    return model.eval()


def draw_ids(scheme: KmerScheme, *, rows: int = 2, tokens: int = 9) -> Tensor:
    length_bp = scheme.k + (tokens - 1) * scheme.stride
    codes = torch.randint(0, 4, (rows, length_bp), generator=torch.Generator().manual_seed(1))
    texts = ["".join("ATCG"[code] for code in row) for row in codes.tolist()]
    return torch.stack(
        [torch.from_numpy(encode_sequence(text, scheme, add_special_tokens=False)).long() for text in texts]
    )


def find_predecessors(token: int, scheme: KmerScheme) -> list[int]:
    """Brute force over the vocabulary: the k-mers that end in what this one begins with."""
    names = ["".join(letters) for letters in product("ATCG", repeat=scheme.k)]
    shared = names[token - 5][: scheme.k - scheme.stride]
    return [5 + index for index, name in enumerate(names) if name.endswith(shared)]


def test_tokens_are_turned_in_front_of_the_padding():
    ids = torch.tensor([[2, 7, 8, 3, 0, 0], [2, 5, 6, 7, 8, 3], [0, 0, 0, 0, 0, 0]])
    lengths = torch.tensor([4, 6, 0])
    turned = reverse_tokens(ids, lengths)
    assert turned.tolist() == [[3, 8, 7, 2, 0, 0], [3, 8, 7, 6, 5, 2], [0] * 6]
    assert torch.equal(reverse_tokens(turned, lengths), ids)
    assert torch.equal(reverse_tokens(torch.stack([ids, -ids], dim=-1), lengths)[..., 1], -turned)


@pytest.mark.parametrize("with_mask", [True, False])
def test_hidden_states_are_those_of_a_forward_network_on_the_turned_tokens(with_mask):
    forward, backward = (build_model(AwdLstmModel, direction) for direction in ("forward", "backward"))
    row, short = draw_ids(SCHEMES[2])[0], draw_ids(SCHEMES[2])[1, :4]
    ids = torch.stack([row, F.pad(short, (0, 5), value=PAD)])
    with torch.no_grad():
        found = backward(ids, attention_mask=(ids != PAD).long() if with_mask else None).last_hidden_state
        for index, each in enumerate([row, short]):
            expected = forward(each.flip(0)[None]).last_hidden_state[0].flip(0)
            torch.testing.assert_close(found[index, : len(each)], expected, rtol=0, atol=1e-6)
        embedded = backward(inputs_embeds=backward.embedding(row[None])).last_hidden_state
    torch.testing.assert_close(embedded[0], found[0], rtol=0, atol=1e-6)


def test_two_halves_from_the_end_with_the_state_carried_equal_one_pass():
    model, ids = build_model(AwdLstmForCausalLM, "backward"), draw_ids(SCHEMES[2])
    with torch.no_grad():
        whole = model(ids).logits
        right = model(ids[:, 5:])
        left = model(ids[:, :5], state=right.state).logits
    torch.testing.assert_close(torch.cat([left, right.logits], dim=1), whole, rtol=0, atol=1e-5)


@every_scheme
def test_a_token_is_scored_among_those_that_can_stand_before_the_next(scheme):
    ids, model = draw_ids(scheme), build_model(AwdLstmForCausalLM, "backward", scheme)
    full = build_model(AwdLstmForCausalLM, "backward", scheme, successor_softmax=False)
    with torch.no_grad():
        output, logits, full_logits = model(ids, labels=ids), model(ids).logits, full(ids).logits
        full_loss = full(ids, labels=ids).loss
    nats = []
    for row, position in product(range(ids.shape[0]), range(1, ids.shape[1])):
        predecessors = find_predecessors(int(ids[row, position]), scheme)
        assert len(predecessors) == 4**scheme.stride
        assert torch.isfinite(logits[row, position]).nonzero().flatten().tolist() == predecessors
        scores = full_logits[row, position]
        nats.append(scores[predecessors].logsumexp(0) - scores[ids[row, position - 1]])
    assert output.num_scored.item() == len(nats)
    torch.testing.assert_close(output.loss, torch.stack(nats).mean(), rtol=0, atol=1e-5)
    expected = F.cross_entropy(full_logits[:, 1:].flatten(0, 1), ids[:, :-1].flatten())
    torch.testing.assert_close(full_loss, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("successor_softmax", [True, False])
def test_padding_is_not_scored_and_shifted_labels_stand_where_they_are_read(successor_softmax):
    model = build_model(AwdLstmForCausalLM, "backward", successor_softmax=successor_softmax)
    ids = draw_ids(SCHEMES[2])
    ids[1, 5:] = PAD
    before = torch.cat([torch.full((2, 1), IGNORED), ids[:, :-1]], dim=1).masked_fill(ids == PAD, IGNORED)
    with torch.no_grad():
        from_labels = model(ids, attention_mask=(ids != PAD).long(), labels=ids)
        from_shifted = model(ids, shift_labels=before)
        alone = [
            model(row[None, :length], labels=row[None, :length])
            for row, length in zip(ids, (9, 5), strict=True)
        ]
    assert from_labels.num_scored.item() == from_shifted.num_scored.item() == 8 + 4
    expected = (8 * alone[0].loss + 4 * alone[1].loss) / 12
    torch.testing.assert_close(from_labels.loss, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(from_shifted.loss, expected, rtol=0, atol=1e-5)


def test_a_backward_classifier_is_a_forward_one_on_the_turned_sequence_whatever_the_batch():
    forward, backward = (
        build_model(AwdLstmForSequenceClassification, direction, num_labels=3)
        for direction in ("forward", "backward")
    )
    rows = [torch.tensor([CLS, *draw_ids(SCHEMES[2])[0, :length].tolist(), SEP]) for length in (9, 2, 5)]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
    with torch.no_grad():
        found = backward(input_ids=ids, attention_mask=(ids != PAD).long()).logits
        expected = torch.cat([forward(input_ids=row.flip(0)[None]).logits for row in rows])
        as_forward = forward(input_ids=ids).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert (found - as_forward).abs().max() > 1e-3, "the direction must matter"


def test_the_direction_is_kept_in_the_folder_and_checked_in_settings(tmp_path):
    model, ids = build_model(AwdLstmForCausalLM, "backward"), draw_ids(SCHEMES[2])
    model.save_pretrained(tmp_path)
    loaded = AwdLstmForCausalLM.from_pretrained(tmp_path).eval()
    assert loaded.config.direction == "backward"
    with torch.no_grad():
        assert torch.equal(loaded(ids).logits, model(ids).logits)
    with pytest.raises(SettingsError, match="direction 'sideways'; expected one of forward, backward"):
        AwdLstmSettings(direction="sideways")
