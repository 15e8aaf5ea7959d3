"""How a model was trained: a table for each stage, with steps, batches, rates, hardware, time and energy."""

from typing import Any, NamedTuple

import yaml

from genolm.publishing.card.missing import NOT_RECORDED, MissingFacts
from genolm.publishing.card.runs import RunFamily, RunRecord
from genolm.publishing.card.tables import Table

WATTS_PER_THREAD = 10.0
"""assumed of a busy CPU thread, memory included"""
GPU_WATTS = {
    "H100 PCIe": 350.0,
    "H100": 700.0,
    "H200": 700.0,
    "A100-PCIE": 250.0,
    "A100 80GB PCIe": 300.0,
    "A100": 400.0,
    "L4": 72.0,
    "T4": 70.0,
}
"""the makers' thermal design power; the first name that is in a GPU's name counts"""
TITLES = {
    "pretrain causal": "Causal language model of the genome",
    "pretrain masked": "Masked language model of the genome",
    "adapt": "Language model of the target sequences",
    "finetune": "Fine-tuning on labels",
    "random weights": "Random weights (no pretraining)",
}


class Stage(NamedTuple):
    """One training: its name, its table, and its settings as YAML."""

    title: str
    table: Table
    settings: str


def describe_stages(family: RunFamily, missing: MissingFacts) -> list[Stage]:
    """Return the stages in the order in which they were trained."""
    runs = (*reversed(family.ancestors), family.run)
    return [
        Stage(
            title=TITLES.get(run.command, run.command),
            table=_build_table(run, missing),
            settings=yaml.safe_dump(_select_settings(run), sort_keys=False),
        )
        for run in runs
    ]


def estimate_energy_kwh(hardware: dict[str, Any], elapsed_s: float) -> float | None:
    """Estimate the energy of a training; None where the power of a GPU is not known.

    Power is that of the GPUs by their makers' limit, or else `WATTS_PER_THREAD` of every CPU thread; nothing
    was measured.

    >>> estimate_energy_kwh({"gpus": [], "torch_threads": 2, "processes": 1}, 1800.0)
    0.01
    """
    processes = hardware["processes"]
    if gpus := hardware["gpus"]:
        watts = [_find_gpu_watts(gpu) for gpu in gpus[:processes]]
        if None in watts:
            return None
        total_watts = sum(each for each in watts if each is not None)
    else:
        total_watts = WATTS_PER_THREAD * hardware["torch_threads"] * processes
    return total_watts * elapsed_s / 3.6e6


def _select_settings(run: RunRecord) -> dict[str, Any]:
    """Leave out sizes that were not read, since the network came from the pretrained model."""
    if run.command != "finetune" or run.run_config["inputs"].get("pretrained", "none") == "none":
        return run.settings
    return {name: value for name, value in run.settings.items() if name not in ("model", "network")}


def _build_table(run: RunRecord, missing: MissingFacts) -> Table:
    config, settings, title = run.run_config, run.settings, TITLES.get(run.command, run.command)
    rows: Table = [("what", "value"), ("genolm", str(config["genolm"])), ("seed", str(settings["seed"]))]
    if run.command == "random weights":
        return rows
    steps = run.metrics["steps"]
    rows.append(("steps", f"{steps:,}; the weights are those of step {run.metrics['best_step']:,}"))
    rows.append(("batch", _describe_batch(run, missing, title)))
    rows.append(("learning rate", _describe_rates(run)))
    rows.append(("tokens seen", str(missing.require(_describe_tokens(run), f"the tokens seen ({title})"))))
    rows.append(("hardware", _describe_hardware(config["hardware"])))
    if run.log is None:
        missing.add(f"the time of the training ({title}: no training_log.jsonl near the run)")
        return [*rows, ("time", NOT_RECORDED), ("energy", NOT_RECORDED)]
    time = f"{run.log.elapsed_s / 3600:.2f} hours ({run.log.elapsed_s:,.0f} s) up to step {run.log.step:,}"
    rows.append(("time", f"{time}, evaluations included"))
    rows.append(("energy", _describe_energy(config["hardware"], run.log.elapsed_s)))
    rows.append(("libraries", ", ".join(f"{name} {number}" for name, number in config["libraries"].items())))
    return rows


def _describe_batch(run: RunRecord, missing: MissingFacts, title: str) -> str:
    settings = run.settings
    if run.command == "pretrain causal":
        stream = settings["stream"]
        start = f"{stream['lanes']} lanes of about {stream['bptt_tokens']} tokens"
    elif run.command == "pretrain masked":
        start = f"{settings['batch_size']} windows of {settings['windows']['length_bp']} bp"
    else:
        start = f"{settings['batch_size']} sequences"
    if run.log is None:
        missing.add(f"tokens and bases of a batch ({title})")
        return f"{start}; tokens {NOT_RECORDED}"
    tokens = run.log.tokens / run.log.step
    if run.log.bases_per_token is None:
        return f"{start}; {tokens:,.0f} tokens on average"
    return f"{start}; {tokens:,.0f} tokens, {tokens * run.log.bases_per_token:,.0f} new bases on average"


def _describe_rates(run: RunRecord) -> str:
    settings = run.settings
    if phases := settings.get("phases"):
        parts = [
            f"{each['learning_rate']:g} for {each['epochs']} epoch(s)"
            + (f" of the last {each['trained_groups']} layer group(s)" if each["trained_groups"] else "")
            for each in phases
        ]
        text = ", then ".join(parts)
    else:
        text = f"{settings['learning_rate']:g}"
    has_start = run.run_config["inputs"].get("pretrained", "none") != "none"
    factor = settings.get("group_factor", 1.0) if has_start else 1.0  # from random weights all learn alike
    layers = f"; each layer group below learns {factor:g} times slower" if factor != 1.0 else ""
    return f"{text}; schedule {settings['schedule']}{layers}"


def _describe_hardware(hardware: dict[str, Any]) -> str:
    processes = hardware["processes"]
    count = f"{processes} process(es) of {hardware['torch_threads']} thread(s)"
    gpus = ", ".join(hardware["gpus"][:processes]) or "no GPU"
    return f"{hardware['machine']} CPU, {count}; {gpus}"


def _describe_energy(hardware: dict[str, Any], elapsed_s: float) -> str:
    energy_kwh = estimate_energy_kwh(hardware, elapsed_s)
    if energy_kwh is None:
        return "not estimated: the power of this GPU is not known"
    assumed = (
        "the makers' power limit of the GPUs" if hardware["gpus"] else f"{WATTS_PER_THREAD:g} W a CPU thread"
    )
    return f"about {energy_kwh:.2g} kWh: an estimate from {assumed}, not measured"


def _find_gpu_watts(name: str) -> float | None:
    return next((watts for part, watts in GPU_WATTS.items() if part in name), None)


def _describe_tokens(run: RunRecord) -> str | None:
    if "tokens_seen" in run.metrics:
        bases = run.metrics.get("bases_seen")
        return f"{run.metrics['tokens_seen']:,}" + (f", which bring {bases:,} new bases" if bases else "")
    return f"{run.log.tokens:,} up to step {run.log.step:,}" if run.log else None
