"""Two processes on the CPU, by `accelerate launch` and by the SLURM script with stand-ins for SLURM."""

import json
import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from processes import ROOT, Outcome, build_environment, read_tree, run_program
from rank_processes import start_processes, wait_for

import genolm

TWO_PROCESSES = ROOT / "scripts" / "accelerate" / "two_processes_cpu.yaml"
SLURM_SCRIPT = ROOT / "scripts" / "accelerate" / "slurm.sh"
NOISE = re.compile(r"warn|destroy_process_group|Traceback|leaked|rank 1", re.IGNORECASE)


RUN_SCRIPT = """
    import os, runpy, sys
    folder, script, *sys.argv[1:] = sys.argv[1:]
    os.chdir(folder)
    sys.argv[0] = script
    runpy.run_path(script, run_name="__main__")
"""


def launch(*words: object, folder: Path) -> Outcome:
    return run_program("accelerate", "launch", "--config_file", TWO_PROCESSES, *words, folder=folder)


def start_two(script: Path, *words: object, folder: Path) -> Outcome:
    """Run a script on two processes without the launcher, which takes seconds to start."""
    codes, outs, errs = zip(*wait_for(start_processes(2, RUN_SCRIPT, folder, script, *words)), strict=True)
    return Outcome(max(codes), "".join(outs), "".join(errs))


