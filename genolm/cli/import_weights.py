"""`genolm import`: checkpoints of others as folders of genolm."""

from pathlib import Path
from typing import Annotated

import typer

from genolm.cli.console import open_model_reporter

OutputOption = Annotated[Path, typer.Option(help="New model folder.")]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command()
def dnabert(
    folder: Annotated[Path, typer.Argument(help="Folder with config.json, vocab.txt and the weights.")],
    output: OutputOption,
) -> None:
    """DNABERT as it was published: gets a tokenizer.json for raw DNA, and safetensors."""
    from genolm.pipeline.importers.dnabert import import_dnabert

    open_model_reporter()
    report = import_dnabert(folder, output)
    print("\n".join([*report.list_lines(), f"model folder: {output}"]))


@app.command()
def fastai(
    weights: Annotated[Path, typer.Argument(help="The .pth file of a language model, by Learner.save.")],
    vocabulary: Annotated[
        Path, typer.Option(help="Its tokens in their order: .npy, .json, or text with one a line.")
    ],
    scheme: Annotated[str, typer.Option(help="k and stride that it was trained with, such as kmer_k5_s2.")],
    output: OutputOption,
) -> None:
    """An AWD-LSTM language model of fastai, such as those of Genomic-ULMFiT; weights alone are read."""
    from genolm.pipeline.importers.fastai import import_fastai
    from genolm.tokenization.scheme import KmerScheme

    open_model_reporter()
    report = import_fastai(weights, output, vocabulary_path=vocabulary, scheme=KmerScheme.parse(scheme))
    print("\n".join([*report.list_lines(), f"model folder: {output}"]))


def register(parent: typer.Typer) -> None:
    """Add the commands."""
    parent.add_typer(app, name="import", help="Take over checkpoints of DNABERT and fastai.")
