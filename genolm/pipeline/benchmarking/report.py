"""The report of a benchmark: one for each kind of groups, several of them on one page, a table to print."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any, TypeVar

import numpy as np

import genolm
from genolm.corpus.audit.findings import Finding
from genolm.corpus.labeled import SPLITS, LabeledData
from genolm.evaluation.cross_validation import Spread
from genolm.evaluation.curves import plot_pr_curves, plot_reliability, plot_roc_curves
from genolm.evaluation.html_report.content import EvaluationReport, PublishedFigure, ReportFigure
from genolm.evaluation.report import choose_network
from genolm.pipeline.benchmarking.divisions import HOLDOUT_SHARES, Grouping
from genolm.pipeline.benchmarking.results import ModelResult, compare_models, find_best_control
from genolm.pipeline.benchmarking.settings import Benchmark
from genolm.training.persistence.run_folder import LIBRARIES

Value = TypeVar("Value")


def build_benchmark_report(
    benchmark: Benchmark,
    data: LabeledData,
    grouping: Grouping,
    results: Sequence[ModelResult],
    *,
    findings: tuple[Finding, ...] | None,
) -> EvaluationReport:
    """Build the report of one kind of groups.

    Args:
        benchmark: its settings.
        data: the labeled records.
        grouping: how they were divided.
        results: of the controls and the models; the same divisions in the same order.
        findings: of the audit; None where there was none.
    """
    models = [result for result in results if not result.row.is_control]
    chosen_name = choose_network([model.row for model in models])
    chosen = next(model for model in models if model.name == chosen_name)
    control = find_best_control(results)
    comparisons = tuple(
        compare_models(model, control, num_resamples=benchmark.num_resamples) for model in models
    )
    rows = [result.row for result in results] + [model.tuned.row for model in models if model.tuned]
    is_split = benchmark.protocol != "folds"
    return EvaluationReport(
        title=f"{benchmark.title} (groups: {grouping.name})",
        summary=_summarize(chosen, control, comparisons[models.index(chosen)].differences["mcc"]),
        data=_describe_data(data, grouping),
        findings=findings,
        classifiers=tuple(rows),
        chosen=chosen.name,
        published=tuple(
            PublishedFigure(each.name, each.metrics, each.source) for each in benchmark.published
        ),
        comparisons=comparisons,
        seeds={model.name: model.spreads for model in models} if is_split else {},
        cross_validations={} if is_split else {result.name: result.folds for result in results},
        calibrations={result.name: result.temperature for result in (*models, control)},
        thresholds={model.name: model.tuned.mean for model in models if model.tuned},
        figures=_draw_figures(models, control),
        protocol=_describe_protocol(benchmark, grouping),
        settings=_describe_settings(benchmark),
        versions={"genolm": genolm.__version__, "python": platform.python_version()}
        | {name: version(name) for name in LIBRARIES},
    )


def join_reports(benchmark: Benchmark, reports: Mapping[str, EvaluationReport]) -> EvaluationReport:
    """Put the reports of several kinds of groups side by side; names say which groups they are of.

    Curves and reliability stay with the report of each kind, since their records are divided differently.
    """
    first = next(iter(reports.values()))
    facts: dict[str, Any] = {name: value for name, value in first.data.items() if name != "groups"}
    return replace(
        first,
        title=benchmark.title,
        summary=tuple(f"Groups {name}: {text}" for name, each in reports.items() for text in each.summary),
        data={**facts, "groups": {name: each.data["groups"] for name, each in reports.items()}},
        classifiers=tuple(
            replace(row, name=_label(row.name, name))
            for name, each in reports.items()
            for row in each.classifiers
        ),
        chosen="",
        comparisons=tuple(
            pair._replace(first=_label(pair.first, name), second=_label(pair.second, name))
            for name, each in reports.items()
            for pair in each.comparisons
        ),
        seeds=_join({name: each.seeds for name, each in reports.items()}),
        cross_validations=_join({name: each.cross_validations for name, each in reports.items()}),
        calibrations=_join({name: each.calibrations for name, each in reports.items()}),
        thresholds=_join({name: each.thresholds for name, each in reports.items()}),
        figures=(),
        protocol=tuple(dict.fromkeys(sentence for each in reports.values() for sentence in each.protocol)),
    )


def build_benchmark_table(report: EvaluationReport) -> list[tuple[str, ...]]:
    """Return the cells of the table to print, header first; the model that validation chose has a star."""
    spreads: dict[str, Mapping[str, Spread | None]] = {
        **report.seeds,
        **{name: found.folds for name, found in report.cross_validations.items()},
    }
    differences = {each.first: each.differences["mcc"] for each in report.comparisons}
    rows: list[tuple[str, ...]] = [
        ("model", "MCC, mean and sd", "MCC, pooled", "95 % interval", "AUROC", "MCC minus best control")
    ]
    for row in report.classifiers:
        difference = differences.get(row.name)
        rows.append(
            (
                row.name + (" *" if row.name == report.chosen else ""),
                _format_spread(spreads.get(row.name, {}).get("mcc")),
                f"{row.test['mcc']:.3f}",
                _format_interval(row.test["ci95"]["mcc"]),
                _format(row.test["auroc"]),
                ""
                if difference is None or difference.difference is None
                else f"{difference.difference:+.3f} ({_format_interval(difference.interval, sign='+')})",
            )
        )
    for figure in report.published:
        mcc, auroc = (_format(figure.metrics.get(name)) for name in ("mcc", "auroc"))
        rows.append((f"published: {figure.name}", "", mcc, "", auroc, ""))
    return rows


def _summarize(chosen: ModelResult, control: ModelResult, difference: Any) -> tuple[str, ...]:
    mcc, of_control = chosen.row.test["mcc"], control.row.test["mcc"]
    clear = (
        "The interval excludes 0." if difference.is_clear else "The interval holds 0: no clear difference."
    )
    return (
        f"Validation chose {chosen.name}: MCC {mcc:.3f} "
        f"({_format_interval(chosen.row.test['ci95']['mcc'])}).",
        f"Of the controls it chose {control.name.removeprefix('control: ')}: MCC {of_control:.3f}; the "
        f"difference is {difference.difference:+.3f} "
        f"({_format_interval(difference.interval, sign='+')}). {clear}",
    )


def _describe_data(data: LabeledData, grouping: Grouping) -> dict[str, Any]:
    lengths = [len(sequence) for sequence in data.sequences]
    counts = np.bincount(data.labels, minlength=len(data.label_names)).tolist()
    first = grouping.divisions[0].data.splits
    return {
        "records": len(data),
        "classes": dict(zip(data.label_names, counts, strict=True)),
        "length_bp": {
            "shortest": min(lengths),
            "median": float(np.median(lengths)),
            "longest": max(lengths),
        },
        "first_division": {split: first.count(split) for split in SPLITS},
        "divisions": len(grouping.divisions),
        "groups": {"number": grouping.num_groups, "records_in_the_largest": grouping.largest_group},
    }


def _describe_protocol(benchmark: Benchmark, grouping: Grouping) -> tuple[str, ...]:
    kinds = {
        "none": "each record by itself",
        "clusters": f"clusters of similar sequences ({benchmark.clusters.identity:g} of the "
        f"{benchmark.clusters.kmer_bp}-mers shared)",
        "blocks": f"blocks of {benchmark.block_bp:,} bp of the genome",
    }
    kind = kinds.get(grouping.name, f"the column {grouping.name}")
    if benchmark.protocol == "split":
        division = f"Train, validation and test records are those of the file; groups: {kind}."
    elif benchmark.protocol == "holdout":
        shares = ", ".join(f"{share:.0%} {split}" for split, share in HOLDOUT_SHARES.items())
        division = (
            f"{len(benchmark.seeds)} independent divisions ({shares}), each with a training of its own seed; "
            f"no group is in two parts; groups: {kind}."
        )
    else:
        division = (
            f"Cross-validation, {benchmark.folds} folds, repeated {benchmark.repeats} time(s); no group "
            f"is in two folds; groups: {kind}. One fold is test, the next validation, the others train."
        )
    pretrained = [model.name for model in benchmark.models if model.pretrained]
    start = f"Pretrained before: {', '.join(pretrained)}. Whether on test records, too, is not known here."
    ensembles = [
        f"{ensemble.name}: the mean of the probabilities of {', '.join(ensemble.of)}."
        for ensemble in benchmark.ensembles
    ]
    return (
        division,
        *([start] if pretrained else []),
        *ensembles,
        f"Each model was trained with the seeds {', '.join(map(str, benchmark.seeds))}. The epochs, the "
        "settings of the controls, the best control, thresholds and temperatures were chosen on validation.",
        "Pooled figures are of the test records of all trainings together, at the threshold 0.5 unless a row "
        f"says otherwise; intervals are of {benchmark.num_resamples:,} bootstrap resamples of whole groups, "
        "each with all its predictions. They do not show how much another training would differ.",
    )


def _describe_settings(benchmark: Benchmark) -> dict[str, Any]:
    settings = asdict(benchmark)
    del settings["published"]
    return settings | {"models": {model.pop("name"): model for model in settings["models"]}}


def _draw_figures(models: Sequence[ModelResult], control: ModelResult) -> tuple[ReportFigure, ...]:
    shown = [control, *models]
    figures = [
        ReportFigure(
            f"Reliability, {when}",
            plot_reliability(
                {each.name: getattr(each.temperature, field) for each in shown}, name=f"reliability-{field}"
            ),
        )
        for field, when in (("before", "as it is"), ("after", "at the temperature of validation"))
    ]
    if control.pooled.scores.ndim > 1:  # curves are of two classes
        return tuple(figures)
    scores = {each.name: each.pooled.scores for each in shown}
    curves = (
        ("ROC curves of all test records", plot_roc_curves),
        ("Precision and recall of all test records", plot_pr_curves),
    )
    drawn = [
        ReportFigure(caption, plot(control.pooled.labels, scores=scores, controls=[control.name]))
        for caption, plot in curves
    ]
    return (*drawn, *figures)


def _label(name: str, groups: str) -> str:
    return f"{name} (groups: {groups})"


def _join(parts: Mapping[str, Mapping[str, Value]]) -> dict[str, Value]:
    return {_label(name, groups): value for groups, named in parts.items() for name, value in named.items()}


def _format(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _format_interval(interval: Sequence[float] | None, *, sign: str = "") -> str:
    return "" if interval is None else " .. ".join(f"{bound:{sign}.3f}" for bound in interval)


def _format_spread(spread: Spread | None) -> str:
    if spread is None:
        return ""
    return f"{spread.mean:.3f}" + ("" if spread.sd is None else f" +- {spread.sd:.3f}")
