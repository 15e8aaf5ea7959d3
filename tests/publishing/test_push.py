"""Pushes to a server on the loopback, each in a process of its own, as its settings are read at import."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hub_push_server import GIT_ATTRIBUTES, TOKEN, serve_hub_pushes
from publishing_files import read_tree

from genolm.errors import PublishError
from genolm.publishing.push import check_repo_name

ROOT = Path(__file__).parents[2]
# Prints the result of a function as JSON, or the error's message with the exit code 7.
CALL = """
import json, sys
from huggingface_hub import snapshot_download
from genolm.errors import PublishError
from genolm.publishing.push import check_account, push_folder
from pathlib import Path
words = json.loads(sys.argv[1])
try:
    if words["do"] == "account":
        result = check_account()
    elif words["do"] == "push":
        result = push_folder(Path(words["folder"]), words["name"], **words["options"])
    else:
        result = snapshot_download(words["name"], local_dir=words["folder"], **words["options"])
    print(json.dumps(result))
except PublishError as error:
    print(error)
    sys.exit(7)
"""


@pytest.fixture
def hub():
    with serve_hub_pushes() as server:
        yield server


@pytest.fixture
def folder(tmp_path):
    """A folder like a publication; 3 MB of weights are more than the buffers of a socket hold."""
    place = tmp_path / "publication"
    for name, content in {
        "README.md": b"---\nlicense: mit\n---\n# A model\n",
        "config.json": b"{}\n",
        "model.safetensors": np.random.default_rng(0).bytes(3_000_000),
        "figures/loss_curve.png": b"\x89PNG" + bytes(1000),
        ".eval_results/promoters.yaml": b"- value: 1\n",
    }.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    return place


def start(endpoint, home, do, *, token=TOKEN, name="ada/model", folder=None, **options) -> subprocess.Popen:
    words = {"do": do, "name": name, "folder": str(folder), "options": options}
    hidden = ("HF_HUB_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_CACHE", "HF_TOKEN_PATH")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    environment |= {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",  # the server has Git LFS alone
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "PYTHONPATH": str(ROOT),
    }
    if token:
        environment["HF_TOKEN"] = token
    command = [sys.executable, "-c", CALL, json.dumps(words)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def finish(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out.strip(), err


def test_a_push_that_was_broken_off_and_killed_goes_on_and_comes_back_byte_by_byte(hub, folder, tmp_path):
    weights, figure = (
        hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("model.safetensors", "figures/loss_curve.png")
    )
    hub.held_oid = weights
    process = start(hub.endpoint, tmp_path / "hf", "push", folder=folder, private=True)
    assert hub.is_held.wait(60)
    deadline = time.monotonic() + 60
    while figure not in hub.objects and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    assert finish(process)[:2] == (-signal.SIGKILL, "")
    hub.release.set()
    assert set(hub.objects) == {figure}
    assert len(hub.repositories["ada/model"].commits) == 1, "nothing half-published"

    hub.held_oid, hub.drops, before = "", 1, len(hub.uploads)
    code, out, err = finish(start(hub.endpoint, tmp_path / "hf", "push", folder=folder, private=True))
    assert code == 0, err
    url, commit = json.loads(out)
    assert url == f"{hub.endpoint}/ada/model"
    assert hub.uploads[before:] == [weights] * 2, "what is there is not sent; what broke off is, again"
    repository = hub.repositories["ada/model"]
    assert (len(repository.commits), repository.branches["main"], repository.private) == (2, commit, True)

    code, _, err = finish(start(hub.endpoint, tmp_path / "hf", "pull", folder=tmp_path / "pulled"))
    assert code == 0, err
    assert read_tree(tmp_path / "pulled") == read_tree(folder) | {".gitattributes": GIT_ATTRIBUTES}
    assert hub.tokens == {TOKEN}
    assert TOKEN not in err + out


def test_a_second_push_replaces_what_the_first_left_and_keeps_what_others_put_there(hub, folder, tmp_path):
    finish(start(hub.endpoint, tmp_path / "hf", "push", folder=folder))
    repository = hub.repositories["ada/model"]
    repository.commits[repository.branches["main"]] |= {
        ".eval_results/old.yaml": b"- value: 0\n",
        "modeling_old.py": b"",
        "demo.ipynb": b"{}",
    }
    (folder / "config.json").write_text('{"changed": true}\n')
    code, out, err = finish(start(hub.endpoint, tmp_path / "hf", "push", folder=folder, revision="v2"))
    assert code == 0, err
    after = repository.commits[repository.branches["v2"]]
    assert after == read_tree(folder) | {".gitattributes": GIT_ATTRIBUTES, "demo.ipynb": b"{}"}
    assert repository.branches["v2"] == json.loads(out)[1]
    assert ".eval_results/old.yaml" in repository.commits[repository.branches["main"]]

    code, out, _ = finish(start(hub.endpoint, tmp_path / "hf", "push", folder=folder, private=True))
    assert code == 7
    assert out.startswith("found ada/model, which is public already, and --private; expected a private rep")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"do": "account", "token": ""},
            "found no credentials for the hub; expected a token with the right to",
        ),
        (
            {"do": "account", "token": "hf_" + "z" * 32},
            "found HTTP 401 of the hub for the account (Invalid user",
        ),
        (
            {"do": "push", "name": "bob/model"},
            "found HTTP 403 of the hub for bob/model (You don't have the righ",
        ),
    ],
    ids=["no token", "wrong token", "another account"],
)
def test_what_the_hub_refuses_is_one_line_and_nothing_is_there(hub, folder, tmp_path, given, message):
    code, out, err = finish(start(hub.endpoint, tmp_path / "hf", folder=folder, **given))
    assert (code, out.count("\n")) == (7, 0), err
    assert out.startswith(message)
    assert "z" * 32 not in out + err
    assert hub.repositories == {}
    assert hub.objects == {}


def test_without_a_network_the_message_says_so(tmp_path):
    with serve_hub_pushes() as server:
        endpoint = server.endpoint  # closed when the block ends
    code, out, err = finish(start(endpoint, tmp_path / "hf", "account"))
    assert code == 7, err
    assert out.startswith("found no answer of the hub for the account (")
    assert out.endswith("give the same command again, which goes on where it stopped")


@pytest.mark.parametrize(
    "name", ["promoters", "a/b/c", "ada/pro moters", "ada/-model", "ada/a--b", "ada/a..b", "ada/model.git"]
)
def test_a_name_that_the_hub_refuses_is_refused_before_anything_is_built(name):
    with pytest.raises(PublishError, match=r"^found the name '[^']+'; expected user/name of letters, digits"):
        check_repo_name(name)


def test_a_good_name_passes():
    check_repo_name("Ada-1/ecoli_promoters.v2")
