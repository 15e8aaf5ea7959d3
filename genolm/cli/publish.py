"""`genolm publish`: a finished run as a Hugging Face folder, here or on the hub."""

from pathlib import Path
from typing import Annotated

import typer

from genolm.cli.console import open_model_reporter


def publish(
    run: Annotated[
        Path, typer.Argument(help="Folder of a finished training, or of genolm run.", show_default=False)
    ],
    to: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER or USER/NAME",
            help="Folder to write (./a/b, a, or a/b where a exists), or a name on the hub.  "
            "[default: published/NAME]",
        ),
    ] = None,
    license: Annotated[
        str | None, typer.Option(help="License of the model, as the hub calls it, such as apache-2.0.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(metavar="USER/NAME", help="Where the evaluated data is on the hub, if it is there."),
    ] = None,
    draft: Annotated[bool, typer.Option("--draft", help="Let facts be missing on the card.")] = False,
    data: Annotated[
        str | None,
        typer.Option(
            help="The run's labeled sequences, for a ROC curve: a file with splits, or builtin:NAME."
        ),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Make the new repository on the hub private.")
    ] = False,
    revision: Annotated[str | None, typer.Option(help="Branch on the hub.  [default: main]")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Build and check all, show the files, send and keep nothing.")
    ] = False,
) -> None:
    """Publish a finished run with its card; it is checked that it loads without genolm.

    A push takes its token from HF_TOKEN or hf auth login. Interrupted, the same command goes on.
    """
    from genolm.publishing.publication import publish_run

    done = publish_run(
        run,
        to=to,
        license=license,
        dataset=dataset,
        draft=draft,
        data=data,
        private=private,
        revision=revision,
        dry_run=dry_run,
        reporter=open_model_reporter(),
    )
    for name, size in done.size_bytes.items():
        print(f"{size:>13,} bytes  {name}")
    total = f"{len(done.size_bytes)} files, {sum(done.size_bytes.values()):,} bytes"
    if dry_run:
        print(f"dry run: {total}; nothing was sent or kept")
    else:
        print(f"published: {done.place} ({total}{', commit ' + done.commit if done.commit else ''})")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(publish)
