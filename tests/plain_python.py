"""Programs as a stranger runs them: with torch and transformers, and nothing of genolm.

Importing the two takes seconds, so a server process does it once, and each program is forked from it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Self, cast

_STREAMS = ("input", "output", "errors")

_SERVER = """
import json, os, sys, traceback
import torch, transformers.pipelines
import transformers.models.bert.modeling_bert, transformers.models.modernbert.modeling_modernbert

torch.set_num_threads(1)
for line in sys.stdin:
    code, arguments, *streams = json.loads(line)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for number, path in enumerate(streams):
                os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
            sys.stdin = open(0)
            sys.argv = ["-c", *arguments]
            exec(code, {"__name__": "__main__"})
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class PlainPython:
    """The server, which ends with a `with` block, and has no access to the hub."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTHON"))}
        self.server = subprocess.Popen(
            [sys.executable, "-P", "-c", _SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=kept | {"HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.server.communicate(timeout=60)

    def run(self, code: str, *arguments: object, text: str = "") -> str:
        """Return what `python -c CODE ARGUMENTS` prints, given a text as its input; any error is ours."""
        paths = [self.folder / name for name in _STREAMS]
        for path, content in zip(paths, (text, "", ""), strict=True):
            path.write_text(content)
        order = [code, list(map(str, arguments)), *map(str, paths)]
        requests, answers = cast(IO[str], self.server.stdin), cast(IO[str], self.server.stdout)
        print(json.dumps(order), file=requests, flush=True)
        assert answers.readline() == "0\n", paths[2].read_text()
        return paths[1].read_text()
