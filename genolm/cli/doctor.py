"""`genolm doctor`: what this machine has, and what it means for training."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genolm.cli.console import print_table

if TYPE_CHECKING:
    from genolm.training.hardware.machine import Advice, Machine


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of tables; sizes in bytes.")
    ] = False,
    output: Annotated[Path, typer.Option(help="Folder whose disk is meant; it need not exist.")] = Path("."),
) -> None:
    """Say what this machine has (GPU, memory, versions) and which settings suit it."""
    import genolm
    from genolm.training.hardware.machine import describe_machine, recommend_settings

    machine = describe_machine(output)
    advice = recommend_settings(machine)
    if as_json:
        found = {"genolm": genolm.__version__, "machine": asdict(machine)}
        print(json.dumps(found | {"advice": [asdict(each) for each in advice]}, indent=2))
        return
    print_table([("machine", "found"), *_iter_hardware_rows(machine)], title="This machine")
    needed = {"genolm": genolm.__version__} | machine.versions
    rows = [(name, found or "missing") for name, found in needed.items()]
    rows += [(name, found or "not installed, optional") for name, found in machine.optional_versions.items()]
    print_table([("library", "version"), *rows], title="Libraries")
    _print_advice(advice)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def _iter_hardware_rows(machine: "Machine") -> Iterator[tuple[str, str]]:
    yield "system", machine.system
    yield "Python", machine.python
    yield "CPU", machine.cpu
    quota = "" if machine.cpu_quota_cores is None else f", quota {machine.cpu_quota_cores:g}"
    yield "usable cores", f"{machine.usable_cores} of {machine.total_cores}{quota}"
    available_gb, total_gb = machine.available_memory_bytes / 1e9, machine.memory_bytes / 1e9
    yield "memory available", f"{available_gb:.1f} of {total_gb:.1f} GB"
    yield "disk free", f"{machine.free_disk_bytes / 1e9:.1f} GB in {machine.folder}"
    for index, gpu in enumerate(machine.gpus):
        peaks = ", ".join(
            f"{'fp32' if precision == 'no' else precision} {flops / 1e12:g}"
            for precision, flops in gpu.peak_flops.items()
            if flops
        )
        peak = f", peak TFLOP/s: {peaks}" if peaks else ", peak not known"
        yield f"GPU {index}", f"{gpu.name}, {gpu.memory_bytes / 1e9:.1f} GB{peak}"
    if not machine.gpus:
        yield "GPU", "none"
    yield "torch built for", machine.torch_build
    yield "torch threads", f"{machine.torch_threads}, OMP_NUM_THREADS {machine.omp_num_threads or 'not set'}"


def _print_advice(advice: "tuple[Advice, ...]") -> None:
    print("\nSettings that suit it (loop.precision is --set pretrain.loop.precision=..., and so on)")
    for each in advice:
        if not each.is_problem:
            print(f"  {each.topic}: {each.setting}\n    {each.reason}")
    problems = [each for each in advice if each.is_problem]
    print("\nProblems" if problems else "\nNo problems found")
    for each in problems:
        print(f"  {each.topic}: {each.reason}\n    remedy: {each.setting}")
