"""A benchmark: several models on labeled data by one protocol, beside controls and published figures.

Every training is a run folder of its own, OUTPUT/GROUPS/MODEL/repeat-R-fold-F-seed-S; what is finished is
reused, so the same command goes on where it stopped.
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

from genolm.corpus.audit.data_audit import check_data
from genolm.corpus.audit.findings import Finding
from genolm.corpus.labeled import LabeledData
from genolm.errors import RunFolderError
from genolm.evaluation.html_report.content import EvaluationReport
from genolm.evaluation.html_report.page import write_html_report
from genolm.files import compute_fingerprint, make_file_name
from genolm.pipeline.audit import MAX_BASES
from genolm.pipeline.benchmarking.divisions import Grouping, build_grouping, read_benchmark_data
from genolm.pipeline.benchmarking.report import build_benchmark_report, join_reports
from genolm.pipeline.benchmarking.results import ModelResult, summarize_model
from genolm.pipeline.benchmarking.settings import Benchmark
from genolm.pipeline.benchmarking.trainings import (
    Prediction,
    average_predictions,
    check_model,
    fit_division_controls,
    load_model_tokens,
    train_and_score,
)
from genolm.pipeline.kept_values import keep_json
from genolm.progress import Reporter
from genolm.training.hardware.ranks import get_ranks

AUDIT_NAME = "audit.json"


class BenchmarkResult(NamedTuple):
    """What a benchmark ends with."""

    reports: dict[str, EvaluationReport]
    """by the kinds of groups"""
    page: Path
    """report.html, with metrics.json beside it; each of several kinds of groups has one in its folder, too"""


def run_benchmark(benchmark: Benchmark, output: Path, *, reporter: Reporter | None = None) -> BenchmarkResult:
    """Train every model on every division with every seed, and write the report.

    Bad input is refused before the first training.

    Args:
        benchmark: data, protocol, models.
        output: folder; the same benchmark again goes on in it.
        reporter: shows the progress.

    Raises:
        GenolmError: bad input, or a folder of another run.
    """
    reporter, ranks = reporter or Reporter(), get_ranks()
    if (output / "run_config.json").exists() or (output / "config.json").exists():
        raise RunFolderError(
            found=f"a model in {output}, whose metrics.json would be replaced",
            expected="an empty folder, or one of this benchmark",
            remedy="choose another --output",
        )
    data, groupings = ranks.on_main(lambda: _prepare(benchmark))
    findings = ranks.on_main(lambda: _audit(data, output / AUDIT_NAME, reporter))
    counter = _Counter(
        reporter,
        total=len(benchmark.models) * sum(len(one.seeds) for each in groupings for one in each.divisions),
    )
    reports = {}
    for grouping in groupings:
        results = _run_grouping(benchmark, grouping, output / make_file_name(grouping.name), counter)
        build = partial(build_benchmark_report, benchmark, data, grouping, results, findings=findings)
        reports[grouping.name] = ranks.on_main(build)
    return BenchmarkResult(reports, ranks.on_main(lambda: _write_reports(benchmark, reports, output)))


class _Counter:
    """Says which training comes next, of how many."""

    def __init__(self, reporter: Reporter, *, total: int) -> None:
        self.reporter, self.total, self.done = reporter, total, 0

    def announce(self, what: str) -> None:
        self.done += 1
        self.reporter.note(f"[{self.done}/{self.total}] {what}")


def _prepare(benchmark: Benchmark) -> tuple[LabeledData, list[Grouping]]:
    """Read and divide the data, and check that every model can learn from them."""
    tokens = [load_model_tokens(model) for model in benchmark.models]
    data = read_benchmark_data(benchmark, min_length_bp=max(each.min_length_bp for each in tokens))
    groupings = [build_grouping(benchmark, data, name) for name in benchmark.groups]
    for model in benchmark.models:
        check_model(model, data)
    return data, groupings


def _audit(data: LabeledData, path: Path, reporter: Reporter) -> tuple[Finding, ...] | None:
    """Return the findings of the audit, which is made once and kept; None for very large data."""
    if sum(map(len, data.sequences)) > MAX_BASES:
        reporter.note(f"  the data are not audited for leaks: more than {MAX_BASES:,} bases")
        return None
    key = compute_fingerprint([data.sequences, data.labels.tolist(), list(data.splits)])
    audit = keep_json(path, key, lambda: check_data(data, reporter=reporter).as_dict())
    findings = tuple(Finding(**finding) for finding in audit["findings"])
    for finding in findings:
        if finding.severity != "note":
            reporter.note(f"  {finding.severity} in the data: {finding.text}")
    return findings


def _run_grouping(
    benchmark: Benchmark, grouping: Grouping, folder: Path, counter: _Counter
) -> list[ModelResult]:
    """Return the results of the controls and of the models on one kind of groups."""
    reporter, controls = counter.reporter, dict[str, list[Prediction]]()
    for division in grouping.divisions:
        path = folder / f"controls-{division.name}.json"
        for name, prediction in fit_division_controls(division, path, reporter=reporter).items():
            controls.setdefault(name, []).append(prediction)
    models: dict[str, list[Prediction]] = {}
    for model in benchmark.models:
        models[model.name] = []
        for division in grouping.divisions:
            for seed in division.seeds:
                name = f"{division.name}-seed-{seed}"
                counter.announce(f"groups {grouping.name}, {model.name}, {name}")
                run_folder = folder / make_file_name(model.name) / name
                models[model.name].append(
                    train_and_score(model, division, run_folder, seed=seed, reporter=reporter)
                )
    copies = len(grouping.divisions[0].seeds)
    for ensemble in benchmark.ensembles:
        # A control has one prediction for all seeds of a division. A model is first, since it has a seed.
        repeated = {name: [each for each in found for _ in range(copies)] for name, found in controls.items()}
        members = sorted(ensemble.of, key=lambda name: name in controls)
        columns = [models.get(name) or repeated[name] for name in members]
        models[ensemble.name] = [average_predictions(each) for each in zip(*columns, strict=True)]
    return _summarize(benchmark, controls, models, copies=copies)


def _summarize(
    benchmark: Benchmark,
    controls: dict[str, list[Prediction]],
    models: dict[str, list[Prediction]],
    *,
    copies: int,
) -> list[ModelResult]:
    parts: tuple[tuple[dict[str, list[Prediction]], bool, int], ...] = (
        (controls, True, copies),
        (models, False, 1),
    )
    return [
        summarize_model(
            name, found, is_control=is_control, copies=copies, num_resamples=benchmark.num_resamples
        )
        for named, is_control, copies in parts
        for name, found in named.items()
    ]


def _write_reports(benchmark: Benchmark, reports: dict[str, EvaluationReport], output: Path) -> Path:
    if len(reports) == 1:
        return write_html_report(next(iter(reports.values())), output)
    for name, report in reports.items():
        write_html_report(report, output / make_file_name(name))
    return write_html_report(join_reports(benchmark, reports), output)
