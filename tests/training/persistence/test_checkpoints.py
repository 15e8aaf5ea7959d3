import json
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from genolm.errors import StorageError
from genolm.files import read_json
from genolm.training.persistence.checkpoints import (
    NO_BEST,
    find_checkpoint,
    find_damage,
    list_checkpoints,
    load_checkpoint,
    load_parameters,
    rotate_checkpoints,
    save_checkpoint,
    set_aside_checkpoints,
    take_snapshot,
)

CARRY = (
    (torch.full((1, 2, 3), 1.5), torch.full((1, 2, 3), -2.0)),
    (torch.ones(1, 2, 4), torch.zeros(1, 2, 4)),
)


def build_parts(seed: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    return model, torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)


def take_step(model: nn.Module, optimizer: torch.optim.Optimizer, *, seed: int = 0) -> None:
    model(torch.randn(5, 3, generator=torch.Generator().manual_seed(seed))).pow(2).sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def save(run_folder: Path, step: int, *, model=None, optimizer=None, carry=CARRY, best_step=NO_BEST) -> Path:
    if model is None:
        model, optimizer = build_parts(step)
        take_step(model, optimizer)
    folder = run_folder / f"checkpoint-{step}"
    snapshot = take_snapshot(model, optimizer=optimizer, carry=carry)
    save_checkpoint(folder, snapshot, state={"step": step, "best_step": best_step})
    return folder


def save_best(run_folder: Path, step: int) -> Path:
    folder = run_folder / f"best-{step}"
    save_checkpoint(folder, take_snapshot(build_parts(step)[0]), state={"step": step})
    return folder


def flip_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def test_a_checkpoint_gives_back_weights_optimizer_carry_and_state(tmp_path):
    model, optimizer = build_parts(0)
    take_step(model, optimizer, seed=1)
    save(tmp_path, 7, model=model, optimizer=optimizer)
    other, other_optimizer = build_parts(9)
    found = find_checkpoint(tmp_path)
    carry = load_checkpoint(found, model=other, optimizer=other_optimizer, carry_rows=slice(0, 2))
    assert (found.step, found.state) == (7, {"step": 7, "best_step": NO_BEST})
    for layer, expected in zip(carry, CARRY, strict=True):
        assert all(torch.equal(part, known) for part, known in zip(layer, expected, strict=True))
    for step in range(3):  # the same weights and the same moments: the same way on
        for parameter, expected in zip(other.parameters(), model.parameters(), strict=True):
            assert torch.equal(parameter, expected), step
        take_step(model, optimizer, seed=step)
        take_step(other, other_optimizer, seed=step)


def test_parameters_that_never_learned_have_no_moments_and_get_none(tmp_path):
    model, optimizer = build_parts(0)
    model[0].requires_grad_(False)
    take_step(model, optimizer)
    save(tmp_path, 1, model=model, optimizer=optimizer, carry=None)
    other, other_optimizer = build_parts(1)
    found = find_checkpoint(tmp_path)
    carry = load_checkpoint(found, model=other, optimizer=other_optimizer, carry_rows=slice(0, 2))
    assert carry is None
    assert set(other_optimizer.state) == set(other[1].parameters())


def test_a_checkpoint_holds_no_pickle_and_a_checksum_of_each_file(tmp_path):
    folder = save(tmp_path, 3)
    names = sorted(file.name for file in folder.iterdir())
    assert names == [
        "carry.safetensors",
        "manifest.json",
        "model.safetensors",
        "optimizer.safetensors",
        "state.json",
    ]
    assert sorted(read_json(folder / "manifest.json")) == [name for name in names if name != "manifest.json"]


def test_the_best_weights_are_saved_without_optimizer_and_load_alone(tmp_path):
    model, _ = build_parts(0)
    save_checkpoint(tmp_path / "best-1", take_snapshot(model), state={"step": 1})
    assert not (tmp_path / "best-1" / "optimizer.safetensors").exists()
    other, _ = build_parts(1)
    load_parameters(tmp_path / "best-1", other)
    assert torch.equal(other[1].weight, model[1].weight)


