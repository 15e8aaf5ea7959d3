"""What this machine has for training, what it is worth, and the settings that suit it."""

import os
import platform
import re
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import psutil
import torch

from genolm.training.hardware.precision import choose_precision

LIBRARIES = (
    *("torch", "transformers", "tokenizers", "datasets", "accelerate", "safetensors", "evaluate"),
    *("scikit-learn", "gensim", "numpy", "pyarrow", "matplotlib", "psutil"),
)
OPTIONAL_LIBRARIES = (
    "numba",
    "umap-learn",
    "peft",
    "tensorboard",
    "wandb",
    "trackio",
    "captum",
    "tangermeme",
    "memelite",
    "pysam",
    "pybigtools",
)
MIN_FREE_DISK_BYTES = 10 * 10**9
MIN_MEMORY_BYTES = 4 * 10**9
MAX_WORKERS = 4

# Dense peaks in TFLOP/s: float32 without TF32, then float16 and bfloat16 on tensor cores with float32 sums.
# From NVIDIA's data sheets (V100, T4, A10, A100, L4, L40, L40S, H100, H200, HGX B200, RTX 6000 Ada; AWS for
# the A10G, which is not an A10) and its GA102 and Ada white papers (RTX 3090, A6000, RTX 4090). Where a sheet
# prints the figure with sparsity, half of it; for the RTX 6000 Ada, which has FP8 with sparsity, a quarter.
# Names as in torch.cuda.get_device_name, without the brand.
_PEAK_TFLOPS: dict[str, tuple[float, float, float | None]] = {
    r"V100-SXM2-\d+GB": (15.7, 125, None),
    r"V100-PCIE-\d+GB": (14, 112, None),
    r"V100S-PCIE-\d+GB": (16.4, 130, None),
    r"T4": (8.1, 65, None),
    r"A10": (31.2, 125, 125),
    r"A10G": (35, 70, 70),
    r"L4": (30.3, 121, 121),
    r"L40": (90.5, 181.05, 181.05),
    r"L40S": (91.6, 362.05, 362.05),
    r"A100-(SXM4|PCIE)-(40|80)GB|A100 80GB PCIe": (19.5, 312, 312),
    r"H100 PCIe|H100 80GB HBM2e": (51, 756.5, 756.5),
    r"H100 80GB HBM3": (67, 989.5, 989.5),
    r"H100 NVL": (60, 835.5, 835.5),
    r"H200": (67, 989.5, 989.5),
    r"H200 NVL": (60, 835.5, 835.5),
    r"B200": (75, 2250, 2250),
    r"RTX 3090": (35.6, 71, 71),
    r"RTX 4090": (82.6, 165.2, 165.2),
    r"RTX A6000": (38.7, 154.8, 154.8),
    r"RTX 6000 Ada Generation": (91.1, 364.25, 364.25),
}
_PRECISIONS = ("no", "fp16", "bf16")


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU."""

    name: str
    memory_bytes: int
    computes_bf16: bool  # in hardware
    peak_flops: dict[str, float | None]  # by precision, FLOP/s; None where not known


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a machine has; JSON-able through `dataclasses.asdict`."""

    system: str
    python: str
    cpu: str
    total_cores: int  # logical processors
    usable_cores: int  # by this process: its affinity, and the quota of its container
    cpu_quota_cores: float | None  # of the control group
    memory_bytes: int  # of the machine, or the limit of the control group where that is lower
    available_memory_bytes: int
    folder: str
    free_disk_bytes: int  # in that folder
    gpus: tuple[Gpu, ...]
    precision: str  # that `auto` stands for here: bf16 or no
    torch_build: str  # CPU, CUDA 12.8, ROCm 6.4
    torch_threads: int
    has_nvidia_driver: bool  # or nvidia-smi
    gpu_problem: str | None  # what torch says when it finds no usable GPU
    omp_num_threads: str | None  # the environment variable
    versions: dict[str, str | None]  # of the libraries that genolm needs; None where missing
    optional_versions: dict[str, str | None]  # of those that it can do without


@dataclass(frozen=True)
class Advice:
    """One setting and why, or one problem and its remedy."""

    topic: str
    setting: str  # what to write or to do
    reason: str
    is_problem: bool = False


class MemoryLimit(NamedTuple):
    """The tightest memory limit on a process."""

    limit_bytes: int
    free_bytes: int


