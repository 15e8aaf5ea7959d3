"""A machine's figures against other sources, made-up control groups, data sheets; each rule of the advice."""

import json
import os
import platform
import re
import tomllib
import warnings
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from genolm.training.hardware.machine import (
    LIBRARIES,
    OPTIONAL_LIBRARIES,
    Gpu,
    Machine,
    MemoryLimit,
    describe_machine,
    find_peak_flops,
    read_cpu_quota,
    read_memory_limit,
    recommend_settings,
)
from genolm.training.hardware.precision import choose_precision

GIB = 2**30
NOT_LINUX = not Path("/proc/meminfo").exists()

LAPTOP = Machine(
    system="Linux",
    python="3.11.9",
    cpu="a CPU",
    total_cores=8,
    usable_cores=8,
    cpu_quota_cores=None,
    memory_bytes=16 * 10**9,
    available_memory_bytes=12 * 10**9,
    folder="runs",
    free_disk_bytes=200 * 10**9,
    gpus=(),
    precision="no",
    torch_build="CPU",
    torch_threads=8,
    has_nvidia_driver=False,
    gpu_problem=None,
    omp_num_threads=None,
    versions={"torch": "2.9.0"},
    optional_versions={"numba": "0.63.0", "wandb": None},
)
H100 = Gpu(name="NVIDIA H100 80GB HBM3", memory_bytes=80 * GIB, computes_bf16=True, peak_flops={})
T4 = Gpu(name="Tesla T4", memory_bytes=15 * GIB, computes_bf16=False, peak_flops={"no": 8.1e12})
ONE_GPU = replace(LAPTOP, gpus=(H100,), precision="bf16", torch_build="CUDA 12.8", has_nvidia_driver=True)


def get_settings(machine: Machine) -> dict[str, str]:
    return {each.topic: each.setting for each in recommend_settings(machine) if not each.is_problem}


def get_problems(machine: Machine) -> list[tuple[str, str, str]]:
    return [
        (each.topic, each.reason, each.setting) for each in recommend_settings(machine) if each.is_problem
    ]


@pytest.fixture
def groups(tmp_path):
    """Write control groups: which ones this process is in, and files with their words."""

    def write(membership: str, files: dict[str, str]) -> dict[str, Path]:
        (tmp_path / "proc" / "self").mkdir(parents=True)
        (tmp_path / "proc" / "self" / "cgroup").write_text(membership)
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return {"proc": tmp_path / "proc", "cgroups": tmp_path / "cgroup"}

    return write


# This machine, against other sources.