def empty_folder(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


DAMAGES = {
    "a manifest of nothing": (
        lambda folder: (folder / "manifest.json").write_text("{}"),
        "manifest.json is not complete",
    ),
    "a flipped bit in model.safetensors": (
        lambda folder: flip_bit(folder / "model.safetensors"),
        "model.safetensors does not have its sha256",
    ),
    "a flipped bit in the optimizer": (
        lambda folder: flip_bit(folder / "optimizer.safetensors"),
        "optimizer.safetensors does not have its sha256",
    ),
    "an edited state": (
        lambda folder: (folder / "state.json").write_text('{"step": 4}'),
        "state.json does not have its sha256",
    ),
    "no optimizer": (
        lambda folder: (folder / "optimizer.safetensors").unlink(),
        "optimizer.safetensors is missing",
    ),
    "no carry": (lambda folder: (folder / "carry.safetensors").unlink(), "carry.safetensors is missing"),
    "an empty folder": (empty_folder, "no manifest.json"),
    "a truncated manifest": (
        lambda folder: (folder / "manifest.json").write_text((folder / "manifest.json").read_text()[:40]),
        "manifest.json is not JSON",
    ),
    "an empty manifest": (
        lambda folder: (folder / "manifest.json").write_text(""),
        "manifest.json is not JSON",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_older_one_used(name, tmp_path, caplog):
    damage, message = DAMAGES[name]
    save(tmp_path, 2)
    newest = save(tmp_path, 4)
    damage(newest)
    with caplog.at_level(logging.WARNING):
        found = find_checkpoint(tmp_path)
    assert found.step == 2
    assert caplog.messages == [f"checkpoint-4 is damaged ({message}): skipped"]


def test_a_good_newest_checkpoint_is_used_without_a_word(tmp_path, caplog):
    for step in (2, 10, 9):  # 10 is newer than 9, by number and not by letter or time
        save(tmp_path, step)
    assert find_checkpoint(tmp_path).step == 10
    assert caplog.messages == []


def test_where_every_checkpoint_is_damaged_there_is_none(tmp_path, caplog):
    for step in (1, 2):
        flip_bit(save(tmp_path, step) / "model.safetensors")
    assert find_checkpoint(tmp_path) is None
    assert [message.split()[0] for message in caplog.messages] == ["checkpoint-2", "checkpoint-1"]
    assert find_checkpoint(tmp_path / "nowhere") is None


def test_rotation_keeps_the_newest_and_touches_nothing_else(tmp_path):
    for step in (5, 10, 100, 20):
        save(tmp_path, step)
    (tmp_path / "checkpoint-notes").mkdir()
    rotate_checkpoints(tmp_path, keep=2)
    assert [step for step, _ in list_checkpoints(tmp_path)] == [20, 100]
    rotate_checkpoints(tmp_path, keep=5)
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "checkpoint-100",
        "checkpoint-20",
        "checkpoint-notes",
    ]


def test_a_save_that_fails_leaves_the_older_checkpoint_whole(tmp_path):
    folder = save(tmp_path, 4)
    before = json.loads((folder / "manifest.json").read_text())
    model, optimizer = build_parts(1)
    with pytest.raises(TypeError, match="not JSON serializable"):
        save_checkpoint(folder, take_snapshot(model, optimizer=optimizer), state={"step": object()})
    assert find_damage(folder) is None
    assert json.loads((folder / "manifest.json").read_text()) == before
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint-4"]


def test_left_overs_of_a_killed_save_are_no_checkpoint_and_are_removed(tmp_path):
    (tmp_path / ".tmp-checkpoint-4-0123abcd").mkdir()
    assert find_checkpoint(tmp_path) is None
    save(tmp_path, 4)
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint-4"]


def test_each_process_takes_its_rows_of_the_carried_state(tmp_path):
    lanes = torch.arange(24.0).reshape(1, 8, 3)
    save(tmp_path, 1, carry=((lanes, lanes + 100),))
    model, optimizer = build_parts(1)
    checkpoint = find_checkpoint(tmp_path)
    carry = load_checkpoint(checkpoint, model=model, optimizer=optimizer, carry_rows=slice(3, 6))
    assert [part.tolist() for part in carry[0]] == [lanes[:, 3:6].tolist(), (lanes + 100)[:, 3:6].tolist()]


def test_best_weights_stay_as_long_as_a_checkpoint_names_them(tmp_path):
    for step in (4, 8, 12, 16):
        save_best(tmp_path, step)
    for step, best_step in ((5, 4), (10, 8), (15, 8)):
        save(tmp_path, step, best_step=best_step)
    rotate_checkpoints(tmp_path, keep=2)
    names = sorted(each.name for each in tmp_path.iterdir())
    assert names == ["best-12", "best-16", "best-8", "checkpoint-10", "checkpoint-15"], "later ones stay too"
    save(tmp_path, 20, best_step=16)
    rotate_checkpoints(tmp_path, keep=1)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["best-16", "checkpoint-20"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: flip_bit(folder / "model.safetensors"), "model.safetensors does not have its sha256"),
        (empty_folder, "no manifest.json"),
        (lambda folder: folder.rename(folder.with_name("gone")), "it is missing"),
    ],
)
def test_a_checkpoint_whose_best_weights_are_damaged_is_skipped(damage, message, tmp_path, caplog):
    save_best(tmp_path, 4)
    newest_best = save_best(tmp_path, 8)
    save(tmp_path, 5, best_step=4)
    save(tmp_path, 10, best_step=8)
    damage(newest_best)
    assert find_checkpoint(tmp_path).step == 5
    assert caplog.messages == [f"checkpoint-10 is damaged (its best weights, best-8: {message}): skipped"]


def test_checkpoints_that_were_set_aside_do_not_push_good_ones_out(tmp_path):
    save(tmp_path, 5)
    flip_bit(save(tmp_path, 10) / "model.safetensors")
    set_aside_checkpoints(tmp_path, after_step=5)
    save(tmp_path, 8)
    rotate_checkpoints(tmp_path, keep=1)
    names = sorted(each.name for each in tmp_path.iterdir())
    assert names == ["checkpoint-10.damaged", "checkpoint-8"]
    set_aside_checkpoints(tmp_path, after_step=0)
    flip_bit(save(tmp_path, 10) / "model.safetensors")
    set_aside_checkpoints(tmp_path, after_step=0)
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "checkpoint-10.damaged",
        "checkpoint-8.damaged",
    ]


def test_a_disk_without_room_is_told_before_anything_is_written(tmp_path, monkeypatch):
    save(tmp_path, 4)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    with pytest.raises(
        StorageError, match=r"0.0 MB free on the disk of .*; expected 1.0 MB for checkpoint-8"
    ):
        save(tmp_path, 8)
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint-4"]
