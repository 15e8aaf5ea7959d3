"""What the hub reads of a card: the YAML header with its model-index, and `.eval_results/*.yaml`."""

import re
from typing import Any

import yaml

from genolm.publishing.card.families import ModelFamily
from genolm.publishing.card.kinds import ModelKind
from genolm.publishing.card.results import find_split, list_figures, name_figure
from genolm.publishing.card.runs import RunFamily, RunRecord

HUB_METRICS = {
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "f1",
    "mcc": "matthews_correlation",
    "auroc": "roc_auc",
    "mse": "mse",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
    "bits_per_base": "bits_per_base",
    "perplexity": "perplexity",
}
"""Metrics that are told to the hub, by its names where it has one"""
RESULTS_NAME = "genolm.yaml"


def build_header(
    run: RunRecord,
    *,
    kind: ModelKind,
    model_family: ModelFamily,
    name: str,
    license_id: str | None,
    data_name: str,
    dataset: str | None,
) -> str:
    """Return the YAML of a card, without the lines of --- around it.

    Args:
        run: of the model.
        kind: of the model.
        model_family: whose tags it gets.
        name: of the model.
        license_id: the hub's identifier of the license; None leaves it out.
        data_name: what the figures were measured on.
        dataset: repository of these data, if the hub has them.
    """
    from huggingface_hub import EvalResult, ModelCardData

    split = find_split(run)
    figures = _select_figures(run)
    results = [
        EvalResult(
            task_type=kind.pipeline_tag,
            dataset_type=dataset or make_slug(data_name),
            dataset_name=data_name,
            dataset_split=split,
            metric_type=HUB_METRICS[metric],
            metric_name=name_figure(metric),
            metric_value=value,
        )
        for metric, value in figures.items()
    ]
    data = ModelCardData(
        license=license_id,
        library_name="transformers",
        pipeline_tag=kind.pipeline_tag,
        tags=["biology", "genomics", "dna", "genolm", *model_family.tags],
        datasets=[dataset] if dataset else None,
        metrics=[HUB_METRICS[metric] for metric in figures] or None,
        model_name=name.rpartition("/")[2],
        eval_results=results or None,
    )
    return data.to_yaml().strip()


def build_eval_results(family: RunFamily, *, data_name: str, dataset: str | None) -> dict[str, str]:
    """Return the text of each file of `.eval_results/`, by its name.

    The format (eval_results.yaml of the hub's documentation) wants a data set of the hub. Where the data are
    none, their name stands for it and a note says so.
    """
    run = family.run
    split, figures = find_split(run), _select_figures(run)
    if not figures:
        return {}
    inputs = run.run_config["inputs"]
    checksum = inputs.get("data") or inputs.get("corpus") or inputs.get("sequences")
    place = f"{split} split of {data_name}, sha256 of the content {checksum}"
    notes = place if dataset else f"{place}; not a data set of the hub"
    entries = [
        {
            "dataset": {"id": dataset or make_slug(data_name), "task_id": metric},
            "value": value,
            "notes": f"{metric}, {notes}",
        }
        for metric, value in figures.items()
    ]
    return {RESULTS_NAME: yaml.safe_dump(entries, sort_keys=False)}


def make_slug(text: str) -> str:
    """Turn the name of a file into one that a repository could have.

    >>> make_slug("E. coli promoters.csv.gz")
    'E.-coli-promoters'
    """
    stem = re.sub(r"(\.(csv|tsv|jsonl?|parquet|fa|fasta|fna))?(\.gz)?$", "", text)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._") or "data"


def _select_figures(run: RunRecord) -> dict[str, Any]:
    split = find_split(run)
    figures = list_figures(run.metrics[split]) if split else {}
    return {name: value for name, value in figures.items() if name in HUB_METRICS}