@pytest.mark.skipif(NOT_LINUX, reason="reads /proc and statvfs")
def test_the_figures_are_those_of_the_system(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    machine = describe_machine(tmp_path)
    lines = Path("/proc/meminfo").read_text().splitlines()
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    # As /proc has it without a container's limit, which may be lower.
    assert machine.memory_bytes <= kib["MemTotal"] * 1024
    if read_memory_limit() is None:
        assert machine.memory_bytes == kib["MemTotal"] * 1024
        assert machine.available_memory_bytes == pytest.approx(kib["MemAvailable"] * 1024, rel=0.1)
    disk = os.statvfs(tmp_path)
    assert machine.free_disk_bytes == pytest.approx(disk.f_bavail * disk.f_frsize, rel=0.05)
    assert machine.folder == str(tmp_path)
    assert machine.total_cores == os.cpu_count()
    assert 1 <= machine.usable_cores <= len(os.sched_getaffinity(0))
    assert machine.python == platform.python_version()
    assert platform.release() in machine.system
    assert (machine.torch_threads, machine.omp_num_threads) == (torch.get_num_threads(), "3")
    assert machine.precision == choose_precision("auto")
    assert len(machine.gpus) == torch.cuda.device_count()


def test_the_versions_are_those_installed(tmp_path, monkeypatch):
    import genolm.training.hardware.machine as module

    monkeypatch.setattr(module, "OPTIONAL_LIBRARIES", ("pytest", "no-such-library"))
    machine = describe_machine(tmp_path)
    assert machine.versions["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert machine.optional_versions == {"pytest": version("pytest"), "no-such-library": None}
    assert (machine.torch_build == "CPU") == (torch.version.cuda is None and torch.version.hip is None)


def test_a_machine_goes_through_json(tmp_path):
    found = asdict(describe_machine(tmp_path))
    assert json.loads(json.dumps(found)) == found | {"gpus": list(found["gpus"])}


def test_a_folder_that_is_not_there_yet_is_on_the_disk_of_the_one_above(tmp_path):
    machine = describe_machine(tmp_path / "runs" / "first")
    assert machine.free_disk_bytes == pytest.approx(describe_machine(tmp_path).free_disk_bytes, rel=0.05)
    assert machine.folder == str(tmp_path / "runs" / "first")
    assert not (tmp_path / "runs").exists()


@pytest.mark.skipif(NOT_LINUX, reason="sched_setaffinity")
def test_usable_cores_are_those_of_the_affinity(tmp_path):
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert describe_machine(tmp_path).usable_cores == 1
    finally:
        os.sched_setaffinity(0, before)


def test_the_libraries_are_those_of_the_project():
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]

    def names(requirements: list[str]) -> set[str]:
        return {re.match(r"[\w-]+", each)[0] for each in requirements}

    extras = project["optional-dependencies"]
    for_users = [each for name, each in extras.items() if name not in ("test", "dev", "benchmark")]
    assert set().union(*map(names, for_users)) <= set(OPTIONAL_LIBRARIES)
    assert set(LIBRARIES) - {"psutil"} <= names(project["dependencies"])


# Limits of containers and batch jobs.


def test_limits_of_version_2_are_the_tightest_from_the_root_to_the_own_group(groups):
    places = groups(
        "0::/slurm/job_7\n",
        {
            "cpu.max": "max 100000\n",
            "slurm/cpu.max": "400000 100000\n",
            "slurm/job_7/cpu.max": "150000 100000\n",
            "slurm/memory.max": f"{8 * GIB}\n",
            "slurm/memory.current": f"{7 * GIB}\n",
            "slurm/memory.stat": f"anon 1\ninactive_file {2 * GIB}\nfile 3\n",
            "slurm/job_7/memory.max": f"{6 * GIB}\n",
            "slurm/job_7/memory.current": f"{1 * GIB}\n",
        },
    )
    assert read_cpu_quota(**places) == 1.5
    # The job may take 6 - 1 = 5 GiB, but all jobs together have 8 - (7 - 2) = 3 GiB left.
    assert read_memory_limit(**places) == MemoryLimit(6 * GIB, 3 * GIB)


def test_limits_of_version_1(groups):
    places = groups(
        "5:cpuacct,cpu:/docker/abc\n4:memory:/docker/abc\n3:cpuset:/\n0::/\n",
        {
            "cpu/cpu.cfs_quota_us": "-1\n",
            "cpu/docker/abc/cpu.cfs_quota_us": "50000\n",
            "cpu/docker/abc/cpu.cfs_period_us": "100000\n",
            "memory/memory.limit_in_bytes": "9223372036854771712\n",
            "memory/docker/abc/memory.limit_in_bytes": f"{4 * GIB}\n",
            "memory/docker/abc/memory.usage_in_bytes": f"{3 * GIB}\n",
            "memory/docker/abc/memory.stat": f"inactive_file 5\ntotal_inactive_file {GIB}\n",
        },
    )
    assert read_cpu_quota(**places) == 0.5
    assert read_memory_limit(**places) == MemoryLimit(4 * GIB, 2 * GIB)


def test_a_container_that_knows_only_its_path_on_the_host_has_the_limits_of_its_root(groups):
    places = groups(
        "4:memory:/kubepods/pod1\n0::/../../pod1\n",
        {"cpu.max": "200000 100000", "memory/memory.limit_in_bytes": f"{GIB}"},
    )
    assert read_cpu_quota(**places) == 2
    assert read_memory_limit(**places) == MemoryLimit(GIB, GIB)


@pytest.mark.parametrize(
    ("membership", "files"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n", "memory.max": "max\n"}),
        (
            "1:cpu:/\n2:memory:/\n",
            {
                "cpu/cpu.cfs_quota_us": "-1",
                "cpu/cpu.cfs_period_us": "100000",
                "memory/memory.limit_in_bytes": "9223372036854771712",
            },
        ),
        ("3:cpuset:/\n", {"cpu.max": "1 2", "memory.max": "7", "cpu/cpu.max": "1 2"}),
        ("", {}),
    ],
)
def test_no_limits(groups, membership, files):
    places = groups(membership, files)
    assert (read_cpu_quota(**places), read_memory_limit(**places)) == (None, None)


def test_a_system_without_control_groups_has_no_limits(tmp_path):
    assert read_cpu_quota(proc=tmp_path, cgroups=tmp_path) is None
    assert read_memory_limit(proc=tmp_path, cgroups=tmp_path) is None


def test_usage_over_the_limit_leaves_nothing(groups):
    places = groups("0::/\n", {"memory.max": f"{GIB}", "memory.current": f"{2 * GIB}"})
    assert read_memory_limit(**places) == MemoryLimit(GIB, 0)


@pytest.mark.parametrize(
    ("quota", "usable"),
    [("20000 100000", 1), ("150000 100000", 1), ("350000 100000", 3), ("900000 100000", 8)],
)
def test_the_limits_narrow_the_machine(groups, tmp_path, monkeypatch, quota, usable):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    places = groups(
        "0::/\n",
        {"cpu.max": quota, "memory.max": "1000000", "memory.current": "400000", "memory.stat": "x 1"},
    )
    (places["proc"] / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Toy CPU @ 1 GHz\nflags\t: fpu\n")
    (places["proc"] / "driver" / "nvidia").mkdir(parents=True)
    (places["proc"] / "driver" / "nvidia" / "version").touch()
    machine = describe_machine(tmp_path, **places)
    assert (machine.usable_cores, machine.cpu_quota_cores) == (usable, int(quota.split()[0]) / 100_000)
    assert (machine.memory_bytes, machine.available_memory_bytes) == (1_000_000, 600_000)
    assert machine.cpu == "Toy CPU @ 1 GHz"
    assert machine.has_nvidia_driver


def test_limits_above_what_there_is_change_nothing(groups, tmp_path):
    places = groups("0::/\n", {"cpu.max": "99900000 100000", "memory.max": f"{2**50}"})
    machine, plain = describe_machine(tmp_path, **places), describe_machine(tmp_path)
    assert machine.cpu_quota_cores == 999
    assert machine.usable_cores >= plain.usable_cores
    assert machine.memory_bytes >= plain.memory_bytes
    assert machine.memory_bytes < 2**50


# GPUs.


def test_gpus_are_described_one_by_one(tmp_path, monkeypatch):
    # No CPU machine has a GPU to ask, so torch's answers are made up here.
    names, current = ("NVIDIA H100 80GB HBM3", "Tesla T4"), [0]

    @contextmanager
    def use_device(index):
        current[0] = index
        yield
        current[0] = 0

    def is_bf16_supported(including_emulation):
        return not including_emulation and current[0] == 0

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "device", use_device)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_bf16_supported)
    monkeypatch.setattr(
        torch.cuda,
        "get_device_properties",
        lambda i: SimpleNamespace(name=names[i], total_memory=(i + 1) * GIB),
    )
    machine = describe_machine(tmp_path)
    assert machine.gpus == (
        Gpu(
            name="NVIDIA H100 80GB HBM3",
            memory_bytes=GIB,
            computes_bf16=True,
            peak_flops={"no": 67e12, "fp16": 989.5e12, "bf16": 989.5e12},
        ),
        Gpu(
            name="Tesla T4",
            memory_bytes=2 * GIB,
            computes_bf16=False,
            peak_flops={"no": 8.1e12, "fp16": 65e12, "bf16": None},
        ),
    )
    assert (machine.precision, machine.gpu_problem) == ("bf16", None)


