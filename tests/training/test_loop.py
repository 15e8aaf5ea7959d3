import json
import os
import re
from types import SimpleNamespace

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from small_jobs import FixedBatches, Toy, X, Y
from torch import nn

from genolm.errors import SettingsError, TrainingError
from genolm.models import AwdLstmConfig, AwdLstmForCausalLM, AwdLstmForSequenceClassification
from genolm.progress import Reporter
from genolm.training.hardware.accelerator import build_accelerator
from genolm.training.hardware.precision import choose_precision
from genolm.training.job import LoopSettings, TrainingJob
from genolm.training.loop import run_training
from genolm.training.optimizer import build_optimizer, set_rates
from genolm.training.persistence.checkpoints import list_checkpoints
from genolm.training.schedules import PhasedSchedule, PhaseSettings


def build_schedule(
    num_steps: int, *, learning_rate: float = 0.05, phases=None, group_factor=1.0
) -> PhasedSchedule:
    phases = phases or (PhaseSettings(epochs=1, learning_rate=learning_rate),)
    return PhasedSchedule(
        phases=phases, steps_per_epoch=num_steps, schedule="constant", group_factor=group_factor
    )


def compute_toy_loss(model: nn.Module) -> dict[str, float]:
    return {"loss": model(X, Y).loss.item()}


def build_job(num_steps: int = 10, **changes) -> TrainingJob:
    settings = {
        "title": "toy",
        "batches": FixedBatches(),
        "schedule": build_schedule(num_steps),
        "evaluate": compute_toy_loss,
        "monitor": "loss",
        "larger_is_better": False,
        "eval_every_steps": 2,
        "patience": 0,
    }
    return TrainingJob(**{**settings, **changes})


def train(job: TrainingJob, run_folder, *, model=None, reporter=None, seed=0, **settings):
    run_folder.mkdir(exist_ok=True)
    return run_training(
        job,
        model=model or Toy(),
        run_folder=run_folder,
        settings=LoopSettings(**{"precision": "no", "log_every_steps": 1, **settings}),
        seed=seed,
        reporter=reporter or Reporter(),
    )


