"""`genolm tokenizer`: k-mer tokenizers in Hugging Face format."""

from pathlib import Path
from typing import Annotated

import typer


def build(
    scheme: Annotated[str, typer.Argument(help="kmer_k{k}_s{stride}, such as kmer_k6_s1.")],
    output: Annotated[
        Path, typer.Option(help="Folder to write tokenizer.json and tokenizer_config.json to.")
    ],
) -> None:
    """Write a tokenizer folder that AutoTokenizer loads, with or without genolm."""
    from genolm.tokenization.scheme import KmerScheme
    from genolm.tokenization.tokenizer_json import save_tokenizer

    save_tokenizer(KmerScheme.parse(scheme), output)
    info(output)


def info(folder: Annotated[Path, typer.Argument(help="A tokenizer or model folder.")]) -> None:
    """Show the scheme of a tokenizer folder."""
    from genolm.tokenization.tokenizer_json import load_scheme

    scheme = load_scheme(folder)
    print(f"{scheme.name}: k {scheme.k}, stride {scheme.stride}, {scheme.vocab_size:,} tokens")


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="K-mer tokenizers.", no_args_is_help=True)
    group.command()(build)
    group.command()(info)
    app.add_typer(group, name="tokenizer")
