"""What the commands share: options, the reporter, tables."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from genolm.progress import Reporter, build_reporter, is_main_process

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="Change a setting of the recipe, such as pretrain.tokens=1000000."
    ),
]
RecipeOption = Annotated[
    str,
    typer.Option("--recipe", "--config", help="Settings: the name of a shipped recipe, or a YAML file."),
]
SeedOption = Annotated[int | None, typer.Option(help="Seed of every random choice.  [default: the recipe's]")]
SequenceColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="Column of the sequences.  [default: sequence]")
]
LabelColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="Column of the labels.  [default: label]")
]
SplitColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="Column of the splits.  [default: split]")
]
IdColumn = Annotated[str | None, typer.Option(metavar="NAME", help="Column of the ids.  [default: id]")]
EmbeddingsOption = Annotated[
    Path | None,
    typer.Option(help="Folder of word2vec vectors (genolm word2vec train) to start the embedding from."),
]
AutoBatchOption = Annotated[
    bool,
    typer.Option(
        "--auto-batch",
        help="Find the micro-batch that fits into memory; what a step learns from stays the same.",
    ),
]
OutputOption = Annotated[Path, typer.Option(help="Folder to write; the same command again goes on in it.")]


def collect_overrides(
    settings: list[str] | None, seed: int | None = None, **columns: str | None
) -> list[str]:
    """Return the --set options, and after them what other options say, as settings of a recipe."""
    named = [f"columns.{kind}={json.dumps(name)}" for kind, name in columns.items() if name is not None]
    return [*(settings or []), *named, *([] if seed is None else [f"seed={seed}"])]


def open_reporter() -> Reporter:
    """Return the reporter, with genolm's log lines on; of several processes only the main one has them."""
    logging.basicConfig(level=logging.WARNING, format="  %(message)s")
    if is_main_process():
        logging.getLogger("genolm").setLevel(logging.INFO)
    return build_reporter()


def open_model_reporter() -> Reporter:
    """Return the reporter of a command that loads models: transformers' own bars and notes are off."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    return open_reporter()


def print_table(rows: Sequence[tuple[str, ...]], *, title: str) -> None:
    """Print a table to the output stream; the first row is the header, the first column text."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold")
    for index, name in enumerate(rows[0]):
        table.add_column(name, justify="right" if index else "left", no_wrap=True)
    for row in rows[1:]:
        table.add_row(*row)
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(table)
