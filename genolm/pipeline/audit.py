"""The audit of the labeled data, made by itself before a classifier learns from them."""

from pathlib import Path
from typing import Any

from genolm.corpus.audit.data_audit import check_data
from genolm.corpus.labeled import LabeledData
from genolm.files import compute_fingerprint, read_json, write_json
from genolm.models.scoring import Task
from genolm.pipeline.recipe import RecipeRun

AUDIT_NAME = "data_audit.json"
MAX_BASES = 100_000_000  # it takes up to about 100 bytes of memory a base


def audit_run_data(
    run: RecipeRun, data: LabeledData, folder: Path, *, task: Task = "classification"
) -> dict[str, Any]:
    """Look for leaks and shortcuts in the data and say what was found; `keep_audit` writes it down.

    It is made and told once for the same data and folder. A leak does not stop the run, for its user may have
    no other data; it is said, and stands in the folder. Regressions, several labels a sequence and very large
    data are not audited, which is said too.

    Returns:
        What the file is to hold; empty if there was no audit.
    """
    return run.ranks.on_main(lambda: _audit(run, data, folder / AUDIT_NAME, task))


def keep_audit(run: RecipeRun, audit: dict[str, Any], folder: Path) -> None:
    """Write an audit to `folder`, which must be this run's by now."""
    if audit:
        run.ranks.on_main(lambda: write_json(folder / AUDIT_NAME, audit))


def _audit(run: RecipeRun, data: LabeledData, path: Path, task: Task) -> dict[str, Any]:
    if reason := _find_obstacle(data, task):
        run.reporter.note(f"  the data are not audited for leaks: {reason}")
        return {}
    key = compute_fingerprint([data.sequences, data.labels.tolist(), list(data.splits)])
    if path.is_file() and (kept := read_json(path))["key"] == key:
        return dict(kept)
    audit = {"key": key, **check_data(data, reporter=run.reporter).as_dict()}
    for finding in audit["findings"]:
        if finding["severity"] != "note":
            run.reporter.note(f"  {finding['severity']} in the data: {finding['text']}")
    return audit


def _find_obstacle(data: LabeledData, task: Task) -> str:
    num_bases = sum(map(len, data.sequences))
    if task != "classification":
        return f"that is made for classes, not for the task {task}"
    if len(data.label_names) < 2:
        return "there is one class"
    return f"{num_bases:,} bases; that is made for up to {MAX_BASES:,}" if num_bases > MAX_BASES else ""
