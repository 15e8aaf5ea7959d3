"""Python processes that are the ranks of one run."""

import os
import socket
import sys
import textwrap
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from warm_processes import CONTEXT


class RankProcess(NamedTuple):
    """A process, and the folder of what it prints."""

    process: Any
    folder: TemporaryDirectory


def find_free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start_processes(count: int, code: str, *arguments: object) -> list[RankProcess]:
    """Start Python processes that are the ranks of one run, as torchrun does."""
    environment = {
        "OMP_NUM_THREADS": "1",
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(find_free_port()),
    }
    started = []
    for rank in range(count):
        folder = TemporaryDirectory()
        own = {**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        process = CONTEXT.Process(
            target=_run, args=(textwrap.dedent(code), list(map(str, arguments)), own, folder.name)
        )
        process.start()
        started.append(RankProcess(process, folder))
    return started


def wait_for(processes: list[RankProcess]) -> list[tuple[int, str, str]]:
    """Return (exit status, output, errors) of each."""
    try:
        for process, _ in processes:
            process.join(timeout=120)
    finally:
        for process, _ in processes:
            process.kill()
    found = []
    for process, folder in processes:
        process.join()
        output, errors = (Path(folder.name, name).read_text() for name in ("output", "errors"))
        folder.cleanup()
        found.append((process.exitcode, output, errors))
    return found


def _run(code: str, arguments: list[str], environment: dict[str, str], folder: str) -> None:
    """What a forked process does, like `python -c CODE ARGUMENTS`."""
    for stream, name in ((1, "output"), (2, "errors")):
        os.dup2(os.open(Path(folder, name), os.O_CREAT | os.O_WRONLY), stream)
    os.environ.update(environment)
    torch.set_num_threads(1)
    sys.argv = ["-c", *arguments]
    exec(code, {"__name__": "__main__"})
