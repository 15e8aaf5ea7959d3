"""`genolm publish`, as a person gives it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub.constants
import pytest
from hub_push_server import GIT_ATTRIBUTES, TOKEN, serve_hub_pushes
from small_runs import save_run

from genolm.cli import main

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "masked"
    save_run(folder, "masked")
    return folder


@pytest.fixture
def publish(tmp_path, monkeypatch, capsys):
    """Run `genolm publish WORDS` in an empty folder, without credentials; return the message."""
    monkeypatch.chdir(tmp_path)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))

    def start(*words: object) -> str:
        with pytest.raises(SystemExit, match=r"^7$"):
            main(["publish", *map(str, words)])
        captured = capsys.readouterr()
        assert captured.out == ""
        return captured.err

    return start


def test_a_push_from_the_command_line_arrives_whole(run, tmp_path):
    with serve_hub_pushes() as hub:
        environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
        environment |= {
            "HF_ENDPOINT": hub.endpoint,
            "HF_TOKEN": TOKEN,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_DISABLE_XET": "1",  # the server has Git LFS alone
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "PYTHONPATH": str(ROOT),
        }
        words = ["publish", str(run), "--to", "ada/masked", "--draft", "--private"]
        done = subprocess.run(
            [sys.executable, "-m", "genolm.cli", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
            cwd=tmp_path,
            env=environment,
        )
        assert done.returncode == 0, done.stderr
        repository = hub.repositories["ada/masked"]
        commit = repository.branches["main"]
    files = repository.commits[commit]
    assert files.pop(".gitattributes") == GIT_ATTRIBUTES
    assert f"published: {hub.endpoint}/ada/masked ({len(files)} files, " in done.stdout
    assert f"commit {commit})" in done.stdout
    assert "to the hub, as ada: ada/masked" in done.stderr
    assert (len(repository.commits), repository.private) == (2, True)
    assert files["model.safetensors"] == (run / "model.safetensors").read_bytes()
    published = json.loads(files["run_config.json"])["published"]
    assert set(files) == {"run_config.json", *published["files"]}
    everything = b"".join(files.values()) + (done.stdout + done.stderr).encode()
    assert TOKEN.encode() not in everything
    assert str(tmp_path).encode() not in b"".join(files.values())
    assert not (tmp_path / "ada").exists()


@pytest.mark.slow
def test_a_dry_run_shows_the_files_and_keeps_and_sends_nothing(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["publish", str(run), "--to", "ada/masked", "--draft", "--dry-run"])
    lines = capsys.readouterr().out.splitlines()
    size = (run / "model.safetensors").stat().st_size
    assert f"{size:>13,} bytes  model.safetensors" in lines
    assert lines[-1].endswith("; nothing was sent or kept")
    assert lines[-1].startswith(f"dry run: {len(lines) - 1} files, ")
    assert list(tmp_path.iterdir()) == []


def test_bad_input_is_one_line_and_nothing_is_published(run, publish, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    shutil.copytree(run, tmp_path / "unfinished")
    (tmp_path / "unfinished" / "metrics.json").unlink()
    before = sorted(tmp_path.rglob("*"))
    for words, message in {
        (run, "--to", "ada/masked"): "found no credentials for the hub; expected a token",
        (run, "--to", "ada/a--b"): "found the name 'ada/a--b'; expected user/name of letters",
        (run, "--to", "full"): "found full with files of another origin; expected a new or empty folder",
        (tmp_path / "unfinished",): f"found an unfinished run in {tmp_path / 'unfinished'} (no metrics.json)",
        (run, "--to", "./x", "--license", "mine"): "found the license 'mine'; expected an identifier",
    }.items():
        printed = publish(*words)
        assert printed.splitlines()[-1].startswith(f"error: {message}")
        assert "Traceback" not in printed
    assert sorted(tmp_path.rglob("*")) == before