def flatten(value, name=""):
    """Every leaf of nested mappings and lists, by its path."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for key, item in pairs for k, v in flatten(item, f"{name}/{key}").items()}
    return {name: value}


def check_close(value, expected) -> None:
    """The same keys, texts and whole numbers; other numbers but for rounding."""
    found, wanted = flatten(value), flatten(expected)
    assert set(found) == set(wanted)
    for name, each in wanted.items():
        limit = 1e-2 if name.endswith("/threshold") else 1e-4  # rounding may pick the next score
        assert found[name] == (pytest.approx(each, abs=limit) if isinstance(each, float) else each), name


@pytest.fixture(scope="module")
def run_by_two(tiny_recipe, tmp_path_factory) -> tuple[Path, list[Outcome]]:
    """The folder that a script for stage 1 and then the whole recipe have filled, on two processes."""
    place = tmp_path_factory.mktemp("two")
    script = ROOT / "scripts" / "pretrain_causal.py"
    outcomes = [
        start_two(script, "--config", tiny_recipe, folder=place),
        launch("-m", "genolm.cli", "run", tiny_recipe, folder=place),
    ]
    return place / "runs" / "tiny", outcomes


@pytest.mark.slow
def test_two_processes_print_what_one_does_once_and_no_warning(run_by_two, run_alone):
    folder, (first, whole) = run_by_two
    for outcome in (first, whole):
        assert outcome.code == 0, outcome.err
        assert NOISE.search(outcome.err) is None, outcome.err
    metrics, _, rest = first.out.partition("\nmodel folder: ")
    assert json.loads(metrics) == json.loads((folder / "genome-lm" / "metrics.json").read_text())
    assert rest == "runs/tiny/genome-lm\n"
    assert re.findall(r"^  (.+): done in ", first.err, re.MULTILINE) == ["corpus", "genome LM"]
    titles = re.findall(r"^  (.+): done in ", whole.err, re.MULTILINE)
    assert len(titles) == len(set(titles)) > 5
    assert "genome LM" not in titles
    assert whole.out.count("\n") == run_alone[1].count("\n")
    assert whole.out.count("model folder: runs/tiny/model\n") == 1


@pytest.mark.slow
def test_two_processes_write_the_files_of_one(run_by_two, run_alone):
    """What is no training is done by one process, so it is the same to the byte."""
    found, expected = read_tree(run_by_two[0]), read_tree(run_alone[0])
    assert set(found) == set(expected)
    parts = ("corpus/", "corpus.", "word2vec/", "markov.", "control")
    same = {name for name in expected if name.startswith(parts)}
    assert len(same) > 8
    assert {name for name in same if found[name] != expected[name]} == set()
    for name in expected:
        if name.endswith("/metrics.json"):
            check_close(json.loads(found[name]), json.loads(expected[name]))
    check_close(json.loads(found["report.json"]), json.loads(expected["report.json"]))


@pytest.mark.slow
def test_an_error_is_one_line_of_one_process(tiny_recipe, tmp_path):
    (tmp_path / "bad.csv").write_text("sequence,label\nACGTZ,1\n")
    words = ("--config", tiny_recipe, "--set", f"data={tmp_path / 'bad.csv'}")
    outcome = launch(ROOT / "scripts" / "pretrain_causal.py", *words, folder=tmp_path)
    assert outcome.code != 0
    lines = [line for line in outcome.err.splitlines() if line.startswith(("error:", "rank "))]
    assert len(lines) == 1, outcome.err
    assert lines[0].startswith("error: found 'Z' at position 5 of line 2 of bad.csv; expected")
    assert outcome.out == ""
    assert list(tmp_path.iterdir()) == [tmp_path / "bad.csv"]


STAND_INS = {
    "sbatch": """
        export SLURM_JOB_ID=4711 SLURM_JOB_NODELIST=here SLURM_NTASKS=2 SLURM_CPUS_PER_TASK=1
        exec bash "$@"
    """,
    "scontrol": """
        case "$1" in
            show) echo 127.0.0.1 ;;
            requeue) echo "$2" >> requeued ;;
        esac
    """,
    "srun": """
        while [[ "$1" == --* ]]; do shift; done
        pids=() code=0
        for rank in 0 1; do
            SLURM_PROCID=$rank SLURM_LOCALID=$rank "$@" &
            pids+=("$!")
        done
        echo "${pids[@]}" > pids.part && mv pids.part pids
        for pid in "${pids[@]}"; do
            wait "$pid" || { one=$?; [ "$one" -gt "$code" ] && code=$one; }
        done
        exit "$code"
    """,
    "genolm": 'exec python -m genolm.cli "$@"',
}


@pytest.fixture
def slurm(tmp_path) -> Path:
    """A folder of programs that stand for SLURM's: two tasks run here, and a requeue is a line in a file."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in STAND_INS.items():
        (folder / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (folder / name).chmod(0o755)
    return folder


def wait_for_path(path: Path, job: subprocess.Popen) -> None:
    end_s = time.monotonic() + 60
    while not path.exists() and job.poll() is None:
        assert time.monotonic() < end_s, f"no {path.name}"
        time.sleep(0.01)


@pytest.mark.slow
def test_a_job_that_slurm_signals_goes_back_into_the_queue_and_goes_on(tiny_recipe, slurm, run_cli, tmp_path):
    settings = ("--set", "pretrain.tokens=36000")  # 150 steps, so that it is not done before the signal
    words = ["sbatch", SLURM_SCRIPT, "pretrain", "causal", "--config", tiny_recipe, *settings]
    folder = tmp_path / "runs" / "tiny" / "genome-lm"
    with subprocess.Popen(
        list(map(str, words)),
        cwd=tmp_path,
        env=build_environment(first_on_path=slurm),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as job:
        try:
            wait_for_path(folder / "checkpoint-4", job)
            for pid in (tmp_path / "pids").read_text().split():
                os.kill(int(pid), signal.SIGUSR1)
            out, err = job.communicate(timeout=60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(job.pid, signal.SIGKILL)
    assert (job.returncode, out) == (0, ""), err
    assert err.count("stopped: ") == 1, err
    assert "SIGUSR1" in err
    assert (tmp_path / "requeued").read_text() == "4711\n"
    assert not (folder / "metrics.json").exists()

    again = run_cli(*words[2:])  # what the queue starts; one process is started faster than two
    assert again.code == 0, again.err
    assert re.search("going on from step .*, on 1 process instead of 2", again.err), again.err
    assert json.loads((folder / "metrics.json").read_text())["steps"] == 150


def test_a_job_that_ends_or_fails_keeps_its_exit_code_and_is_not_queued_again(slurm, tmp_path):
    outcome = run_program("sbatch", SLURM_SCRIPT, "--version", folder=tmp_path, first_on_path=slurm)
    assert outcome == (0, f"{genolm.__version__}\n", "")
    assert not (tmp_path / "requeued").exists()
    outcome = run_program(
        "sbatch", SLURM_SCRIPT, "corpus", "info", "none", folder=tmp_path, first_on_path=slurm
    )
    assert (outcome.code, outcome.out) == (4, "")
    assert re.fullmatch(r"error: found no corpus.json in none; [^\n]+\n", outcome.err)
    assert not (tmp_path / "requeued").exists()
