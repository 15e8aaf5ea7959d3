"""The `genolm` command: each command parses, calls one function of the package, and prints."""

import gc
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stdout
from typing import Any

import typer

import genolm
from genolm.cli import (
    benchmark,
    corpus,
    data,
    doctor,
    embed,
    explain,
    genome,
    import_weights,
    predict,
    publish,
    recipes,
    scan,
    stages,
    tokenizer,
    variants,
    word2vec,
)
from genolm.errors import GenolmError, StoppedError, TrainingError
from genolm.progress import is_main_process

MAIN_PROCESS_FIRST_S = 5.0

app = typer.Typer(
    name="genolm",
    help="From a genome to a published, honestly evaluated genomic language model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(value: bool) -> None:
    if value:
        print(genolm.__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version."
    ),
) -> None:
    pass


recipes.register(app)
genome.register(app)
corpus.register(app)
data.register(app)
tokenizer.register(app)
word2vec.register(app)
stages.register(app)
predict.register(app)
explain.register(app)
scan.register(app)
variants.register(app)
embed.register(app)
benchmark.register(app)
publish.register(app)
import_weights.register(app)
doctor.register(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error on purpose is one line and an exit code other than 0.

    Of several processes, which a launcher started, only the main one prints: all end with the same error.

    Args:
        arguments: what stands behind the program's name, such as `["run", "quickstart"]`; by default what
            the program was called with.
    """
    with ExitStack() as stack:
        if not is_main_process():
            nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
            stack.enter_context(redirect_stdout(nowhere))
        code = _run_app(arguments)
    _leave_process_group()
    sys.exit(code)


def _run_app(arguments: Sequence[str] | None) -> int | str | None:
    """Return the exit code. No error outlives this, and with it the model in its traceback."""
    try:
        app(arguments, prog_name="genolm")
    except GenolmError as error:
        _print_error(error)
        return error.exit_code
    except SystemExit as stop:
        if stop.code == 130 and is_main_process():  # typer's exit code after Ctrl-C
            print("stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        return stop.code
    return 0


def _print_error(error: GenolmError) -> None:
    """Print the line; of another process than the main one only what may have happened to it alone."""
    if is_main_process():
        kind = "stopped" if isinstance(error, StoppedError) else "error"
        print(f"{kind}: {error}", file=sys.stderr)
    elif isinstance(error, TrainingError):
        print(f"rank {os.environ['RANK']}: error: {error}", file=sys.stderr)
    elif "TORCHELASTIC_RUN_ID" in os.environ:
        # The launcher ends the main process, unheard, when another has ended.
        time.sleep(MAIN_PROCESS_FIRST_S)


def _leave_process_group() -> None:
    """Take leave of the other processes.

    Without it torch warns. What still refers to the group goes first: a model that is freed only when Python
    ends would wait for the group's thread, and that one for Python.
    """
    distributed: Any = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        gc.collect()
        distributed.destroy_process_group()
