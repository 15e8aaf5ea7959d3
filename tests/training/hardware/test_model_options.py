import pytest
import torch
from small_jobs import Toy
from torch._inductor import config as inductor

from genolm.errors import SettingsError
from genolm.models import AwdLstmConfig, AwdLstmForCausalLM, AwdLstmForSequenceClassification
from genolm.training.hardware.model_options import apply_model_options, undo_model_options

IDS = torch.randint(5, 69, (3, 40), generator=torch.Generator().manual_seed(0))


def compute_gradients(model, **inputs) -> tuple[float, list[torch.Tensor]]:
    model.zero_grad()
    torch.manual_seed(3)
    loss = model(IDS, **inputs).loss
    loss.backward()
    return loss.item(), [parameter.grad.clone() for parameter in model.parameters()]


@pytest.mark.parametrize("model_class", [AwdLstmForCausalLM, AwdLstmForSequenceClassification])
def test_recomputed_activations_give_the_same_gradients_bit_for_bit(model_class, monkeypatch):
    torch.manual_seed(0)
    model = model_class(AwdLstmConfig(embedding_size=6, lstm_size=8, num_layers=3)).train()
    calls, run_lstm = [], model.awd_lstm._run_lstm
    monkeypatch.setattr(model.awd_lstm, "_run_lstm", lambda *args: calls.append(0) or run_lstm(*args))
    labels = IDS if model_class is AwdLstmForCausalLM else torch.tensor([0, 1, 1])
    expected = compute_gradients(model, labels=labels)
    assert len(calls) == 3
    apply_model_options(model, gradient_checkpointing=True, compile_model=False)
    found = compute_gradients(model, labels=labels)
    assert len(calls) == 3 + 2 * 3, "each layer ran twice"
    assert found[0] == expected[0]
    assert all(torch.equal(a, b) for a, b in zip(found[1], expected[1], strict=True))
    undo_model_options(model)
    compute_gradients(model, labels=labels)
    assert len(calls) == 9 + 3


def test_a_model_that_cannot_recompute_is_named():
    with pytest.raises(SettingsError, match="found gradient_checkpointing for Toy, which cannot"):
        apply_model_options(Toy(), gradient_checkpointing=True, compile_model=False)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # the compiler's own
def test_a_compiled_model_computes_the_same_and_is_itself_again():
    model = Toy()
    x, y = torch.randn(5, 3), torch.randn(5, 1)
    plain = model(x, y).loss
    apply_model_options(model, gradient_checkpointing=False, compile_model=True)
    assert model._compiled_call_impl is not None
    # What makes compiling two layers last 20 s: trying out the processor, precompiled headers, helpers.
    quick = {"cpp.vec_isa_ok": False, "cpp_cache_precompile_headers": False, "compile_threads": 1}
    known = inductor.get_config_copy()
    with inductor.patch({name: value for name, value in quick.items() if name in known}):
        torch.testing.assert_close(model(x, y).loss, plain)
    undo_model_options(model)
    assert torch.equal(model(x, y).loss, plain)
