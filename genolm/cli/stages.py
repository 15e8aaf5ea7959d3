"""`genolm pretrain`, `adapt`, `finetune`: the three stages one by one."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genolm.cli.console import (
    AutoBatchOption,
    IdColumn,
    LabelColumn,
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
    from genolm.pipeline.recipe import RecipeRun
    from genolm.pipeline.single_stage import StageResult

CorpusOption = Annotated[
    Path | None,
    typer.Option(
        help="Corpus folder, from genolm corpus build.  [default: the recipe's genomes, without the "
        "held-out labeled sequences, in runs/RECIPE/corpus]"
    ),
]
TokenizerOption = Annotated[
    str | None, typer.Option(help="Scheme, or folder of a k-mer tokenizer.  [default: the recipe's]")
]


def causal(
    corpus: CorpusOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write; the same command again goes on in it.  [default: runs/RECIPE/genome-lm]"
        ),
    ] = None,
    tokenizer: TokenizerOption = None,
    recipe: RecipeOption = "quickstart",
    seed: SeedOption = None,
    auto_batch: AutoBatchOption = False,
    settings: SetOption = None,
) -> None:
    """Stage 1: train a causal language model (AWD-LSTM) on a corpus."""
    from genolm.pipeline.single_stage import run_pretraining

    overrides = [*collect_overrides(settings, seed), *_collect_auto_batch(auto_batch, "pretrain")]
    run = _open_run(recipe, overrides, tokenizer=tokenizer)
    _print_result(run_pretraining(run, corpus=corpus, output=output))


def masked(
    corpus: CorpusOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write; the same command again goes on in it.  [default: runs/RECIPE/masked-lm]"
        ),
    ] = None,
    pretrained: Annotated[
        Path | None,
        typer.Option(help="Folder of a masked language model to go on from, such as DNABERT's."),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(help="Scheme, or folder of a tokenizer, such as BPE.  [default: the recipe's]"),
    ] = None,
    recipe: RecipeOption = "dnabert_k3_bacteria",
    seed: SeedOption = None,
    auto_batch: AutoBatchOption = False,
    settings: SetOption = None,
) -> None:
    """Train a masked language model (BERT or ModernBERT) on a corpus, hiding whole bases."""
    from genolm.pipeline.single_stage import run_masked_pretraining

    overrides = [*collect_overrides(settings, seed), *_collect_auto_batch(auto_batch, "masked")]
    run = _open_run(recipe, overrides, tokenizer=tokenizer)
    _print_result(run_masked_pretraining(run, corpus=corpus, pretrained=pretrained, output=output))


def adapt(
    pretrained: Annotated[
        Path | None, typer.Option(help="Folder of a language model.  [default: runs/RECIPE/genome-lm]")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Target sequences with train and validation splits; labels are not read.  "
            "[default: the recipe's]"
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write; the same command again goes on in it.  [default: runs/RECIPE/domain-lm]"
        ),
    ] = None,
    recipe: RecipeOption = "quickstart",
    seed: SeedOption = None,
    sequence_column: SequenceColumn = None,
    split_column: SplitColumn = None,
    id_column: IdColumn = None,
    auto_batch: AutoBatchOption = False,
    settings: SetOption = None,
) -> None:
    """Stage 2: go on training a language model on the target sequences, without their labels."""
    from genolm.pipeline.single_stage import run_adaptation

    overrides = collect_overrides(settings, seed, sequence=sequence_column, split=split_column, id=id_column)
    run = _open_run(recipe, [*overrides, *_collect_auto_batch(auto_batch, "adapt")])
    _print_result(run_adaptation(run, pretrained=pretrained, data=data, output=output))


def finetune(
    data: Annotated[
        str | None,
        typer.Option(help="Labeled sequences: CSV, TSV, FASTA, JSONL or Parquet.  [default: the recipe's]"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write; the same command again goes on in it.  "
            "[default: runs/RECIPE/classifier-START]"
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="START",
            help="What the recipe's folder has to start from: scratch (random weights), word2vec, genome-lm, "
            "domain-lm or masked-lm.  [default: domain-lm, or scratch with --data]",
        ),
    ] = None,
    pretrained: Annotated[
        Path | None, typer.Option(help="Instead of --start: the folder of a language model.")
    ] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(help="Instead of --start: the folder of word2vec vectors (genolm word2vec train)."),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            help="Scheme, or folder of a k-mer tokenizer, from scratch only.  [default: the recipe's]"
        ),
    ] = None,
    recipe: RecipeOption = "quickstart",
    seed: SeedOption = None,
    sequence_column: SequenceColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    id_column: IdColumn = None,
    auto_batch: AutoBatchOption = False,
    settings: SetOption = None,
) -> None:
    """Stage 3: train a classifier on a pretrained model, or from scratch, and evaluate it."""
    from genolm.pipeline.single_stage import run_finetuning

    overrides = collect_overrides(
        settings, seed, sequence=sequence_column, label=label_column, split=split_column, id=id_column
    )
    overrides += _collect_auto_batch(auto_batch, "finetune", "scratch")
    run = _open_run(recipe, overrides, tokenizer=tokenizer)
    _print_result(
        run_finetuning(
            run, start=start, pretrained=pretrained, embeddings=embeddings, data=data, output=output
        )
    )


def _collect_auto_batch(auto_batch: bool, *parts: str) -> list[str]:
    return [f"{part}.loop.auto_batch=true" for part in parts if auto_batch]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Stage 1: language models of genomes.", no_args_is_help=True)
    group.command()(causal)
    group.command()(masked)
    group.callback()(lambda: None)
    app.add_typer(group, name="pretrain")
    app.command()(adapt)
    app.command()(finetune)


def _open_run(recipe: str, overrides: list[str], *, tokenizer: str | None = None) -> "RecipeRun":
    from dataclasses import replace

    from genolm.pipeline.recipe import load_recipe, open_run

    loaded = load_recipe(recipe, overrides=overrides)
    if tokenizer is not None:
        loaded = replace(loaded, tokenizer=tokenizer)
    return open_run(loaded, name=recipe, reporter=open_model_reporter())


def _print_result(result: "StageResult") -> None:
    """Print the metrics, and a classifier beside its controls."""
    from genolm.evaluation.report import build_rows

    print(json.dumps(result.metrics, indent=2))
    print(f"model folder: {result.folder}")
    if result.rows:
        title = f"Test split, {result.metrics['test']['n']:,} sequences"
        print_table(build_rows(list(result.rows)), title=title)