def test_what_torch_says_of_a_driver_is_kept_and_not_shown(tmp_path, monkeypatch):
    def is_available():
        warnings.warn("CUDA initialization: the driver is too old\n(more)", UserWarning, stacklevel=2)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    machine = describe_machine(tmp_path)  # a warning that is shown is an error in tests
    assert machine.gpu_problem == "CUDA initialization: the driver is too old"
    assert machine.gpus == ()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_real_gpu(tmp_path):
    gpu = describe_machine(tmp_path).gpus[0]
    assert gpu.name == torch.cuda.get_device_name(0)
    assert gpu.memory_bytes == torch.cuda.mem_get_info(0)[1]
    assert gpu.computes_bf16 == (torch.cuda.get_device_capability(0) >= (8, 0))


@pytest.mark.parametrize(
    ("name", "fp32_tflops", "fp16_tflops", "bf16_tflops"),
    [
        ("Tesla V100-SXM2-16GB", 15.7, 125, None),
        ("Tesla V100-PCIE-32GB", 14, 112, None),
        ("Tesla V100S-PCIE-32GB", 16.4, 130, None),
        ("Tesla T4", 8.1, 65, None),
        ("NVIDIA A10", 31.2, 125, 125),
        ("NVIDIA A10G", 35, 70, 70),
        ("NVIDIA L4", 30.3, 121, 121),
        ("NVIDIA L40", 90.5, 181.05, 181.05),
        ("NVIDIA L40S", 91.6, 362.05, 362.05),
        ("A100-SXM4-40GB", 19.5, 312, 312),
        ("NVIDIA A100-SXM4-80GB", 19.5, 312, 312),
        ("NVIDIA A100-PCIE-40GB", 19.5, 312, 312),
        ("NVIDIA A100 80GB PCIe", 19.5, 312, 312),
        ("NVIDIA H100 PCIe", 51, 1513 / 2, 1513 / 2),
        ("NVIDIA H100 80GB HBM3", 67, 1979 / 2, 1979 / 2),
        ("NVIDIA H100 NVL", 60, 1671 / 2, 1671 / 2),
        ("NVIDIA H200", 67, 1979 / 2, 1979 / 2),
        ("NVIDIA H200 NVL", 60, 1671 / 2, 1671 / 2),
        ("NVIDIA B200", 75, 4500 / 2, 4500 / 2),
        ("NVIDIA GeForce RTX 3090", 35.6, 71, 71),
        ("GeForce RTX 3090", 35.6, 71, 71),
        ("NVIDIA GeForce RTX 4090", 82.6, 165.2, 165.2),
        ("NVIDIA RTX A6000", 38.7, 154.8, 154.8),
        ("RTX A6000", 38.7, 154.8, 154.8),
        ("NVIDIA RTX 6000 Ada Generation", 91.1, 1457 / 4, 1457 / 4),
    ],
)
def test_peaks_of_known_gpus(name, fp32_tflops, fp16_tflops, bf16_tflops):
    for precision, tflops in (("no", fp32_tflops), ("fp16", fp16_tflops), ("bf16", bf16_tflops)):
        expected = None if tflops is None else pytest.approx(tflops * 1e12, rel=1e-12)
        assert find_peak_flops(name, precision) == expected


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA A100-SXM4-40GB MIG 1g.5gb",  # a slice of a GPU
        "NVIDIA H100 80GB HBM3 MIG 3g.40gb",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA GeForce RTX 3090 Ti",
        "Quadro RTX 6000",  # Turing
        "NVIDIA RTX PRO 6000 Blackwell Server Edition",
        "NVIDIA GH200 480GB",
        "NVIDIA A100",  # no driver says so
        "NVIDIA A40",
        "NVIDIA L400",
        "AMD Instinct MI300X",
        "",
    ],
)
def test_no_peak_for_another_gpu(name):
    assert [find_peak_flops(name, precision) for precision in ("no", "fp16", "bf16")] == [None] * 3


