"""`genolm doctor` on this machine: tables, JSON, and machines that lack something."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import genolm
from genolm.cli import doctor as doctor_module
from genolm.training.hardware import machine as machine_module
from genolm.training.hardware.machine import describe_machine, recommend_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def app():
    """An app of several commands, as genolm's own is."""
    app = typer.Typer(rich_markup_mode=None)
    app.callback()(lambda: None)
    doctor_module.register(app)
    return app


def run(app, *words: object):
    result = CliRunner().invoke(app, ["doctor", *map(str, words)])
    assert (result.exit_code, result.exception) == (0, None)
    return result


def test_the_tables_say_what_there_is(app, tmp_path):
    output = run(app, "--output", tmp_path).output
    machine = describe_machine(tmp_path)
    rows = dict(
        (cell.strip() for cell in line.strip("\u2502\u2503").split("\u2502"))
        for line in output.splitlines()
        if line.startswith("\u2502")
    )
    assert rows["system"] == machine.system
    assert rows["CPU"] == machine.cpu
    assert rows["usable cores"].startswith(f"{machine.usable_cores} of {machine.total_cores}")
    assert rows["disk free"].endswith(f" GB in {tmp_path}")
    assert rows["genolm"] == genolm.__version__
    assert rows["torch"] == machine.versions["torch"]
    assert rows["wandb"] == (machine.optional_versions["wandb"] or "not installed, optional")
    for each in recommend_settings(machine):
        assert f"{each.topic}: " in output
        assert each.setting in output


def test_json_is_one_object_and_nothing_else(app, tmp_path):
    result = run(app, "--json", "--output", tmp_path / "new")
    found = json.loads(result.stdout)
    assert set(found) == {"genolm", "machine", "advice"}
    machine = json.loads(json.dumps(asdict(describe_machine(tmp_path / "new"))))
    moving = ("free_disk_bytes", "available_memory_bytes")
    for name in moving:
        assert found["machine"].pop(name) == pytest.approx(machine.pop(name), rel=0.1)
    assert found["machine"] == machine
    assert found["genolm"] == genolm.__version__
    assert {"precision", "processes", "loader workers"} <= {each["topic"] for each in found["advice"]}
    assert set(found["advice"][0]) == {"topic", "setting", "reason", "is_problem"}
    assert not (tmp_path / "new").exists()


def test_a_machine_with_problems_is_no_error(app, monkeypatch, tmp_path):
    monkeypatch.setattr(machine_module, "MIN_FREE_DISK_BYTES", 2**62)
    monkeypatch.setattr(machine_module, "LIBRARIES", ("torch", "no-such-library"))
    monkeypatch.setattr(machine_module, "OPTIONAL_LIBRARIES", ("no-such-extra",))
    output = run(app, "--output", tmp_path).output
    problems = output.split("\nProblems\n")[1]
    assert "  libraries: no-such-library is missing\n    remedy: install genolm again" in problems
    assert f"GB are free in {tmp_path}" in problems
    assert "remedy: pip install numba" in problems
    assert "no-such-extra" in output.split("\nProblems\n")[0]


def test_no_problems_are_said_to_be_none(app, monkeypatch, tmp_path):
    settings = tuple(each for each in recommend_settings(describe_machine(tmp_path)) if not each.is_problem)
    monkeypatch.setattr(machine_module, "recommend_settings", lambda machine: settings)
    output = run(app).output
    assert output.endswith("\nNo problems found\n")
    assert "\nProblems" not in output


def test_gpus_are_listed_with_their_peaks(app, monkeypatch):
    gpus = tuple(
        machine_module.Gpu(
            name=name,
            memory_bytes=80 * 10**9,
            computes_bf16=True,
            peak_flops={each: machine_module.find_peak_flops(name, each) for each in ("no", "fp16", "bf16")},
        )
        for name in ("NVIDIA H100 PCIe", "Unheard-of GPU")
    )
    monkeypatch.setattr(machine_module, "_describe_gpus", lambda: gpus)
    output = run(app).output
    assert "NVIDIA H100 PCIe, 80.0 GB, peak TFLOP/s: fp32 51, fp16 756.5, bf16 756.5" in output
    assert "Unheard-of GPU, 80.0 GB, peak not known" in output
    assert "multi_gpu.yaml --num_processes 2" in output


def test_the_module_and_its_help_import_no_torch():
    code = (
        "import sys, typer\nfrom genolm.cli import doctor\n"
        "app = typer.Typer()\napp.callback()(lambda: None)\ndoctor.register(app)\n"
        "try:\n    app(['doctor', '--help'])\nexcept SystemExit as stop:\n"
        "    print('exit', stop.code, sorted({'torch', 'transformers', 'psutil'} & set(sys.modules)))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert "--json" in done.stdout
    assert done.stdout.endswith("exit 0 []\n")
