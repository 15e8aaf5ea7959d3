"""`genolm benchmark`: models, controls and published figures side by side."""

import json
from pathlib import Path
from typing import Annotated

import typer

from genolm.cli.console import (
    IdColumn,
    LabelColumn,
    SequenceColumn,
    SetOption,
    SplitColumn,
    collect_overrides,
    open_model_reporter,
    print_table,
)


def benchmark(
    name: Annotated[str, typer.Argument(metavar="BENCHMARK", help="A shipped benchmark, or a YAML file.")],
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write; the same command goes on in it.  [default: runs/benchmarks/BENCHMARK]"
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Labeled sequences: a file, or builtin:NAME.  [default: the benchmark's]"),
    ] = None,
    pretrained: Annotated[
        Path | None,
        typer.Option(help="Folder of a language model, for the benchmark's models that start from one."),
    ] = None,
    seed: Annotated[
        list[int] | None,
        typer.Option(help="Seed of the trainings; may be given several times.  [default: the benchmark's]"),
    ] = None,
    sequence_column: SequenceColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    id_column: IdColumn = None,
    settings: SetOption = None,
) -> None:
    """Compare models with controls and published figures, and write report.html.

    Shipped with data: quickstart, quickstart_gc_matched, quickstart_debug. For a file given as --data:
    promoters_ecoli, promoters_bsubtilis, promoters_arabidopsis_tata, promoters_arabidopsis_nontata,
    promoters_human_nontata, gue_prom_core_tata, gue_prom_core_notata, gue_prom_core_all, gue_prom_300_tata,
    gue_prom_300_notata, gue_prom_300_all, gue_tf, gb_human_nontata_promoters, gb_human_enhancers_cohn.
    """
    from genolm.pipeline.benchmark import run_benchmark
    from genolm.pipeline.benchmarking.report import build_benchmark_table
    from genolm.pipeline.benchmarking.settings import load_benchmark

    reporter = open_model_reporter()
    overrides = collect_overrides(
        settings, sequence=sequence_column, label=label_column, split=split_column, id=id_column
    )
    given = [f"data={json.dumps(data)}"] if data is not None else []
    given += [f"seeds={json.dumps(seed)}"] if seed else []
    loaded = load_benchmark(name, overrides=[*overrides, *given], pretrained=pretrained)
    folder = output or Path("runs") / "benchmarks" / Path(name).stem
    result = run_benchmark(loaded, folder, reporter=reporter)
    for report in result.reports.values():
        print_table(build_benchmark_table(report), title=f"{report.title} (* chosen on validation)")
        for sentence in report.summary:
            print(sentence)
        print()
    print(f"report: {result.page}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(benchmark)