def test_no_peak_for_another_precision():
    assert find_peak_flops("NVIDIA H100 PCIe", "fp8") is None


# Advice.


def test_a_sound_machine_without_gpu():
    assert get_settings(LAPTOP) == {
        "precision": "loop.precision=no",
        "processes": "genolm pretrain, adapt, finetune",
        "loader workers": "loop.workers=0",
    }
    assert get_problems(LAPTOP) == []


def test_a_cpu_that_computes_bf16():
    advice = recommend_settings(replace(LAPTOP, precision="bf16"))[0]
    assert (advice.topic, advice.setting) == ("precision", "loop.precision=bf16")
    assert advice.reason.startswith("the CPU computes bf16")


def test_one_gpu():
    assert get_settings(ONE_GPU) == {
        "precision": "loop.precision=bf16",
        "processes": "accelerate launch --config_file scripts/accelerate/one_gpu.yaml",
        "loader workers": "loop.workers=4",
        "micro-batch": "--auto-batch",
    }
    assert recommend_settings(ONE_GPU)[0].reason.startswith("the GPU computes bf16")
    assert get_problems(ONE_GPU) == []


@pytest.mark.parametrize(
    ("num_gpus", "usable_cores", "workers"),
    [(1, 1, 0), (1, 2, 1), (1, 5, 4), (1, 64, 4), (2, 8, 3), (4, 8, 1), (8, 8, 0), (8, 4, 0), (8, 96, 4)],
)
def test_loader_workers_leave_a_core_to_each_process(num_gpus, usable_cores, workers):
    machine = replace(ONE_GPU, gpus=(H100,) * num_gpus, usable_cores=usable_cores)
    assert get_settings(machine)["loader workers"] == f"loop.workers={workers}"


