"""Long sequences in an AWD-LSTM classifier, and its two kinds of head."""

import pytest
import torch
from torch import Tensor

from genolm.models import AwdLstmConfig, AwdLstmForSequenceClassification

CLS, SEP, PAD = 2, 3, 0
NO_DROPOUT = {
    f"{name}_dropout": 0.0 for name in ("embedding", "input", "hidden", "weight", "output", "classifier")
}


def build_model(**changes) -> AwdLstmForSequenceClassification:
    config = AwdLstmConfig(
        vocab_size=21, embedding_size=6, lstm_size=8, num_layers=2, kmer_k=2, **NO_DROPOUT, **changes
    )
    torch.manual_seed(2)
    model = AwdLstmForSequenceClassification(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.rand(parameter.shape) - 0.5)
    return model.eval()


def draw_batch(*lengths: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    rows = [
        torch.tensor([CLS, *torch.randint(5, 21, (length,), generator=generator).tolist(), SEP])
        for length in lengths
    ]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
    return ids, (ids != PAD).long()


def compute_logits(model, ids: Tensor, mask: Tensor) -> Tensor:
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=mask).logits


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize(("bptt_tokens", "max_bptt_tokens"), [(1, 1), (3, 10), (10, 10), (7, 16), (70, 5)])
def test_predictions_do_not_depend_on_the_windows(direction, bptt_tokens, max_bptt_tokens):
    ids, mask = draw_batch(31, 3, 14, 20, 1)
    whole = compute_logits(build_model(direction=direction), ids, mask)
    model = build_model(direction=direction, bptt_tokens=bptt_tokens, max_bptt_tokens=max_bptt_tokens)
    torch.testing.assert_close(compute_logits(model, ids, mask), whole, rtol=0, atol=1e-6)
    assert whole.std(dim=0).min() > 1e-3, "the sequences must differ"


def test_a_sequence_that_fits_is_read_in_one_piece_bit_for_bit():
    ids, mask = draw_batch(12, 6)
    assert ids.shape[1] == 14
    whole, fitting = build_model(), build_model(max_bptt_tokens=14)
    assert torch.equal(compute_logits(fitting, ids, mask), compute_logits(whole, ids, mask))
    for model in (whole, fitting):
        model.train()(input_ids=ids, attention_mask=mask, labels=torch.tensor([0, 1])).loss.backward()
    for left, right in zip(whole.parameters(), fitting.parameters(), strict=True):
        assert torch.equal(left.grad, right.grad)


@pytest.mark.parametrize(("direction", "learned"), [("forward", slice(6, 16)), ("backward", slice(0, 10))])
def test_only_the_tokens_read_last_have_a_gradient(direction, learned):
    """Of 16 tokens with at most 10 and windows of 3, two windows are skipped; all tokens differ."""
    model = build_model(direction=direction, bptt_tokens=3, max_bptt_tokens=10)
    ids = torch.arange(5, 21)[None]
    model(input_ids=ids).logits.sum().backward()
    has_gradient = model.awd_lstm.embedding.weight.grad[5:].abs().sum(dim=1) > 0
    expected = torch.zeros(16, dtype=torch.bool)
    expected[learned] = True
    assert has_gradient.tolist() == expected.tolist()


def test_the_gradient_of_a_sequence_does_not_depend_on_the_batch():
    model = build_model(bptt_tokens=4, max_bptt_tokens=9)
    ids, mask = draw_batch(25, 5, 13)

    def compute_gradients(rows: list[int]) -> list[Tensor]:
        model.zero_grad()
        width = int(mask[rows].sum(dim=1).max())
        model(input_ids=ids[rows, :width], attention_mask=mask[rows, :width]).logits.sum().backward()
        return [parameter.grad.clone() for parameter in model.parameters()]

    alone = [compute_gradients([row]) for row in range(3)]
    for together, parts in zip(compute_gradients([0, 1, 2]), zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(together, sum(parts), rtol=1e-4, atol=1e-5)


def test_what_is_kept_for_the_gradient_does_not_grow_with_the_sequence():
    def count_kept(length: int) -> int:
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            build_model(bptt_tokens=8, max_bptt_tokens=32)(input_ids=draw_batch(length)[0])
        return sum(sizes)

    assert count_kept(400) == count_kept(100)


def test_a_head_with_batch_norm_learns_and_its_predictions_are_independent_of_the_batch(tmp_path):
    model = build_model(classifier_norm="batch")
    ids, mask = draw_batch(12, 4, 9, 20)
    model.train()
    for _ in range(3):
        model(input_ids=ids, attention_mask=mask, labels=torch.tensor([0, 1, 1, 0])).loss.backward()
    assert int(model.head.norm.num_batches_tracked) == 3
    assert model.head.inner_norm[0].weight.grad.abs().max() > 0
    one = model(input_ids=ids[:1], attention_mask=mask[:1], labels=torch.tensor([0]))
    assert torch.isfinite(one.loss), "a batch of one is taken, too"
    assert int(model.head.norm.num_batches_tracked) == 3, "and changes no figure"
    together = compute_logits(model.eval(), ids, mask)
    for row in range(4):
        alone = compute_logits(model, ids[row : row + 1], mask[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-5)
    model.save_pretrained(tmp_path)
    loaded = AwdLstmForSequenceClassification.from_pretrained(tmp_path).eval()
    assert torch.equal(compute_logits(loaded, ids, mask), together)


def test_a_new_head_on_a_language_model_starts_with_whole_batch_figures(tmp_path):
    """from_pretrained builds the head without values first; the buffers must get theirs, too."""
    build_model(classifier_norm="layer").awd_lstm.save_pretrained(tmp_path)
    model = AwdLstmForSequenceClassification.from_pretrained(tmp_path, classifier_norm="batch")
    for norm in (model.head.norm, model.head.inner_norm[0]):
        assert norm.running_mean.eq(0).all()
        assert norm.running_var.eq(1).all()
        assert norm.weight.eq(1).all()
        assert int(norm.num_batches_tracked) == 0
    assert not [name for name in build_model().state_dict() if "inner_norm" in name], (
        "older weights still load"
    )
