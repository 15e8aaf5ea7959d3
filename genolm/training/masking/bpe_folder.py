"""Model folders of BPE tokens: their tokenizer is the trained one, copied."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from genolm.errors import SettingsError
from genolm.files import atomic_folder, write_json
from genolm.tokenization.fast_tokenizer import load_tokenizer
from genolm.tokenization.tokenizer_json import TOKENIZER_CONFIG_FILE, TOKENIZER_FILE, load_any_scheme
from genolm.training.bad_batch import BAD_BATCH_NAME
from genolm.training.hardware.ranks import get_ranks
from genolm.training.loss_figure import plot_loss_curve
from genolm.training.masking.bpe import BpeTokens
from genolm.training.micro_batches import MICRO_BATCH_NAME


def finish_bpe_run_folder(
    folder: Path, *, model: PreTrainedModel, tokens: BpeTokens, metrics: dict[str, Any]
) -> None:
    """Do what `finish_run_folder` does, with the trained tokenizer in place of one that a scheme decides.

    Every process calls it; the main one writes.
    """

    def finish() -> None:
        with atomic_folder(folder / "model.finished") as temporary:
            model.save_pretrained(temporary)
            (temporary / "model.safetensors").chmod((temporary / "config.json").stat().st_mode)
            for name in (TOKENIZER_FILE, TOKENIZER_CONFIG_FILE):
                shutil.copyfile(tokens.folder / name, temporary / name)
        for file in (folder / "model.finished").iterdir():
            os.replace(file, folder / file.name)
        (folder / "model.finished").rmdir()
        plot_loss_curve(
            folder / "training_log.jsonl", folder / "loss_curve.png", best_step=metrics["best_step"]
        )
        write_json(folder / "metrics.json", metrics)
        for checkpoint in [*folder.glob("checkpoint-*"), *folder.glob("best-*")]:
            shutil.rmtree(checkpoint, ignore_errors=True)
        for name in (MICRO_BATCH_NAME, BAD_BATCH_NAME):
            (folder / name).unlink(missing_ok=True)

    get_ranks().on_main(finish)


def check_same_tokens(pretrained: Path, tokens: BpeTokens) -> None:
    """Refuse a model of other tokens: two trainings of one vocabulary size differ in them.

    Raises:
        SettingsError: it is one.
        RunFolderError: the folder has no intact tokenizer.
    """
    known = load_any_scheme(pretrained)
    if known == tokens.scheme and _read_merges(pretrained) == _read_merges(tokens.folder):
        return
    raise SettingsError(
        found=f"a model of other tokens ({known.name}) in {pretrained}",
        expected=f"one of the tokens in {tokens.folder}",
        remedy=f"give --tokenizer {pretrained}, or choose another model",
    )


def _read_merges(folder: Path) -> Any:
    """Return vocabulary and merges, in whatever form tokenizer.json has them."""
    return json.loads(load_tokenizer(folder).backend_tokenizer.to_str())["model"]
