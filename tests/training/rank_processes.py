"""Python processes that are the ranks of one run."""

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path


def find_free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start_processes(count: int, code: str, *arguments: object) -> list[subprocess.Popen]:
    """Start Python processes that are the ranks of one run, as torchrun does."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
        "OMP_NUM_THREADS": "1",
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(find_free_port()),
        "CUDA_VISIBLE_DEVICES": "",
    }
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return [
        subprocess.Popen(
            command,
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


def wait_for(processes: list[subprocess.Popen]) -> list[tuple[int, str, str]]:
    """Return (exit status, output, errors) of each."""
    try:
        texts = [process.communicate(timeout=60) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *text) for process, text in zip(processes, texts, strict=True)]
