"""What lies beside a run and judges it: the report of its pipeline, controls, counts of bases, the audit."""

from pathlib import Path
from typing import Any, NamedTuple

from genolm.corpus.builtin import BUILTIN_FILES, find_builtin
from genolm.corpus.labeled import read_labeled
from genolm.evaluation.report import ClassifierRow, LanguageModelRow
from genolm.files import compute_fingerprint, read_json
from genolm.publishing.card.runs import RunFamily, RunRecord

AUDIT_NAME = "data_audit.json"


class Evidence(NamedTuple):
    """What was found; what was not is empty or None."""

    classifiers: tuple[ClassifierRow, ...]
    """controls and networks on the same test sequences, the run among them"""
    own_name: str
    """the run's name in `classifiers`"""
    language_models: tuple[LanguageModelRow, ...]
    """models of counts, then the language model of the run or of its origin"""
    audit: dict[str, Any] | None
    """data_audit.json of the labeled data"""


def read_evidence(family: RunFamily) -> Evidence:
    """Read what lies in a run's folder or beside it, and is about the same test sequences and corpus."""
    run = family.run
    places = (run.folder, run.folder.resolve().parent)
    if run.command != "finetune":
        return Evidence((), "", _read_language_models(family), None)
    classifiers, own_name = _read_classifiers(run, places)
    audit = _read_first(places, AUDIT_NAME)
    if audit and not _is_about(audit, run):
        audit = None
    return Evidence(classifiers, own_name, _read_language_models(family), audit)


def find_data_name(run: RunRecord) -> str | None:
    """Return the file name of a run's labeled data; that of built-in data is also known by its content."""
    recorded = run.run_config.get("sources", {}).get("data", {}).get("name")
    if recorded:
        return str(recorded)
    for name, file_name in BUILTIN_FILES.items():
        if not file_name.endswith(".csv.gz"):
            continue
        data = read_labeled(find_builtin(name))
        content = [data.sequences, data.labels.tolist(), list(data.label_names), list(data.splits)]
        if compute_fingerprint(content) == run.run_config["inputs"].get("data"):
            return file_name
    return None


def _read_first(places: tuple[Path, ...], name: str) -> Any:
    return next((read_json(place / name) for place in places if (place / name).is_file()), None)


def _read_classifiers(run: RunRecord, places: tuple[Path, ...]) -> tuple[tuple[ClassifierRow, ...], str]:
    """Return the rows of the report that has the run's figures, or of its controls and the run."""
    test = run.metrics.get("test")
    report = _read_first(places, "report.json")
    rows = [ClassifierRow(**row) for row in report["classifiers"]] if report else []
    own = next((row.name for row in rows if row.test == test), None)
    if own:
        return tuple(rows), own
    controls = _read_first(places, "controls.json")
    kept = controls["value"] if controls else []
    same = [row for row in kept if test and row["test"]["n"] == test["n"]]
    found = [
        ClassifierRow(name=row["name"], is_control=True, validation=row["validation"], test=row["test"])
        for row in same
    ]
    if found and test is not None:
        found.append(
            ClassifierRow(
                name="this model", is_control=False, validation=run.metrics["validation"], test=test
            )
        )
    return tuple(found), "this model"


def _read_language_models(family: RunFamily) -> tuple[LanguageModelRow, ...]:
    """Return the scores of the language model that saw the genome, and of counts on the same corpus."""
    for run in (family.run, *family.ancestors):
        if run.command.startswith("pretrain") and "test" in run.metrics:
            place = run.folder.resolve().parent
            own = LanguageModelRow(
                name="masked LM (sees both sides)" if run.command == "pretrain masked" else "genome LM",
                validation_bits_per_base=run.metrics["validation"]["bits_per_base"],
                test_bits_per_base=run.metrics["test"]["bits_per_base"],
            )
            return (*_read_floors(place), own)
    return ()


def _read_floors(place: Path) -> list[LanguageModelRow]:
    rows = []
    for file, describe in (
        ("markov.json", lambda value: f"Markov model of order {value['order']}"),
        ("two-sided.json", lambda value: f"counts of both sides (m = {value['half_bp']})"),
    ):
        if (place / file).is_file():
            value = read_json(place / file)["value"]
            rows.append(
                LanguageModelRow(
                    name=describe(value),
                    validation_bits_per_base=value["validation"],
                    test_bits_per_base=value["test"],
                )
            )
    return rows


def _is_about(audit: dict[str, Any], run: RunRecord) -> bool:
    """Say whether an audit has the run's test sequences, as far as their number tells."""
    num_test = sum(group["records_by_split"].get("test", 0) for group in audit["classes"])
    return "test" not in run.metrics or num_test == run.metrics["test"].get("n")
