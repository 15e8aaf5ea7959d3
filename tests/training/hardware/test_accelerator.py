import warnings

import pytest
import torch
from small_jobs import FixedBatches, Toy, X, Y

from genolm.errors import SettingsError
from genolm.progress import Reporter
from genolm.training.hardware.accelerator import build_accelerator
from genolm.training.job import LoopSettings, TrainingJob
from genolm.training.loop import run_training
from genolm.training.schedules import PhasedSchedule, PhaseSettings


def test_an_unknown_tracker_is_refused_with_those_that_are_there():
    with pytest.raises(
        SettingsError, match=r"found the tracker 'tensorbord', which is not known; expected one of .*"
    ):
        build_accelerator("no", trackers=("tensorbord",))


def test_a_tracker_that_is_not_installed_is_refused(monkeypatch):
    monkeypatch.setattr("genolm.training.hardware.accelerator.get_available_trackers", lambda: [])
    with pytest.raises(
        SettingsError, match=r"found the tracker 'wandb', which is not installed; .*; pip install 'genolm\["
    ):
        build_accelerator("no", trackers=("wandb",))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_fp16_without_a_gpu_is_refused():
    with pytest.raises(SettingsError, match=r"fp16 on a machine without a GPU; .*; set precision: auto"):
        build_accelerator("fp16")


def test_frozen_groups_are_told_to_ddp_and_a_tracker_to_accelerate():
    for has_frozen_groups in (True, False):
        accelerator = build_accelerator("no", has_frozen_groups=has_frozen_groups)
        assert accelerator.ddp_handler.find_unused_parameters is has_frozen_groups
    assert accelerator.log_with == []
    assert accelerator.scaler is None


def test_a_training_leaves_figures_that_tensorboard_reads(tmp_path):
    pytest.importorskip("tensorboard")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # tensorboard's own
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    phases = (PhaseSettings(epochs=1, learning_rate=0.05),)
    schedule = PhasedSchedule(phases=phases, steps_per_epoch=4, schedule="constant", group_factor=1.0)
    job = TrainingJob(
        title="toy",
        batches=FixedBatches(),
        schedule=schedule,
        evaluate=lambda model: {"loss": model(X, Y).loss.item(), "auroc": None},
        monitor="loss",
        larger_is_better=False,
        eval_every_steps=2,
        patience=0,
    )
    settings = LoopSettings(precision="no", log_every_steps=1, trackers=("tensorboard",))
    run_training(job, model=Toy(), run_folder=tmp_path, settings=settings, seed=0, reporter=Reporter())
    (folder,) = {path.parent for path in tmp_path.rglob("events.out.tfevents.*")} - {
        path.parent for path in tmp_path.rglob("events.out.tfevents.*.1")
    }
    events = EventAccumulator(str(folder))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4]
    assert [event.step for event in events.Scalars("evaluation/loss")] == [2, 4]
    losses = [event.value for event in events.Scalars("train/loss")]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] == pytest.approx(Toy()(X, Y).loss.item())
    assert "evaluation/auroc" not in events.Tags()["scalars"]