def copy_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def read_log(run_folder) -> list[dict]:
    return [json.loads(line) for line in (run_folder / "training_log.jsonl").read_text().splitlines()]


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """A killed process loses nothing that it has written; only a power cut needs fsync."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def test_it_overfits_one_batch(tmp_path):
    torch.manual_seed(0)
    ids = torch.randint(5, 69, (4, 12))
    model = AwdLstmForCausalLM(
        AwdLstmConfig(embedding_size=32, lstm_size=48, num_layers=1, successor_softmax=False)
    )
    inputs = {"input_ids": ids, "labels": ids}
    job = build_job(
        batches=FixedBatches(lambda step: inputs, rows=4),
        schedule=build_schedule(200, learning_rate=4e-2),
        evaluate=lambda current: {"loss": current(**inputs).loss.item()},
        eval_every_steps=50,
    )
    for name in ("embedding", "input", "hidden", "weight", "output"):
        setattr(model.config, f"{name}_dropout", 0.0)
    model.config.activation_regularization = model.config.temporal_activation_regularization = 0.0
    outcome = train(job, tmp_path, model=model)
    assert outcome.best_metrics["loss"] < 0.05  # it starts at log(69) = 4.2
    assert outcome.steps == 200
    assert outcome.tokens == 200 * 4


def test_the_best_weights_come_back_with_the_step_and_figures_of_their_evaluation(tmp_path):
    figures, seen = iter([0.3, 0.7, 0.5, 0.7, 0.6]), []

    def evaluate(current: nn.Module) -> dict[str, float]:
        assert not current.training
        assert not torch.is_grad_enabled()
        seen.append(copy_weights(current))
        return {"mcc": next(figures), "loss": 0.5}

    model = Toy()
    job = build_job(10, evaluate=evaluate, monitor="mcc", larger_is_better=True)
    outcome = train(job, tmp_path, model=model)
    assert outcome == (10, 4, {"mcc": 0.7, "loss": 0.5}, 80)  # an equal figure later on is no gain
    assert all(torch.equal(parameter, seen[1][name]) for name, parameter in model.named_parameters())
    assert not torch.equal(seen[1]["last.bias"], seen[4]["last.bias"])


def test_of_two_equal_figures_the_one_with_the_lower_loss_is_better(tmp_path):
    losses = iter([0.9, 0.4, 0.3, 0.6, 0.3])
    job = build_job(
        10, evaluate=lambda _: {"auroc": 1.0, "loss": next(losses)}, monitor="auroc", larger_is_better=True
    )
    assert train(job, tmp_path).best_step == 6


def test_a_smaller_figure_may_be_the_better_one(tmp_path):
    figures = iter([0.3, 0.7, 0.1, 0.7, 0.6])
    outcome = train(build_job(10, evaluate=lambda _: {"loss": next(figures)}), tmp_path)
    assert (outcome.best_step, outcome.best_metrics) == (6, {"loss": 0.1})


def test_the_last_step_is_evaluated_where_the_interval_does_not_meet_it(tmp_path):
    steps = []
    job = build_job(7, eval_every_steps=3, evaluate=lambda _: steps.append(0) or {"loss": -len(steps)})
    assert train(job, tmp_path).best_step == 7
    assert [record["step"] for record in read_log(tmp_path) if "evaluation" in record] == [3, 6, 7]


def test_it_stops_early_and_is_not_evaluated_again(tmp_path):
    figures = iter([5.0, 3.0, 4.0, 3.5])
    job = build_job(20, evaluate=lambda _: {"loss": next(figures)}, patience=2)
    model = Toy()
    outcome = train(job, tmp_path, model=model)
    assert outcome == (8, 4, {"loss": 3.0}, 64)
    again = Toy()
    assert train(job, tmp_path, model=again) == outcome, "the figures are used up, so nothing is evaluated"
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_a_gain_resets_the_patience(tmp_path):
    figures = iter([5.0, 6.0, 4.0, 4.5, 4.6, 1.0])
    assert train(build_job(12, evaluate=lambda _: {"loss": next(figures)}, patience=2), tmp_path).steps == 10


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_naming_the_step_and_keeps_the_checkpoint(factor, tmp_path):
    def build(step: int) -> dict[str, torch.Tensor]:
        return {"x": X, "y": Y, "scale": torch.tensor(factor if step == 7 else 1.0)}

    message = (
        f"found a loss of {factor} at step 7 of toy (batch: row 0, row 1, row 2 and 5 more in bad_batch.json)"
    )
    with pytest.raises(TrainingError, match=re.escape(message) + ".*; the last good step is checkpoint-7"):
        train(build_job(10, batches=FixedBatches(build)), tmp_path, checkpoint_every_steps=3)
    assert [step for step, _ in list_checkpoints(tmp_path)] == [6, 7]
    assert json.loads((tmp_path / "bad_batch.json").read_text()) == {
        "step": 7,
        "loss": str(factor),
        "grad_norm": "nan",
        "rows": [f"row {index}" for index in range(8)],
    }
    fresh, interrupted = Toy(), Toy()
    train(build_job(10), tmp_path / "whole", model=fresh)
    train(build_job(10), tmp_path, model=interrupted)
    assert torch.equal(fresh.last.weight, interrupted.last.weight)


def test_frozen_groups_do_not_change_and_all_may_learn_at_the_end(tmp_path):
    phases = (
        PhaseSettings(epochs=1, learning_rate=0.05, trained_groups=1),
        PhaseSettings(epochs=1, learning_rate=0.05),
    )
    model, seen = Toy(), []
    start = copy_weights(model)
    job = build_job(
        schedule=build_schedule(4, phases=phases),
        evaluate=lambda current: seen.append(copy_weights(current)) or {"loss": -len(seen)},
        eval_every_steps=4,
    )
    train(job, tmp_path, model=model, weight_decay=0.5)
    for name in start:
        assert torch.equal(start[name], seen[0][name]) == name.startswith("first."), name
        assert not torch.equal(start[name], seen[1][name]), name
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_state_goes_on_only_where_the_step_says_so(tmp_path):
    states = []

    class Counter(Toy):
        def forward(self, x, y, state=None):
            states.append(None if state is None else int(state[0][0][0, 0]))
            count = torch.zeros(1, len(x)) if state is None else state[0][0] + 1
            return SimpleNamespace(loss=super().forward(x, y).loss, state=((count,),))

    job = build_job(
        7,
        batches=FixedBatches(starts=(0, 3, 6)),
        evaluate=lambda _: {"loss": 0.0},
        stateful=True,
    )
    train(job, tmp_path, model=Counter())
    assert states == [None, 0, 1, None, 0, 1, None]


def test_gradients_are_scaled_down_to_the_norm(tmp_path):
    train(build_job(1), tmp_path, max_grad_norm=0.01)
    moments = load_file(tmp_path / "checkpoint-1" / "optimizer.safetensors")
    gradient = (
        torch.cat([tensor.flatten() for name, tensor in moments.items() if name.endswith("exp_avg")]) / 0.1
    )
    assert gradient.norm().item() == pytest.approx(
        0.01, rel=1e-3
    )  # beta 0.9: a tenth of it is the first moment


def test_dropout_follows_the_seed_and_the_step_whatever_chance_was_used_before(tmp_path):
    def run(folder: str, seed: int, disturbance: int) -> torch.Tensor:
        torch.manual_seed(0)
        config = AwdLstmConfig(embedding_size=6, lstm_size=8, num_layers=2, input_dropout=0.5)
        model = AwdLstmForCausalLM(config)
        torch.manual_seed(disturbance)
        ids = torch.arange(5, 25).reshape(2, 10)
        job = build_job(
            3,
            batches=FixedBatches(lambda step: {"input_ids": ids, "labels": ids}, rows=2),
            evaluate=lambda _: {"loss": -torch.rand(1).item()},  # draws
            eval_every_steps=1,
        )
        train(job, tmp_path / folder, model=model, seed=seed)
        return load_file(tmp_path / folder / "checkpoint-3" / "model.safetensors")[
            "awd_lstm.embedding.weight"
        ]

    same, again, other = run("a", 0, 1), run("b", 0, 2), run("c", 1, 1)
    assert torch.equal(same, again)
    assert not torch.equal(same, other)


def test_the_log_holds_every_step_and_evaluation(tmp_path):
    train(build_job(5, eval_every_steps=2), tmp_path, log_every_steps=2)
    records = read_log(tmp_path)
    assert [(record["step"], "evaluation" in record) for record in records] == [
        (2, False),
        (2, True),
        (4, False),
        (4, True),
        (5, True),
    ]
    assert records[0]["tokens"] == 16
    assert records[0]["learning_rate"] == 0.05
    assert records[3]["evaluation"]["loss"] < records[1]["evaluation"]["loss"]


def test_old_checkpoints_go(tmp_path):
    train(build_job(10), tmp_path, checkpoint_every_steps=3, keep_checkpoints=2)
    assert [step for step, _ in list_checkpoints(tmp_path)] == [9, 10]


def test_a_checkpoint_without_its_best_weights_is_not_used(tmp_path, caplog):
    whole, again = Toy(), Toy()
    outcome = train(build_job(4), tmp_path, model=whole)
    (tmp_path / "best-4" / "model.safetensors").write_bytes(b"")
    assert train(build_job(4), tmp_path, model=again) == outcome
    assert torch.equal(whole.last.weight, again.last.weight)
    damage = "its best weights, best-4: model.safetensors does not have its sha256"
    assert caplog.messages == [f"checkpoint-4 is damaged ({damage}): skipped"]


@pytest.mark.parametrize("model_class", [AwdLstmForCausalLM, AwdLstmForSequenceClassification])
def test_parameter_groups_hold_every_parameter_once_and_decay_matrices_alone(model_class):
    model = model_class(AwdLstmConfig(embedding_size=4, lstm_size=6, num_layers=3))
    optimizer = build_optimizer(model, weight_decay=0.25, beta2=0.99)
    found = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert len(found) == len(set(found)) == len(list(model.parameters()))
    assert set(found) == set(model.parameters())
    for group in optimizer.param_groups:
        assert all((group["weight_decay"] == 0.25) == (parameter.ndim == 2) for parameter in group["params"])
    assert len(optimizer.param_groups) == 2 * 5


def test_set_rates_gives_both_halves_of_a_layer_group_its_rate_and_freezes():
    model = Toy()
    optimizer = build_optimizer(model, weight_decay=0.01, beta2=0.95)
    phases = (PhaseSettings(epochs=1, learning_rate=0.4, trained_groups=1),)
    set_rates(optimizer, build_schedule(4, phases=phases, group_factor=2.0), 0)
    assert [group["lr"] for group in optimizer.param_groups] == [0.2, 0.2, 0.4, 0.4]
    assert all(group["betas"] == (0.9, 0.95) for group in optimizer.param_groups)
    assert [parameter.requires_grad for parameter in model.parameters()] == [False, False, True, True]


@pytest.mark.parametrize(("has_bf16", "expected"), [(True, "bf16"), (False, "no")])
def test_auto_precision_is_bf16_where_the_processor_computes_in_it(has_bf16, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_bf16)
    assert choose_precision("auto") == expected
    assert (choose_precision("no"), choose_precision("bf16")) == ("no", "bf16")


def test_one_process_may_train_in_two_precisions():
    assert build_accelerator("bf16").mixed_precision == "bf16"
    assert build_accelerator("no").mixed_precision == "no"
    assert AcceleratorState().mixed_precision == "no"


def test_weights_stay_in_full_precision_under_bf16(tmp_path):
    model = Toy()
    outcome = train(build_job(4), tmp_path, model=model, precision="bf16")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    plain = Toy()
    plain.load_state_dict(model.state_dict())
    loss = model(X, Y).loss.item()
    assert loss == plain(X, Y).loss.item(), "the wrapper of mixed precision is taken off"
    assert outcome.best_metrics["loss"] == pytest.approx(loss, rel=0.02)
    assert outcome.best_metrics["loss"] != loss, "it was computed in bf16"


@pytest.mark.parametrize("name", ["checkpoint_every_steps", "keep_checkpoints", "log_every_steps"])
def test_settings_out_of_range_are_refused(name):
    with pytest.raises(SettingsError, match="below 1; expected checkpoint_every_steps, keep_checkpoints"):
        LoopSettings(**{name: 0})


class InfiniteGradient(Toy):
    """The loss is finite and its gradient is not where the scale is 0."""

    def forward(self, x, y, scale=None, state=None) -> SimpleNamespace:
        loss = super().forward(x, y).loss
        if scale is not None:
            loss = loss + torch.sqrt(self.last.bias.sum() * 0 + scale)
        return SimpleNamespace(loss=loss, state=state)


@pytest.mark.parametrize("step", [3, 9])
def test_a_gradient_that_is_not_finite_stops_before_the_weights_are_lost(step, tmp_path):
    def build_job_with(bad_step: int) -> TrainingJob:
        return build_job(
            batches=FixedBatches(
                lambda step: {"x": X, "y": Y, "scale": torch.tensor(float(step != bad_step))}
            )
        )

    with pytest.raises(TrainingError, match=f"a gradient of norm nan at step {step} of toy"):
        train(build_job_with(step), tmp_path, model=InfiniteGradient(), checkpoint_every_steps=2)
    outcome = train(build_job_with(-1), tmp_path, model=InfiniteGradient(), checkpoint_every_steps=2)
    assert outcome.best_metrics["loss"] < 5, "the newest checkpoint is a good one"
