"""The files for `accelerate launch`, as accelerate itself reads them, and the scripts that it starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser

SCRIPTS = Path(__file__).parents[2] / "scripts"
FOLDER = SCRIPTS / "accelerate"
FILES = {
    "one_gpu": ("NO", 1),
    "multi_gpu": ("MULTI_GPU", -1),
    "fsdp2": ("FSDP", -1),
    "multi_node": ("MULTI_GPU", -1),
    "two_processes_cpu": ("MULTI_GPU", 2),
}


def test_there_are_these_files_and_no_other():
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_accelerate_reads_the_file_and_knows_every_key(name):
    """The reader refuses unknown keys; those of fsdp_config must be options of `accelerate launch`."""
    config = load_config_from_file(str(FOLDER / f"{name}.yaml"))
    kind, num_processes = FILES[name]
    assert (config.distributed_type, config.num_processes) == (kind, num_processes)  # -1: on the command line
    assert (config.mixed_precision, config.use_cpu) == ("no", False)
    assert (config.num_machines > 1) == (name == "multi_node")
    options = vars(launch_command_parser().parse_args(["script.py"]))
    assert set(config.fsdp_config) - set(options) == set()


def test_the_reader_refuses_an_unknown_key(tmp_path):
    text = (FOLDER / "multi_gpu.yaml").read_text()
    (tmp_path / "wrong.yaml").write_text(text + "num_proceses: 4\n")
    with pytest.raises(ValueError, match="num_proceses"):
        load_config_from_file(str(tmp_path / "wrong.yaml"))


def test_fsdp_is_version_2_with_whole_checkpoints():
    settings = load_config_from_file(str(FOLDER / "fsdp2.yaml")).fsdp_config
    assert settings["fsdp_version"] == 2
    assert settings["fsdp_state_dict_type"] == "FULL_STATE_DICT"
    assert settings["fsdp_offload_params"] is False


def test_the_slurm_script_has_no_syntax_error_and_asks_for_the_signal_and_the_requeue():
    path = FOLDER / "slurm.sh"
    done = subprocess.run(["bash", "-n", path], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert os.access(path, os.X_OK)
    head, _, _ = path.read_text().partition("\nset -euo pipefail\n")  # SLURM reads up to the first command
    wanted = {"#SBATCH --signal=USR1@120", "#SBATCH --requeue", "#SBATCH --open-mode=append"}
    assert wanted <= set(head.splitlines())


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("pretrain_causal", "pretrain causal"),
        ("pretrain_masked", "pretrain masked"),
        ("adapt", "adapt"),
        ("finetune", "finetune"),
    ],
)
def test_a_script_is_the_command_of_its_name(name, command, tmp_path):
    def show_help(*words):
        environment = os.environ | {"PYTHONPATH": str(SCRIPTS.parent)}
        line = [sys.executable, *words, "--help"]
        return subprocess.run(
            line, check=True, capture_output=True, text=True, cwd=tmp_path, env=environment
        ).stdout

    printed = show_help(SCRIPTS / f"{name}.py")
    assert printed.startswith(f"Usage: genolm {command} ")
    assert "--config" in printed
    assert printed == show_help("-m", "genolm.cli", *command.split())
