"""What a finished training left behind, checked before anything of it is published."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open

from genolm.errors import PublishError
from genolm.files import compute_sha256, read_json
from genolm.tokenization.tokenizer_json import TOKENIZER_CONFIG_FILE, TOKENIZER_FILE
from genolm.tokenization.tokens import Tokens, load_tokens

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
RUN_CONFIG_FILE, METRICS_FILE = "run_config.json", "metrics.json"
LOG_FILE, LOSS_FIGURE_FILE = "training_log.jsonl", "loss_curve.png"
NEEDED_FILES = (CONFIG_FILE, WEIGHTS_FILE, RUN_CONFIG_FILE, TOKENIZER_FILE, TOKENIZER_CONFIG_FILE)
# Which Auto class of transformers loads a model, by how the name of the model's class ends.
AUTO_CLASSES = {
    "ForCausalLM": "AutoModelForCausalLM",
    "ForMaskedLM": "AutoModelForMaskedLM",
    "ForSequenceClassification": "AutoModelForSequenceClassification",
    "ForTokenClassification": "AutoModelForTokenClassification",
}


class FinishedRun(NamedTuple):
    """A run folder whose files are all there and whole."""

    folder: Path
    training_folder: Path
    """that has the log of the training: of `runs/NAME/model` the classifier's that it is a copy of"""
    name: str
    """what the model is called unless the user says otherwise, such as quickstart"""
    auto_class: str
    """of transformers, such as AutoModelForCausalLM"""
    scheme: Tokens
    config: dict[str, Any]
    run_config: dict[str, Any]
    metrics: dict[str, Any]

    @property
    def is_language_model(self) -> bool:
        """Say whether the model predicts tokens, and no labels."""
        return self.auto_class in ("AutoModelForCausalLM", "AutoModelForMaskedLM")

    @property
    def code_files(self) -> tuple[str, ...]:
        """Names of the modeling files that config.json refers to; none for a class of transformers."""
        classes = self.config.get("auto_map", {}).values()
        return tuple(sorted({f"{name.partition('.')[0]}.py" for name in classes}))


def read_finished_run(folder: Path) -> FinishedRun:
    """Check a run folder and read it; of the folder of `genolm run`, the model that it chose.

    Raises:
        PublishError: the run is not finished, or a file of it is missing or damaged.
        RunFolderError: the tokenizer is damaged, or does not fit the model.
    """
    folder = folder.resolve()
    if not (folder / CONFIG_FILE).is_file() and (folder / "model" / CONFIG_FILE).is_file():
        folder = folder / "model"
    _check_complete(folder)
    config, run_config, metrics = (
        _read_object(folder / name) for name in (CONFIG_FILE, RUN_CONFIG_FILE, METRICS_FILE)
    )
    run = FinishedRun(
        folder=folder,
        training_folder=_find_training_folder(folder),
        name=_make_name(folder),
        auto_class=_find_auto_class(folder, config),
        scheme=load_tokens(folder),
        config=config,
        run_config=run_config,
        metrics=metrics,
    )
    for name in run.code_files:
        if not (folder / name).is_file():
            raise _make_error(f"no {name} in {folder}, which {CONFIG_FILE} refers to")
    _check_weights(folder / WEIGHTS_FILE)
    return run


def _check_complete(folder: Path) -> None:
    if not folder.is_dir():
        raise PublishError(
            found=f"no folder {folder}", expected="the folder of a finished run", remedy="correct the path"
        )
    if not (folder / METRICS_FILE).is_file():
        raise PublishError(
            found=f"an unfinished run in {folder} (no {METRICS_FILE})",
            expected="a run that has ended",
            remedy="give the training command again, which goes on where it stopped, then publish",
        )
    for name in NEEDED_FILES:
        if not (folder / name).is_file():
            raise _make_error(f"no {name} in {folder}")


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = read_json(path)
    except ValueError as error:
        raise _make_error(f"a damaged {path.name} in {path.parent} ({error})") from error
    if not isinstance(value, dict):
        raise _make_error(f"a {path.name} in {path.parent} that is no JSON object")
    return value


def _find_auto_class(folder: Path, config: dict[str, Any]) -> str:
    names = config.get("architectures") or ["no class"]
    for ending, auto_class in AUTO_CLASSES.items():
        if str(names[0]).endswith(ending):
            return auto_class
    raise PublishError(
        found=f"{names[0]} under architectures in {folder / CONFIG_FILE}",
        expected=f"a class whose name ends with one of {', '.join(AUTO_CLASSES)}",
        remedy="name the folder of a run of genolm",
    )


def _check_weights(path: Path) -> None:
    """Read every weight once; a model that holds NaN or infinity is no result."""
    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  it is no mapping
                tensor = file.get_tensor(name)
                if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                    raise _make_error(f"NaN or infinity in {name} of {path}")
    except (SafetensorError, OSError) as error:
        raise _make_error(f"a damaged {path.name} in {path.parent} ({error})") from error


def _find_training_folder(folder: Path) -> Path:
    """Return the folder beside `model` that has the same weights and a log, else the folder itself."""
    if (folder / LOG_FILE).is_file() or not _is_chosen_model(folder):
        return folder
    sha256 = compute_sha256(folder / WEIGHTS_FILE)
    for log in sorted(folder.parent.glob(f"*/{LOG_FILE}")):
        weights = log.parent / WEIGHTS_FILE
        if weights.is_file() and compute_sha256(weights) == sha256:
            return log.parent
    return folder


def _make_name(folder: Path) -> str:
    """Name a model after its run: `runs/quickstart/model` is quickstart, a stage quickstart-genome-lm."""
    if not (folder.parent / "report.json").is_file():
        return folder.name
    return folder.parent.name if _is_chosen_model(folder) else f"{folder.parent.name}-{folder.name}"


def _is_chosen_model(folder: Path) -> bool:
    """Say whether it is the folder into which `genolm run` copies the classifier that it chose."""
    return folder.name == "model" and (folder.parent / "report.json").is_file()


def _make_error(found: str) -> PublishError:
    return PublishError(
        found=found,
        expected="the whole folder of a finished run",
        remedy="copy the folder again, or train again",
    )
