"""Programs in processes of their own, as a person starts them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


def build_environment(*, first_on_path: Path | None = None) -> dict[str, str]:
    """Variables that find this Python's programs and this checkout's genolm; one thread a process, no GPU."""
    folders = [first_on_path, Path(sys.executable).parent, os.environ["PATH"]]
    return os.environ | {
        "PATH": os.pathsep.join(str(folder) for folder in folders if folder is not None),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }


def run_program(*words: object, folder: Path, first_on_path: Path | None = None) -> Outcome:
    """Run a program to its end."""
    environment = build_environment(first_on_path=first_on_path)
    done = subprocess.run(
        list(map(str, words)),
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=folder,
        env=environment,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def read_tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
