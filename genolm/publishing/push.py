"""A publication on its way to a Hugging Face hub: one commit, or nothing.

All talking is done by huggingface_hub, at HF_ENDPOINT if that is set. The token comes from HF_TOKEN or the
login store and goes nowhere else. Files that an interrupted push has sent are not sent again: the hub's own
protocol asks for what it lacks.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError
from huggingface_hub.utils import validate_repo_id

import genolm
from genolm.errors import PublishError

MAIN_BRANCH = "main"
# What a publication may consist of; such files of an earlier one that the new one lacks are deleted.
OWN_FILES = (
    ".eval_results/*.yaml",
    "figures/*.png",
    "modeling_*.py",
    "*.safetensors",
    "generation_config.json",
)


class Pushed(NamedTuple):
    """Where a publication is now."""

    url: str
    commit: str
    """40 hexadecimal digits; it may be given as revision to from_pretrained"""


def check_repo_name(name: str) -> None:
    """Check what the hub demands of a name.

    Raises:
        PublishError: it is not user/name, or has letters that the hub refuses.
    """
    try:
        validate_repo_id(name)
        if name.count("/") != 1:
            raise HFValidationError(name)
    except HFValidationError:
        raise PublishError(
            found=f"the name {name!r}",
            expected="user/name of letters, digits, '-', '_' and '.', at most 96, without '--' and '..', and "
            "with neither '-' nor '.' at an end",
            remedy="correct --to, or write ./FOLDER for a folder",
        ) from None


def check_account() -> str:
    """Ask the hub whose token it is, and return that name; the first thing that a push does.

    Raises:
        PublishError: there is no token, the hub refuses it, or the hub is not reached.
    """
    if get_token() is None:
        raise PublishError(
            found="no credentials for the hub",
            expected="a token with the right to write, in HF_TOKEN or from hf auth login",
            remedy="make one under Settings, Access Tokens of the hub, then give the command again",
        )
    with _explain_hub("the account"):
        return str(_open_hub().whoami()["name"])


def push_folder(folder: Path, name: str, *, private: bool = False, revision: str | None = None) -> Pushed:
    """Send a publication as one commit; interrupted, the same call goes on.

    Args:
        folder: of the publication, checked.
        name: user/name; the repository is made if it is not there.
        private: make a new repository private; one that is public already is refused.
        revision: branch; by default main.

    Raises:
        PublishError: the hub refuses it or is not reached; then nothing is published, and a new repository at
            most is empty.
    """
    hub, branch = _open_hub(), revision or MAIN_BRANCH
    with _explain_hub(name):
        hub.create_repo(name, private=private or None, exist_ok=True)
        if private and not hub.model_info(name).private:
            raise PublishError(
                found=f"{name}, which is public already, and --private",
                expected="a private repository, or a new one",
                remedy="make it private in its settings on the hub, or choose another name",
            )
        if branch != MAIN_BRANCH:
            hub.create_branch(name, branch=branch, exist_ok=True)
        there = hub.list_repo_files(name, revision=branch)
        files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
        files = {file_name: path for file_name, path in files.items() if path.is_file()}
        commit = hub.create_commit(
            name,
            [
                *(CommitOperationDelete(path) for path in there if path not in files and _is_own(path)),
                *(CommitOperationAdd(file_name, path) for file_name, path in files.items()),
            ],
            commit_message=f"Publish with genolm {genolm.__version__}",
            revision=branch,
        )
    return Pushed(f"{hub.endpoint}/{name}", commit.oid)


def _open_hub() -> HfApi:
    return HfApi(library_name="genolm", library_version=genolm.__version__)


def _is_own(path: str) -> bool:
    return any(fnmatch(path, pattern) for pattern in OWN_FILES)


@contextmanager
def _explain_hub(what: str) -> Iterator[None]:
    """Turn every way in which a hub can fail into one line; the token is in none of them."""
    try:
        yield
    except HfHubHTTPError as error:
        raise _explain_answer(error, what) from error
    except ValueError as error:  # metadata of the card, or an answer, that is not as it should be
        raise PublishError(
            found=f"{_shorten(error)} ({what})",
            expected="a card and files that the hub takes",
            remedy="correct what it names; nothing was published",
        ) from error
    # HTTPError is that of the hub's HTTP library; RuntimeError says which file was on its way.
    except (HTTPError, OSError, RuntimeError) as error:
        raise PublishError(
            found=f"no answer of the hub for {what} ({_shorten(error)})",
            expected="a network, and HF_ENDPOINT and HF_HUB_OFFLINE unset or right",
            remedy="give the same command again, which goes on where it stopped",
        ) from error


def _explain_answer(error: HfHubHTTPError, what: str) -> PublishError:
    status = error.response.status_code
    said = f"HTTP {status} of the hub for {what} ({_shorten(error.server_message or error)})"
    if status in (401, 403):
        return PublishError(
            found=said,
            expected="a token with the right to write there, in HF_TOKEN or from hf auth login",
            remedy="take another token, or another name behind --to",
        )
    return PublishError(
        found=said,
        expected="a hub that takes the files",
        remedy="correct what it names, or give the same command again later, which goes on where it stopped",
    )


def _shorten(error: object) -> str:
    """Return the first line of a message, without the token, if that should ever stand in it."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    token = get_token()
    text = text.replace(token, "[token]") if token else text
    return re.sub(r"\s+", " ", text).rstrip(".:")[:200]
