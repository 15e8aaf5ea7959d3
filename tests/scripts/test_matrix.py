"""The versions that scripts/matrix installs, against those that pyproject.toml allows."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]


def read_pins(name):
    """The version of each package in a file whose lines are comments or `name==version`."""
    lines = (ROOT / "scripts" / name).read_text().splitlines()
    pins = [re.fullmatch(r"([\w.-]+)==([\w.]+)", line).groups() for line in lines if not line.startswith("#")]
    assert len({canonicalize_name(package) for package, _ in pins}) == len(pins)
    return {canonicalize_name(package): Version(version) for package, version in pins}


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DEPENDENCIES = [
    Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]
]
OLDEST, NEWEST = read_pins("constraints-oldest.txt"), read_pins("constraints.txt")


@pytest.mark.parametrize("dependency", DEPENDENCIES, ids=lambda dependency: dependency.name)
def test_the_oldest_row_has_the_lower_bound_and_the_newest_a_version_that_is_allowed(dependency):
    (bound,) = dependency.specifier
    assert bound.operator == ">="
    name = canonicalize_name(dependency.name)
    assert OLDEST[name] == Version(bound.version)
    assert NEWEST[name] in dependency.specifier
    assert OLDEST[name] <= NEWEST[name]


def test_an_extra_that_is_also_in_test_has_the_same_bound():
    bounds = {dependency.name: dependency.specifier for dependency in DEPENDENCIES}
    extras = PROJECT["optional-dependencies"]
    others = [Requirement(line) for name in extras if name != "dev" for line in extras[name]]
    shared = [other for other in others if other.name in bounds]
    assert len(shared) > len(extras["test"])
    assert all(bounds[other.name] == other.specifier for other in shared)


def run_matrix(folder, *options, **environment):
    """`scripts/matrix` of a copy of the project whose two environments are ready and hold a false python."""
    (folder / "scripts").mkdir()
    for name in ("matrix", "constraints.txt", "constraints-oldest.txt"):
        (folder / "scripts" / name).write_text((ROOT / "scripts" / name).read_text())
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    creator = folder / "python"
    creator.write_text(FALSE_PYTHON)
    creator.chmod(0o755)
    settings = {"PATH": os.environ["PATH"], "PYTHON": str(creator), "LOG": str(folder / "log"), **environment}
    command = ["bash", str(folder / "scripts" / "matrix"), *options]
    result = subprocess.run(command, capture_output=True, text=True, env=settings, timeout=60)
    log = folder / "log"
    return result, log.read_text().splitlines() if log.exists() else []


# Stands for Python: makes an "environment" that holds itself, says what pip and pytest were asked for,
# and fails the tests of the row that FAILS names.
FALSE_PYTHON = """#!/usr/bin/env bash
here="$(basename "$(dirname "$(dirname "$0")")")"
case "$*" in
  "-m venv"*) folder="${@: -1}"; mkdir -p "$folder/bin"; cp "$0" "$folder/bin/python" ;;
  *freeze*) echo "torch==0.0"; echo "other==1.0" ;;
  *install*) echo "$here install $*" >>"$LOG"; grep '^torch==' "${@: -3:1}" >>"$LOG" ;;
  *pytest*) echo "$here tests $*" >>"$LOG"; [ "$here" != "${FAILS:-}" ] ;;
esac
"""


def test_both_rows_are_installed_and_tested_with_the_options(tmp_path):
    result, log = run_matrix(tmp_path, "-k", "kmers")
    assert result.returncode == 0, result.stderr
    assert [line.split()[:2] for line in log[::3]] == [["oldest", "install"], ["newest", "install"]]
    assert "--constraint scripts/constraints-oldest.txt --editable .[test]" in log[0]
    assert log[1] == f"torch=={OLDEST['torch']}"
    assert log[2].endswith("-W default -k kmers")
    assert "--constraint scripts/constraints.txt --editable .[test]" in log[3]
    assert log[5].endswith("--dist worksteal -k kmers")
    assert "matrix: oldest, torch==0.0\n" in result.stdout


def test_a_ready_row_is_not_installed_again(tmp_path):
    run_matrix(tmp_path)
    (tmp_path / "log").unlink()
    settings = {"PATH": os.environ["PATH"], "PYTHON": "/nonexistent", "LOG": str(tmp_path / "log")}
    subprocess.run(["bash", str(tmp_path / "scripts" / "matrix")], env=settings, check=True, timeout=60)
    assert [line.split()[1] for line in (tmp_path / "log").read_text().splitlines()] == ["tests", "tests"]


def test_one_row_that_fails_does_not_keep_the_other_from_running(tmp_path):
    result, log = run_matrix(tmp_path, FAILS="oldest")
    assert result.returncode == 1
    assert [line.split()[0] for line in log if " tests " in line] == ["oldest", "newest"]


def test_another_torch_in_the_oldest_row_is_said(tmp_path):
    result, log = run_matrix(tmp_path, MATRIX="oldest", GENOLM_MATRIX_TORCH="2.13.0")
    assert log[1] == "torch==2.13.0"
    assert len(log) == 3
    assert "the lower bound of torch is not tested" in result.stderr


def test_an_unknown_row_is_refused(tmp_path):
    result, log = run_matrix(tmp_path, MATRIX="older")
    assert result.returncode == 2
    assert log == []
    assert "found older" in result.stderr