def describe_machine(
    folder: Path, *, proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")
) -> Machine:
    """Look at this machine.

    Args:
        folder: whose disk is meant; it need not exist yet.
        proc: where Linux shows its processes.
        cgroups: where Linux shows its control groups, the limits of containers and batch jobs.
    """
    with warnings.catch_warnings(record=True) as caught:  # torch warns of a driver that does not fit
        warnings.simplefilter("always")
        gpus, precision = _describe_gpus(), choose_precision("auto")
    memory, limit = psutil.virtual_memory(), read_memory_limit(proc=proc, cgroups=cgroups)
    quota_cores = read_cpu_quota(proc=proc, cgroups=cgroups)
    total_cores = os.cpu_count() or 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total_cores
    return Machine(
        system=platform.platform(),
        python=platform.python_version(),
        cpu=_find_cpu_model(proc),
        total_cores=total_cores,
        usable_cores=cores if quota_cores is None else max(1, min(cores, int(quota_cores))),
        cpu_quota_cores=quota_cores,
        memory_bytes=min(memory.total, limit.limit_bytes) if limit else memory.total,
        available_memory_bytes=min(memory.available, limit.free_bytes) if limit else memory.available,
        folder=str(folder.resolve()),
        free_disk_bytes=shutil.disk_usage(_find_existing(folder)).free,
        gpus=gpus,
        precision=precision,
        torch_build=_describe_torch_build(),
        torch_threads=torch.get_num_threads(),
        has_nvidia_driver=(proc / "driver/nvidia/version").exists() or bool(shutil.which("nvidia-smi")),
        gpu_problem=str(caught[0].message).splitlines()[0] if caught and not gpus else None,
        omp_num_threads=os.environ.get("OMP_NUM_THREADS"),
        versions={name: _find_version(name) for name in LIBRARIES},
        optional_versions={name: _find_version(name) for name in OPTIONAL_LIBRARIES},
    )


def find_peak_flops(gpu_name: str, precision: str) -> float | None:
    """Return the dense peak of a known GPU in FLOP/s, or None: also of a MIG slice or a laptop's variant.

    Args:
        gpu_name: as `torch.cuda.get_device_name` has it.
        precision: bf16, fp16, or no, which is float32 without TF32.

    >>> find_peak_flops("NVIDIA A100-SXM4-80GB", "bf16")
    312000000000000.0
    >>> find_peak_flops("Tesla T4", "bf16") is None
    True
    """
    name = re.sub(r"^(NVIDIA )?((Tesla|GeForce) )?", "", gpu_name.strip())
    for pattern, peaks in _PEAK_TFLOPS.items():
        if re.fullmatch(pattern, name):
            peak_tflops = dict(zip(_PRECISIONS, peaks, strict=True)).get(precision)
            return None if peak_tflops is None else round(peak_tflops * 1000) * 1e9
    return None


def recommend_settings(machine: Machine) -> tuple[Advice, ...]:
    """Return what genolm would choose on a machine, then the problems of that machine."""
    return (*_iter_settings(machine), *_iter_problems(machine))


