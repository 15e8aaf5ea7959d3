from pathlib import Path

import pytest
import torch
from rank_processes import start_processes, wait_for
from safetensors.torch import load_file
from torch import Tensor

from genolm.models import AwdLstmConfig, AwdLstmForCausalLM
from genolm.training.optimizer import build_optimizer
from genolm.training.persistence.checkpoints import (
    NO_BEST,
    find_checkpoint,
    load_checkpoint,
    save_checkpoint,
    take_snapshot,
)

RATE = 0.02

TRAIN_SHARDED = """
    import sys
    from pathlib import Path
    import torch
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import DTensor
    from genolm.training.persistence.checkpoints import find_checkpoint, load_checkpoint
    from genolm.training.hardware.ranks import get_ranks
    from test_sharded_checkpoints import build_lm, build_sharding_optimizer, save, take_steps

    ranks = get_ranks()
    mesh = init_device_mesh("cpu", (ranks.count,))

    def train(run_folder, first_step, last_step):
        model = build_lm(seed=first_step)  # a run that goes on must not depend on its fresh weights
        fully_shard(model, mesh=mesh)
        assert all(isinstance(parameter, DTensor) for parameter in model.parameters())
        optimizer = build_sharding_optimizer(model)
        if first_step:
            found, rows = find_checkpoint(run_folder), ranks.split_rows(4)
            assert found.step == first_step
            carry = load_checkpoint(found, model=model, optimizer=optimizer, carry_rows=rows)
            assert [part.shape[1] for layer in carry for part in layer] == 4 * [4 // ranks.count]
        take_steps(model, optimizer, range(first_step, last_step))
        save(run_folder, last_step, model, optimizer, is_writer=ranks.is_main)
        ranks.wait()

    folder = Path(sys.argv[1])
    train(folder / "undisturbed", 0, 5)
    train(folder / "broken_off", 0, 3)
    train(folder / "broken_off", 3, 5)
    train(folder / "plain_before", 3, 5)
    torch.distributed.destroy_process_group()
"""


def build_lm(*, seed: int) -> AwdLstmForCausalLM:
    torch.manual_seed(seed)
    names = ("embedding", "input", "hidden", "weight", "output")
    return AwdLstmForCausalLM(
        AwdLstmConfig(
            embedding_size=6,
            lstm_size=10,
            num_layers=2,
            **{f"{name}_dropout": 0.0 for name in names},
        )
    )


def build_sharding_optimizer(model) -> torch.optim.AdamW:
    optimizer = build_optimizer(model, weight_decay=0.01, beta2=0.99)
    for group in optimizer.param_groups:
        group["lr"] = RATE
    return optimizer


def take_steps(model, optimizer, steps: range) -> None:
    """Train on the same rows in every process, so that their mean gradient is that of one."""
    model.train()
    for step in steps:
        ids = torch.randint(5, 69, (4, 8), generator=torch.Generator().manual_seed(step))
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def build_carry() -> tuple[tuple[Tensor, Tensor], ...]:
    return tuple((torch.full((1, 4, size), 1.0), torch.full((1, 4, size), 2.0)) for size in (10, 6))


def save(run_folder: Path, step: int, model, optimizer, *, is_writer: bool = True) -> None:
    snapshot = take_snapshot(model, optimizer=optimizer, carry=build_carry(), is_writer=is_writer)
    if is_writer:
        state = {"step": step, "best_step": NO_BEST}
        save_checkpoint(run_folder / f"checkpoint-{step}", snapshot, state=state)


def load_plain(run_folder: Path, *, seed: int = 77) -> tuple:
    model = build_lm(seed=seed)
    optimizer = build_sharding_optimizer(model)
    found = find_checkpoint(run_folder)
    load_checkpoint(found, model=model, optimizer=optimizer, carry_rows=slice(0, 4))
    return model, optimizer, found.step


def read_all(model, optimizer) -> dict[str, Tensor]:
    snapshot = take_snapshot(model, optimizer=optimizer)
    return {**snapshot.model, **{f"optimizer/{name}": x for name, x in snapshot.optimizer.items()}}


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor], *, within: float) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=within, msg=name)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Three runs of 5 steps on 2 processes: undisturbed, in two parts, and after 3 steps on one process."""
    folder = tmp_path_factory.mktemp("sharded")
    for name in ("undisturbed", "broken_off", "plain_before"):
        (folder / name).mkdir()
    model, optimizer = build_reference(3)
    save(folder / "plain_before", 3, model, optimizer)
    for status, _, errors in wait_for(start_processes(2, TRAIN_SHARDED, folder)):
        assert status == 0, errors
    return folder


def build_reference(num_steps: int) -> tuple:
    model = build_lm(seed=0)
    optimizer = build_sharding_optimizer(model)
    take_steps(model, optimizer, range(num_steps))
    return model, optimizer


def test_a_plain_model_takes_over_from_a_sharded_one(runs, tmp_path):
    (tmp_path / "checkpoint-3").symlink_to(runs / "broken_off" / "checkpoint-3")
    model, optimizer, step = load_plain(tmp_path)
    assert step == 3
    assert len(optimizer.state) == len(list(model.parameters()))
    assert_equal(read_all(model, optimizer), read_all(*build_reference(3)), within=1e-6)
    take_steps(model, optimizer, range(3, 5))
    sharded, sharded_optimizer, _ = load_plain(runs / "broken_off")
    assert_equal(read_all(model, optimizer), read_all(sharded, sharded_optimizer), within=1e-6)


def test_a_sharded_model_goes_on_from_its_own_checkpoint_as_if_undisturbed(runs):
    model, optimizer, step = load_plain(runs / "broken_off")
    expected, expected_optimizer, expected_step = load_plain(runs / "undisturbed")
    assert step == expected_step == 5
    assert_equal(read_all(model, optimizer), read_all(expected, expected_optimizer), within=0.0)
    assert {float(state["step"]) for state in optimizer.state.values()} == {5.0}


def test_a_sharded_model_takes_over_from_a_plain_one(runs):
    model, optimizer, step = load_plain(runs / "plain_before")
    assert step == 5
    assert_equal(read_all(model, optimizer), read_all(*build_reference(5)), within=1e-6)


def test_the_file_holds_whole_tensors_under_the_names_of_the_model(runs):
    folder = runs / "undisturbed" / "checkpoint-5"
    shapes = {name: parameter.shape for name, parameter in build_lm(seed=0).named_parameters()}
    weights, moments = (load_file(folder / f"{name}.safetensors") for name in ("model", "optimizer"))
    assert {name: tensor.shape for name, tensor in weights.items()} == shapes
    expected = {f"{name}/{key}": shape for name, shape in shapes.items() for key in ("exp_avg", "exp_avg_sq")}
    assert {name: x.shape for name, x in moments.items() if x.ndim} == expected
    assert sum(not x.ndim for x in moments.values()) == len(shapes), "one count of steps for each"


def test_a_process_without_lanes_begins_anew(tmp_path):
    model, optimizer = build_reference(1)
    save(tmp_path, 1, model, optimizer)
    found = find_checkpoint(tmp_path)
    parts = {"model": model, "optimizer": optimizer}
    assert load_checkpoint(found, **parts, carry_rows=slice(4, 4)) is None
    last_lane = load_checkpoint(found, **parts, carry_rows=slice(3, 4))
    assert [part.shape[1] for layer in last_lane for part in layer] == [1, 1, 1, 1]
