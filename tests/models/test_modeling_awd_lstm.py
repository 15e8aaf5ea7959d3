import itertools
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from genolm.models import AwdLstmConfig, AwdLstmForCausalLM, AwdLstmForSequenceClassification, AwdLstmModel
from genolm.models.modeling_awd_lstm import (
    drop_weights,
    pool_last_max_mean,
    pool_parts,
    variational_dropout,
)

FASTAI = Path(__file__).parents[1] / "fixtures" / "fastai_awd_lstm.safetensors"
NO_DROPOUT = {
    f"{name}_dropout": 0.0 for name in ("embedding", "input", "hidden", "weight", "output", "classifier")
}
CLS, SEP, PAD = 2, 3, 0


def build_config(**changes) -> AwdLstmConfig:
    settings = {"vocab_size": 21, "embedding_size": 8, "lstm_size": 12, "num_layers": 2, "kmer_k": 2}
    return AwdLstmConfig(**{**settings, **changes})


def build_model(model_class, **changes):
    torch.manual_seed(0)
    model = model_class(build_config(**changes))
    with torch.no_grad():
        for parameter in model.parameters():  # far from the start values, so that every weight matters
            parameter.copy_(torch.rand(parameter.shape) - 0.5)
    return model.eval()


def draw_ids(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(5, 21, shape, generator=torch.Generator().manual_seed(seed))


def pad_rows(rows: list[Tensor]) -> tuple[Tensor, Tensor]:
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
    return ids, (ids != PAD).long()


@pytest.fixture(scope="module")
def fastai():
    tensors = load_file(FASTAI)
    model = AwdLstmForCausalLM(
        AwdLstmConfig(vocab_size=13, embedding_size=6, lstm_size=10, num_layers=3, successor_softmax=False)
    ).eval()
    weights = {
        f"awd_lstm.{name}": tensor for name, tensor in tensors.items() if name.startswith(("emb", "lstm"))
    }
    loaded = model.load_state_dict({**weights, "decoder.bias": tensors["decoder.bias"]}, strict=False)
    assert loaded.missing_keys == ["decoder.weight"], "the tied matrix is the embedding's"
    assert loaded.unexpected_keys == []
    return model, tensors


def test_hidden_states_equal_those_of_fastai_with_the_state_carried_on(fastai):
    model, tensors = fastai
    with torch.no_grad():
        first = model.awd_lstm(tensors["input_ids"])
        second = model.awd_lstm(tensors["input_ids"], state=first.state)
    torch.testing.assert_close(first.last_hidden_state, tensors["hidden_first_BTD"], rtol=0, atol=1e-5)
    torch.testing.assert_close(second.last_hidden_state, tensors["hidden_second_BTD"], rtol=0, atol=1e-5)
    assert (first.last_hidden_state - second.last_hidden_state).abs().max() > 1e-2, "the state must matter"


def test_tied_decoder_logits_equal_those_of_fastai(fastai):
    model, tensors = fastai
    with torch.no_grad():
        logits = model(tensors["input_ids"]).logits
    torch.testing.assert_close(logits, tensors["logits_first_BTV"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("cut", [1, 5, 10])
def test_two_halves_with_carried_state_equal_one_pass(cut):
    model, ids = build_model(AwdLstmForCausalLM), draw_ids(3, 11)
    with torch.no_grad():
        whole = model(ids)
        left = model(ids[:, :cut])
        right = model(ids[:, cut:], state=left.state)
    torch.testing.assert_close(torch.cat([left.logits, right.logits], dim=1), whole.logits, rtol=0, atol=1e-5)
    for whole_part, right_part in zip(
        itertools.chain(*whole.state), itertools.chain(*right.state), strict=True
    ):
        torch.testing.assert_close(whole_part, right_part, rtol=0, atol=1e-5)


@pytest.mark.parametrize("model_class", [AwdLstmForCausalLM, AwdLstmForSequenceClassification])
def test_an_output_does_not_depend_on_the_batch_or_its_padding(model_class):
    model = build_model(model_class)
    rows = [
        torch.cat([torch.tensor([CLS]), draw_ids(length, seed=length), torch.tensor([SEP])])
        for length in (4, 15, 1, 9)
    ]
    ids, mask = pad_rows(rows)
    with torch.no_grad():
        together = model(input_ids=ids, attention_mask=mask).logits
        for index, row in enumerate(rows):
            alone = model(input_ids=row[None], attention_mask=torch.ones_like(row[None])).logits[0]
            mine = together[index] if alone.ndim == 1 else together[index, : len(row)]
            torch.testing.assert_close(mine, alone, rtol=0, atol=1e-5)


def test_the_pools_of_a_small_case():
    hidden = torch.tensor([[[9.0, 9.0], [1.0, -1.0], [5.0, 0.0], [3.0, -2.0], [8.0, 8.0]]])
    real = torch.tensor([[False, True, True, True, False]])
    assert pool_last_max_mean(hidden, real).tolist() == [[3.0, -2.0, 5.0, 0.0, 3.0, -1.0]]


def test_the_pools_of_a_single_first_token_and_of_no_token():
    hidden = torch.tensor([[[1.0], [7.0]], [[2.0], [3.0]]], requires_grad=True)
    pooled = pool_last_max_mean(hidden, torch.tensor([[True, False], [False, False]]))
    assert pooled.tolist() == [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    pooled.sum().backward()
    assert hidden.grad.tolist() == [[[3.0], [0.0]], [[0.0], [0.0]]]


@pytest.mark.parametrize("with_mask", [True, False])
def test_the_classifier_pools_over_bases_alone(with_mask):
    model = build_model(AwdLstmForSequenceClassification, num_labels=3)
    ids = torch.tensor([[CLS, 5, 9, 1, 7, SEP, PAD], [CLS, 8, SEP, PAD, PAD, PAD, PAD]])
    mask = (ids != PAD).long() if with_mask else None
    with torch.no_grad():
        hidden = model.awd_lstm(ids).last_hidden_state
        by_hand = []
        for row, (start, end) in zip(hidden, [(1, 5), (1, 2)], strict=True):
            bases = row[start:end]
            by_hand.append(torch.cat([bases[-1], bases.amax(0), bases.mean(0)]))
        expected = model.head(torch.stack(by_hand))
        found = model(input_ids=ids, attention_mask=mask).logits
    assert found.shape == (2, 3)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "labels", "compute_loss"),
    [
        ({"num_labels": 3}, torch.tensor([2, 0]), lambda z, y: -z.log_softmax(-1)[[0, 1], y].mean()),
        ({"num_labels": 1}, torch.tensor([0.5, -2.0]), lambda z, y: ((z[:, 0] - y) ** 2).mean()),
        (
            {"num_labels": 3, "problem_type": "multi_label_classification"},
            torch.tensor([[1, 0, 1], [0, 0, 0]]),
            lambda z, y: -(y * F.logsigmoid(z) + (1 - y) * F.logsigmoid(-z)).mean(),
        ),
    ],
    ids=["classes", "regression", "multi_label"],
)
def test_the_loss_of_each_kind_of_label(changes, labels, compute_loss):
    model = build_model(AwdLstmForSequenceClassification, **changes)
    with torch.no_grad():
        output = model(input_ids=draw_ids(2, 6), labels=labels)
    torch.testing.assert_close(output.loss, compute_loss(output.logits, labels))


def test_inputs_embeds_stand_for_input_ids():
    model, ids = build_model(AwdLstmModel), draw_ids(2, 7)
    with torch.no_grad():
        from_ids = model(ids).last_hidden_state
        from_embeds = model(inputs_embeds=model.get_input_embeddings()(ids)).last_hidden_state
    assert torch.equal(from_ids, from_embeds)


@pytest.mark.parametrize("model_class", [AwdLstmForCausalLM, AwdLstmForSequenceClassification])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_layer_groups_hold_every_parameter_once_from_input_to_output(model_class, num_layers):
    model = build_model(model_class, num_layers=num_layers)
    groups = model.layer_groups()
    names = {parameter: name for name, parameter in model.named_parameters()}
    found = [names[parameter] for group in groups for parameter in group]
    assert sorted(found) == sorted(names.values())
    assert len(groups) == num_layers + 2
    first, *layers, last = [[names[parameter] for parameter in group] for group in groups]
    assert first == ["awd_lstm.embedding.weight"]
    for index, layer in enumerate(layers):
        assert all(name.startswith(f"awd_lstm.lstm_layers.{index}.") for name in layer)
    assert all(name.startswith(("decoder.", "head.")) for name in last)


def test_start_weights():
    model = AwdLstmForSequenceClassification(build_config(embedding_size=4, lstm_size=16))
    assert 0.08 < model.awd_lstm.embedding.weight.abs().max() <= 0.1
    assert 0.2 < model.awd_lstm.lstm_layers[0].weight_hh_l0.abs().max() <= 0.25
    assert model.head.norm.weight.tolist() == [1.0] * 12
    assert model.head.out.bias.tolist() == [0.0, 0.0]


def test_variational_dropout_drops_the_same_features_at_every_token():
    torch.manual_seed(0)
    dropped = variational_dropout(torch.ones(40, 5, 50), 0.25, training=True)
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    assert dropped.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert not torch.equal(dropped[0], dropped[1]), "another mask for each sequence"
    assert (dropped == 0).float().mean() == pytest.approx(0.25, abs=0.03)  # 3 sigma of 2,000 draws


def test_variational_dropout_is_off_in_eval_mode_and_at_zero():
    x = torch.randn(2, 3, 4)
    assert variational_dropout(x, 0.5, training=False) is x
    assert variational_dropout(x, 0.0, training=True) is x


def test_drop_weights_keeps_the_mean():
    torch.manual_seed(0)
    dropped = drop_weights(torch.full((400, 400), 2.0), 0.3, training=True)
    kept = 256 / (256 - 77)  # 0.3 is rounded to 77/256
    assert dropped.unique().tolist() == [0.0, pytest.approx(2 * kept)]
    assert (dropped == 0).float().mean() == pytest.approx(77 / 256, abs=0.004)
    assert dropped.mean() == pytest.approx(2.0, abs=0.02)


def test_drop_weights_is_off_in_eval_mode_and_at_zero():
    weight = torch.randn(3, 3)
    assert drop_weights(weight, 0.5, training=False) is weight
    assert drop_weights(weight, 0.0, training=True) is weight


@pytest.mark.parametrize("name", [name for name in NO_DROPOUT if name != "classifier_dropout"])
def test_each_dropout_of_the_language_model_acts_in_training_and_follows_the_seed(name):
    model = build_model(AwdLstmForCausalLM, successor_softmax=False, **{**NO_DROPOUT, name: 0.5})
    ids = draw_ids(4, 9)

    def run(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return model(ids).logits

    assert torch.equal(run(1), run(2)), "eval mode"
    model.train()
    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


def test_the_dropout_of_the_classifier_acts_in_training_and_follows_the_seed():
    model = build_model(AwdLstmForSequenceClassification, **{**NO_DROPOUT, "classifier_dropout": 0.5})
    ids = draw_ids(4, 9)

    def run(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return model(input_ids=ids).logits

    assert torch.equal(run(1), run(2)), "eval mode"
    model.train()
    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


def test_embedding_dropout_removes_whole_tokens():
    model = build_model(AwdLstmModel, **{**NO_DROPOUT, "embedding_dropout": 0.5}).train()
    torch.manual_seed(0)
    embedded = model._embed(torch.arange(21).repeat(2, 1))
    assert torch.equal(embedded[0], embedded[1]), "a token vanishes wherever it stands"
    factors = (embedded[0] / model.embedding.weight).detach()
    torch.testing.assert_close(factors, factors[:, :1].round().expand_as(factors))
    assert factors.round().unique().tolist() == [0.0, 2.0]


@pytest.mark.parametrize(("ar", "tar"), [(2.0, 0.0), (0.0, 3.0), (2.0, 3.0), (0.0, 0.0)])
def test_activation_penalties_are_added_in_training_only(ar, tar):
    model = build_model(
        AwdLstmForCausalLM,
        **NO_DROPOUT,
        activation_regularization=ar,
        temporal_activation_regularization=tar,
    )
    ids = draw_ids(3, 8)
    with torch.no_grad():
        hidden = model.awd_lstm(ids).last_hidden_state
        plain = model(ids, labels=ids).loss
        penalized = model.train()(ids, labels=ids).loss
    expected = ar * (hidden**2).mean() + tar * ((hidden[:, 1:] - hidden[:, :-1]) ** 2).mean()
    torch.testing.assert_close(penalized - plain, expected, rtol=1e-4, atol=1e-6)


def test_the_activation_penalty_is_on_the_dropped_states_as_in_fastai():
    model = build_model(AwdLstmForCausalLM, **{**NO_DROPOUT, "output_dropout": 0.5}).train()
    ids, losses = draw_ids(3, 8), []
    for weight in (2.0, 0.0):
        model.config.activation_regularization = weight
        torch.manual_seed(5)
        losses.append(model(ids, labels=ids).loss)
    torch.manual_seed(5)
    dropped = variational_dropout(model.awd_lstm(ids).last_hidden_state, 0.5, training=True)
    torch.testing.assert_close(losses[0] - losses[1], 2 * (dropped**2).mean(), rtol=1e-4, atol=1e-6)


def test_the_pools_of_two_parts_of_a_small_case():
    hidden = torch.tensor([[[9.0], [1.0], [5.0], [3.0], [4.0], [8.0]]])
    real = torch.tensor([[False, True, True, True, True, False]])
    assert pool_parts(hidden, real, 2).tolist() == [[5.0, 5.0, 3.0, 4.0, 4.0, 3.5]]
    assert pool_parts(hidden, real, 1).tolist() == pool_last_max_mean(hidden, real).tolist()
    # of four positions in five parts the last part has none
    assert pool_parts(hidden, real, 5)[0, :3].tolist() == [1.0, 1.0, 1.0]
    assert pool_parts(hidden, real, 5)[0, 12:].tolist() == [0.0, 0.0, 0.0]


def test_a_head_of_parts_knows_where_something_is_and_nothing_of_the_batch():
    model = build_model(AwdLstmForSequenceClassification, classifier_parts=4, **NO_DROPOUT)
    assert model.head.inner.in_features == 4 * 3 * 8
    rows = [draw_ids(length, seed=length) for length in (16, 5, 9, 1)]
    ids, mask = pad_rows(rows)
    with torch.no_grad():
        together = model(ids, attention_mask=mask).logits
        alone = torch.cat([model(row[None]).logits for row in rows])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="classifier_parts needs at most 8 tokens"):
        build_model(AwdLstmForSequenceClassification, classifier_parts=2, max_bptt_tokens=8)(ids)


def test_a_head_of_parts_whose_units_are_all_off_learns_again():
    ids = draw_ids(12, 16, seed=0)
    labels = (ids[:, 5] % 2).long()

    def compute_final_loss(activation: str) -> float:
        model = build_model(
            AwdLstmForSequenceClassification,
            classifier_parts=4,
            classifier_activation=activation,
            **NO_DROPOUT,
        )
        with torch.no_grad():
            model.head.inner.bias.fill_(-5.0)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
        for _ in range(200):
            optimizer.zero_grad()
            model(ids, labels=labels).loss.backward()
            optimizer.step()
        return model(ids, labels=labels).loss.item()

    assert compute_final_loss("leaky_relu") < 0.1
    assert compute_final_loss("relu") > 0.5, "ReLUs that are off for every sequence have no gradient"


def compute_classifier_losses(
    rows: list[Tensor], **changes
) -> tuple[Tensor, Tensor, AwdLstmForSequenceClassification]:
    """The loss in training with and without AR and TAR, whose weights are 2 and 3."""
    model = build_model(AwdLstmForSequenceClassification, **NO_DROPOUT, **changes).train()
    ids, mask = pad_rows(rows)
    labels, losses = torch.arange(len(rows)) % 2, []
    for ar, tar in ((2.0, 3.0), (0.0, 0.0)):
        model.config.activation_regularization, model.config.temporal_activation_regularization = ar, tar
        losses.append(model(ids, attention_mask=mask, labels=labels).loss)
    return losses[0], losses[1], model


def test_a_classifier_has_both_penalties_per_sequence_whatever_the_padding():
    ends = torch.tensor([CLS]), torch.tensor([SEP])
    rows = [torch.cat([ends[0], draw_ids(length, seed=length), ends[1]]) for length in (9, 4, 1)]
    penalized, plain, model = compute_classifier_losses(rows)
    expected = 0.0
    for row in rows:
        hidden = model.awd_lstm(row[None]).last_hidden_state[0, 1:-1]
        expected = expected + 2 * hidden.pow(2).mean() / 3
        if len(hidden) > 1:
            expected = expected + 3 * (hidden[1:] - hidden[:-1]).pow(2).mean() / 3
    torch.testing.assert_close(penalized - plain, expected, rtol=1e-4, atol=1e-6)
    assert penalized > plain + 0.01
    assert model.eval()(rows[0][None], labels=torch.tensor([0])).loss.isfinite()


def test_long_sequences_are_penalized_on_the_tokens_that_are_learned_from():
    penalized, plain, model = compute_classifier_losses([draw_ids(20)], max_bptt_tokens=8, bptt_tokens=4)
    hidden = model.awd_lstm(draw_ids(20)[None]).last_hidden_state[0, 12:]
    expected = 2 * hidden.pow(2).mean() + 3 * (hidden[1:] - hidden[:-1]).pow(2).mean()
    torch.testing.assert_close(penalized - plain, expected, rtol=1e-4, atol=1e-6)


def test_an_evaluated_classifier_has_no_penalty():
    model = build_model(AwdLstmForSequenceClassification, activation_regularization=5.0)
    ids, labels = draw_ids(2, 6), torch.tensor([0, 1])
    loss = model(ids, labels=labels).loss
    torch.testing.assert_close(loss, F.cross_entropy(model(ids).logits, labels))


def test_one_token_has_no_temporal_penalty():
    model = build_model(AwdLstmForCausalLM, temporal_activation_regularization=1.0).train()
    ids = draw_ids(3, 1)
    assert torch.isfinite(model(ids, shift_labels=ids).loss)


def test_an_untied_decoder_is_in_the_last_layer_group():
    model = build_model(AwdLstmForCausalLM, tie_word_embeddings=False)
    groups = model.layer_groups()
    assert sum(len(group) for group in groups) == len(list(model.parameters()))
    assert {id(parameter) for parameter in groups[-1]} == {id(each) for each in model.decoder.parameters()}