def test_several_gpus():
    advice = {each.topic: each for each in recommend_settings(replace(ONE_GPU, gpus=(H100,) * 4))}
    assert advice["processes"].setting == (
        "accelerate launch --config_file scripts/accelerate/multi_gpu.yaml --num_processes 4"
    )
    assert re.search(r"fsdp2\.yaml .* multi_node\.yaml", advice["processes"].reason)
    assert advice["loader workers"].reason == "8 usable cores, 4 training processes"


@pytest.mark.parametrize(
    ("name", "value", "sound_value", "topic", "reason", "remedy"),
    [
        ("free_disk_bytes", 9_990_000_000, 10**10, "disk", r"10\.0 GB .* runs", "--output on another"),
        ("available_memory_bytes", 3_900_000_000, 4 * 10**9, "memory", r"3\.9 of 16\.0 GB", "container"),
        ("torch_build", "CUDA 12.8", "CPU", "GPU", "built for CUDA 12.8 but finds no GPU$", "nvidia-smi"),
        ("has_nvidia_driver", True, False, "GPU", "driver, but torch is built for the CPU", "with CUDA"),
        ("torch_threads", 9, 8, "threads", "9 threads on 8 usable", "^set OMP_NUM_THREADS=8$"),
        ("versions", {"gensim": None}, {"gensim": "4"}, "libraries", "^gensim is missing", "install genolm"),
        ("optional_versions", {"numba": None}, {"numba": "1"}, "speed", "numba", "^pip install numba$"),
    ],
)
def test_each_problem_is_found_and_only_where_it_is(name, value, sound_value, topic, reason, remedy):
    ((found_topic, found_reason, found_remedy),) = get_problems(replace(LAPTOP, **{name: value}))
    assert found_topic == topic
    assert re.search(reason, found_reason)
    assert re.search(remedy, found_remedy)
    assert get_problems(replace(LAPTOP, **{name: sound_value})) == []


def test_what_torch_says_stands_in_the_advice():
    machine = replace(LAPTOP, torch_build="CUDA 12.8", gpu_problem="the driver is too old")
    ((_, reason, _),) = get_problems(machine)
    assert reason.endswith("finds no GPU: the driver is too old")


def test_gpus_without_bf16_are_named_once():
    machine = replace(ONE_GPU, gpus=(T4, T4), precision="no")
    assert get_settings(machine)["precision"] == "loop.precision=no"
    ((topic, reason, remedy),) = get_problems(machine)
    assert (topic, reason) == ("precision", "Tesla T4 cannot compute bf16 in hardware")
    assert "loop.precision=fp16" in remedy


def test_several_problems_stand_together():
    machine = replace(LAPTOP, free_disk_bytes=0, available_memory_bytes=0, torch_threads=64)
    assert [topic for topic, _, _ in get_problems(machine)] == ["disk", "memory", "threads"]
