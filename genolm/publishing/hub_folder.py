"""A folder in Hugging Face hub format from a finished run, complete or not there at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import genolm
from genolm.errors import PublishError
from genolm.files import atomic_folder, compute_sha256, is_unused, read_json, write_json, write_text
from genolm.publishing.card.build import build_model_card
from genolm.publishing.figures import CAPTIONS, save_figures
from genolm.publishing.finished_run import (
    CONFIG_FILE,
    METRICS_FILE,
    RUN_CONFIG_FILE,
    WEIGHTS_FILE,
    FinishedRun,
)
from genolm.publishing.private_text import build_private_text, check_folder, redact
from genolm.publishing.verification import verify_folder
from genolm.tokenization.tokenizer_json import TOKENIZER_CONFIG_FILE, TOKENIZER_FILE

CARD_FILE, RESULTS_FOLDER, GENERATION_FILE = "README.md", ".eval_results", "generation_config.json"
PUBLISHED_KEY = "published"  # of run_config.json: by it a folder is known to be a publication


def write_hub_folder(
    run: FinishedRun,
    folder: Path,
    *,
    name: str,
    draft: bool = False,
    license: str | None = None,
    dataset: str | None = None,
    data: str | None = None,
) -> None:
    """Fill an empty folder with everything of a publication, and check it.

    Args:
        run: the finished run.
        folder: an empty folder that is there.
        name: of the model on the card, such as `ecoli-promoters` or `user/ecoli-promoters`.
        draft: whether facts may be missing on the card.
        license: of the model, as the hub calls it, such as apache-2.0.
        dataset: user/name on the hub of the data that the figures are about, if it is there.
        data: labeled sequences for the ROC curve; see `save_figures`.

    Raises:
        PublishError: facts are missing for the card, a file would tell of the machine, or the folder does not
            load without genolm as the run does with it.
    """
    card = build_model_card(run.folder, name=name, draft=draft, license=license, dataset=dataset)
    for file_name in _list_model_files(run):
        shutil.copyfile(run.folder / file_name, folder / file_name)
    figures = save_figures(run, folder, data=data)
    private = build_private_text()
    write_text(folder / CARD_FILE, _add_figures(redact(card.text, private), figures))
    for file_name, text in card.eval_results.items():
        write_text(folder / RESULTS_FOLDER / file_name, redact(text, private))
    over_seeds = {"over_seeds": card.over_seeds} if card.over_seeds else {}
    write_json(folder / METRICS_FILE, redact({**run.metrics, **over_seeds}, private))
    published = {"genolm": genolm.__version__, "name": name, "files": _compute_sums(folder)}
    write_json(folder / RUN_CONFIG_FILE, {**redact(run.run_config, private), PUBLISHED_KEY: published})
    check_folder(folder, private)
    verify_folder(folder, run)


@contextmanager
def replace_publication(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside the target that takes its place when the block succeeds.

    Raises:
        PublishError: the target holds something else than an untouched publication of genolm.
    """
    check_target(target)
    with atomic_folder(target) as temporary:
        yield temporary


def check_target(target: Path) -> None:
    """Check that a folder is new, empty, or a publication of genolm to which nothing was added.

    Raises:
        PublishError: it is not.
    """
    if is_unused(target):
        return
    found = f"{target} with files of another origin" if target.is_dir() else f"the file {target}"
    published = _read_published(target)
    if published:
        known = {RUN_CONFIG_FILE, *published["files"]}
        added = sorted(name for name in _list_files(target) if name not in known)
        if not added:
            return
        found = f"{added[0]} in {target}, which genolm did not put there"
    raise PublishError(
        found=found,
        expected="a new or empty folder, or a former publication, which is then replaced",
        remedy="choose another --to, or move the files away",
    )


def list_sizes(folder: Path) -> dict[str, int]:
    """Return the bytes of each file of a folder, by name, in order."""
    return {name: (folder / name).stat().st_size for name in _list_files(folder)}


def _list_model_files(run: FinishedRun) -> list[str]:
    """Name the files that transformers reads; a checkpoint, a log or a pickle is none of them."""
    names = [CONFIG_FILE, WEIGHTS_FILE, TOKENIZER_FILE, TOKENIZER_CONFIG_FILE, *run.code_files]
    return names + [name for name in [GENERATION_FILE] if (run.folder / name).is_file()]


def _add_figures(text: str, figures: list[str]) -> str:
    """Put the figures that a card does not show yet under it."""
    lines = [f"![{CAPTIONS[name]}]({name})" for name in figures if name not in text]
    return "\n\n".join([text.rstrip(), "## Figures", *lines]) + "\n" if lines else text


def _compute_sums(folder: Path) -> dict[str, str]:
    return {name: compute_sha256(folder / name) for name in _list_files(folder)}


def _list_files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _read_published(target: Path) -> dict[str, Any] | None:
    """Return what a publication says of itself, None of any other folder."""
    try:
        published = read_json(target / RUN_CONFIG_FILE)[PUBLISHED_KEY]
        return published if isinstance(published["files"], dict) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