def read_cpu_quota(*, proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Return how many cores' time the control groups of this process grant, or None without a quota."""
    quotas = []
    for folder in _iter_control_groups("cpu", proc=proc, cgroups=cgroups):
        words = _read_words(folder / "cpu.max") or [
            *_read_words(folder / "cpu.cfs_quota_us"),
            *_read_words(folder / "cpu.cfs_period_us"),
        ]
        if len(words) == 2 and words[0].isdigit():  # otherwise max, or -1
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def read_memory_limit(
    *, proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")
) -> MemoryLimit | None:
    """Return the memory limit of this process's control groups, or None without one.

    File pages that the kernel can drop at once count as free.
    """
    limits = []
    for folder in _iter_control_groups("memory", proc=proc, cgroups=cgroups):
        words = _read_words(folder / "memory.max") or _read_words(folder / "memory.limit_in_bytes")
        if not words or not words[0].isdigit() or int(words[0]) >= 2**60:  # version 1 has no word for none
            continue
        used = (
            _read_words(folder / "memory.current") or _read_words(folder / "memory.usage_in_bytes") or ["0"]
        )
        stat_words = _read_words(folder / "memory.stat")
        stat = dict(zip(stat_words[::2], stat_words[1::2], strict=False))
        droppable = stat.get("total_inactive_file", stat.get("inactive_file", "0"))
        free_bytes = int(words[0]) - max(0, int(used[0]) - int(droppable))
        limits.append(MemoryLimit(int(words[0]), max(0, free_bytes)))
    if not limits:
        return None
    return MemoryLimit(min(each.limit_bytes for each in limits), min(each.free_bytes for each in limits))


def _iter_settings(machine: Machine) -> Iterator[Advice]:
    num_gpus = len(machine.gpus)
    where = "the GPU" if num_gpus else "the CPU"
    yield Advice(
        "precision",
        f"loop.precision={machine.precision}",
        f"{where} computes bf16 in hardware: less memory, more speed"
        if machine.precision == "bf16"
        else f"{where} has no bf16 in hardware; full precision is exact and needs no scaling",
    )
    if num_gpus == 0:
        yield Advice("processes", "genolm pretrain, adapt, finetune", "one process uses all cores of a CPU")
        yield Advice("loader workers", "loop.workers=0", "they would take the cores from the training")
        return
    launch = "accelerate launch --config_file scripts/accelerate"
    if num_gpus == 1:
        yield Advice("processes", f"{launch}/one_gpu.yaml", "one process for the one GPU")
    else:
        yield Advice(
            "processes",
            f"{launch}/multi_gpu.yaml --num_processes {num_gpus}",
            f"one process for each of {num_gpus} GPUs; fsdp2.yaml for a model that does not fit into one, "
            "multi_node.yaml for several machines",
        )
    workers = max(0, min(MAX_WORKERS, machine.usable_cores // num_gpus - 1))
    yield Advice(
        "loader workers",
        f"loop.workers={workers}",
        f"{machine.usable_cores} usable cores, {num_gpus} training process{'es' * (num_gpus > 1)}",
    )
    yield Advice("micro-batch", "--auto-batch", "finds the largest that fits; the global batch stays")


def _iter_problems(machine: Machine) -> Iterator[Advice]:
    def problem(topic: str, reason: str, remedy: str) -> Advice:
        return Advice(topic, remedy, reason, is_problem=True)

    if machine.free_disk_bytes < MIN_FREE_DISK_BYTES:
        yield problem(
            "disk",
            f"{machine.free_disk_bytes / 1e9:.1f} GB are free in {machine.folder}, under 10 GB",
            "make room, or choose an --output on another disk",
        )
    if machine.available_memory_bytes < MIN_MEMORY_BYTES:
        yield problem(
            "memory",
            f"{machine.available_memory_bytes / 1e9:.1f} of {machine.memory_bytes / 1e9:.1f} GB are "
            "available, under 4 GB",
            "end other programs, or raise the limit of the container or job",
        )
    if not machine.gpus and machine.torch_build != "CPU":
        said = f": {machine.gpu_problem}" if machine.gpu_problem else ""
        yield problem(
            "GPU",
            f"torch is built for {machine.torch_build} but finds no GPU{said}",
            "check nvidia-smi, CUDA_VISIBLE_DEVICES and the container's GPU option, if there should be one",
        )
    if not machine.gpus and machine.torch_build == "CPU" and machine.has_nvidia_driver:
        yield problem(
            "GPU",
            "there is an NVIDIA driver, but torch is built for the CPU alone",
            "install torch with CUDA, see pytorch.org/get-started",
        )
    old_gpus = sorted({gpu.name for gpu in machine.gpus if not gpu.computes_bf16})
    if old_gpus:
        yield problem(
            "precision",
            f"{', '.join(old_gpus)} cannot compute bf16 in hardware",
            "set loop.precision=fp16 for its tensor cores, or leave it at full precision",
        )
    if machine.torch_threads > machine.usable_cores:
        yield problem(
            "threads",
            f"torch runs {machine.torch_threads} threads on {machine.usable_cores} usable cores",
            f"set OMP_NUM_THREADS={machine.usable_cores}",
        )
    for name, found in machine.versions.items():
        if found is None:
            yield problem("libraries", f"{name} is missing", "install genolm again, with pip")
    if machine.optional_versions.get("numba") is None:
        yield problem("speed", "numba is missing: k-mers are encoded in numpy", "pip install numba")


def _describe_gpus() -> tuple[Gpu, ...]:
    if not torch.cuda.is_available():
        return ()
    gpus = []
    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        with torch.cuda.device(index):
            computes_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        peaks = {precision: find_peak_flops(found.name, precision) for precision in _PRECISIONS}
        gpus.append(
            Gpu(
                name=found.name,
                memory_bytes=found.total_memory,
                computes_bf16=computes_bf16,
                peak_flops=peaks,
            )
        )
    return tuple(gpus)


def _describe_torch_build() -> str:
    if torch.version.cuda:
        return f"CUDA {torch.version.cuda}"
    return f"ROCm {torch.version.hip}" if torch.version.hip else "CPU"


def _find_cpu_model(proc: Path) -> str:
    path = proc / "cpuinfo"
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    found = re.search(r"^model name\s*:\s*(\S.*)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


def _find_existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    path = folder.resolve()
    return next(each for each in (path, *path.parents) if each.exists())


def _find_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _iter_control_groups(controller: str, *, proc: Path, cgroups: Path) -> Iterator[Path]:
    """Yield the folders of this process's control group and of those around it, in cgroup version 1 or 2."""
    path = proc / "self" / "cgroup"
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        _, controllers, group = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        folder = cgroups / controller if controllers else cgroups
        yield folder
        # A container may see its path as on the host; what does not exist here has no limits to read.
        for part in group.split("/"):
            if part not in ("", ".."):
                folder /= part
                yield folder


def _read_words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except OSError:
        return []
