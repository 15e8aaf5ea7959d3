"""`genolm run` and `genolm ulmfit`: whole pipelines."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genolm.cli.console import (
    EmbeddingsOption,
    IdColumn,
    LabelColumn,
    OutputOption,
    RecipeOption,
    SeedOption,
    SequenceColumn,
    SetOption,
    SplitColumn,
    collect_overrides,
    open_model_reporter,
    print_table,
)

if TYPE_CHECKING:
    from genolm.pipeline.run import PipelineResult

LEARNING_CURVE = (0.1, 0.3, 1.0)  # shares of the train split


def run(
    recipe: Annotated[
        str,
        typer.Argument(help="A shipped recipe (quickstart, ablation, ...) or a YAML file."),
    ],
    output: Annotated[Path | None, typer.Option(help="Folder to write.  [default: runs/RECIPE]")] = None,
    seed: SeedOption = None,
    settings: SetOption = None,
) -> None:
    """Run a whole pipeline from a recipe; a stage that is finished is reused."""
    from genolm.pipeline.recipe import get_run_folder, load_recipe
    from genolm.pipeline.run import run_pipeline

    loaded = load_recipe(recipe, overrides=collect_overrides(settings, seed))
    result = run_pipeline(loaded, output or get_run_folder(recipe), reporter=open_model_reporter())
    _print_result(result)


def ulmfit(
    genome: Annotated[
        list[str],
        typer.Option(
            help="FASTA file, accession, name or group of the catalogue; may be given several times."
        ),
    ],
    data: Annotated[str, typer.Option(help="Labeled sequences: CSV, TSV, FASTA, JSONL or Parquet.")],
    output: OutputOption,
    embeddings: EmbeddingsOption = None,
    bidirectional: Annotated[
        bool, typer.Option("--bidirectional", help="Do it backward, too, and average both directions.")
    ] = False,
    learning_curve: Annotated[
        bool, typer.Option("--learning-curve", help="Train on 10 and 30 % of the labels, too.")
    ] = False,
    recipe: RecipeOption = "quickstart",
    seed: SeedOption = None,
    sequence_column: SequenceColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    id_column: IdColumn = None,
    settings: SetOption = None,
) -> None:
    """Take your genomes and labeled sequences through the three stages of ULMFiT to a classifier."""
    from dataclasses import replace

    from genolm.pipeline.recipe import load_recipe
    from genolm.pipeline.run import run_pipeline

    overrides = collect_overrides(
        settings, seed, sequence=sequence_column, label=label_column, split=split_column, id=id_column
    )
    loaded = replace(load_recipe(recipe, overrides=overrides), genomes=tuple(genome), data=data)
    if embeddings is not None:
        loaded = replace(loaded, embeddings=str(embeddings))
    if bidirectional:
        loaded = replace(loaded, backward=True)
    if learning_curve and not loaded.learning_curve:
        loaded = replace(loaded, learning_curve=LEARNING_CURVE)
    _print_result(run_pipeline(loaded, output, reporter=open_model_reporter()))


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(run)
    app.command()(ulmfit)


def _print_result(result: "PipelineResult") -> None:
    from genolm.evaluation.report import (
        build_classifier_table,
        build_language_model_table,
        build_learning_curve_table,
    )

    report = result.report
    print_table(
        build_classifier_table(report),
        title=f"Test split, {report.num_test:,} sequences (* chosen on validation)",
    )
    print_table(build_language_model_table(report), title="Held-out sequence (a uniform model scores 2)")
    if report.learning_curve:
        print_table(build_learning_curve_table(report), title="Learning curve (same validation and test)")
    chosen, control = report.find_chosen(), report.find_best_control()
    print(f"strongest {control.name}, MCC {control.test['mcc']:.3f}")
    print(f"chosen model: {chosen.name}, MCC {chosen.test['mcc']:.3f}")
    print(f"model folder: {result.model_folder}\n")
    print("from transformers import pipeline")
    print(f'classify = pipeline("text-classification", "{result.model_folder}", trust_remote_code=True)')
    print('print(classify("TTGACAATTAATCATCGAACTAGTATAATGTGTGGAATTGTGAGCGGATAACAATT"))')
