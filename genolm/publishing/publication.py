"""`genolm publish`: from a finished run to a folder or a hub, checked on the way."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from genolm.errors import SettingsError
from genolm.progress import Reporter
from genolm.publishing.finished_run import read_finished_run
from genolm.publishing.hub_folder import check_target, list_sizes, replace_publication, write_hub_folder
from genolm.publishing.push import check_account, check_repo_name, push_folder

DEFAULT_FOLDER = "published"


class Publication(NamedTuple):
    """What was published, or would be."""

    place: str
    """folder or address; empty after a dry run"""
    commit: str
    """on a hub, else empty"""
    size_bytes: dict[str, int]
    """of each file, by name"""


def publish_run(
    folder: Path,
    *,
    to: str | None = None,
    draft: bool = False,
    license: str | None = None,
    dataset: str | None = None,
    data: str | None = None,
    private: bool = False,
    revision: str | None = None,
    dry_run: bool = False,
    reporter: Reporter | None = None,
) -> Publication:
    """Publish a finished run as a Hugging Face model folder, in a folder or on the hub.

    Args:
        folder: of the run, or of `genolm run`, whose chosen model is published.
        to: a folder, or user/name on the hub; see `is_repo_name`. By default published/NAME.
        draft: whether facts may be missing on the card.
        license: of the model, as the hub calls it, such as apache-2.0.
        dataset: user/name on the hub of the data that the figures are about, if it is there.
        data: the labeled sequences of the run, for a ROC curve.
        private: make a new repository on the hub private.
        revision: branch on the hub.
        dry_run: build and check everything, then keep and send nothing.
        reporter: shows what goes on.

    Raises:
        PublishError: the run, the card, the target or the hub stand in the way; nothing is published.
        SettingsError: options of the hub for a folder.
    """
    reporter = reporter or Reporter()
    run = read_finished_run(folder)
    to = to or f"./{DEFAULT_FOLDER}/{run.name}"
    is_push = is_repo_name(to)
    if not is_push and (private or revision):
        raise SettingsError(
            found=f"{'--private' if private else '--revision'} for the folder {to}",
            expected="it for user/name on the hub",
            remedy="leave it out, or give --to user/name (from where no folder is called like the user)",
        )
    if is_push:
        check_repo_name(to)
        if not dry_run:
            reporter.note(f"  to the hub, as {check_account()}: {to}")
    else:
        check_target(Path(to))
    name = to if is_push else Path(to).resolve().name
    with _open_place(None if is_push or dry_run else Path(to)) as place:
        reporter.note("  building the folder; then it is loaded without genolm, and compared")
        write_hub_folder(run, place, name=name, draft=draft, license=license, dataset=dataset, data=data)
        size_bytes = list_sizes(place)
        if dry_run:
            return Publication("", "", size_bytes)
        if is_push:
            pushed = push_folder(place, to, private=private, revision=revision)
            return Publication(pushed.url, pushed.commit, size_bytes)
    return Publication(to, "", size_bytes)


def is_repo_name(to: str) -> bool:
    """Say whether a target is user/name on the hub, and no folder.

    A folder begins with `.`, `/` or `~`, has another number of slashes than one, or lies in a folder that is
    there: `runs/mine` is a folder where there are runs.

    >>> [is_repo_name(to) for to in ("ada/promoters", "./ada/promoters", "promoters", "a/b/c", "/a/b")]
    [True, False, False, False, False]
    """
    return bool(re.fullmatch(r"[^./~\\][^/\\]*/[^/\\]+", to)) and not Path(to).parent.is_dir()


@contextmanager
def _open_place(target: Path | None) -> Iterator[Path]:
    """Yield an empty folder that becomes the target, or that is gone afterwards."""
    if target is not None:
        with replace_publication(target) as temporary:
            yield temporary
    else:
        with TemporaryDirectory(prefix="genolm-publish-") as temporary_name:
            yield Path(temporary_name)
