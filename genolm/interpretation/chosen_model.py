"""What a variant table and a genome scan ask of a model: a length of window, and a way to compute."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from genolm.errors import SettingsError
from genolm.files import read_json
from genolm.models.cpu_kernels import choose_cpu_kernels
from genolm.models.scoring import find_max_tokens
from genolm.tokenization.scheme import KmerScheme
from genolm.tokenization.tokens import Tokens
from genolm.training.hardware.precision import Precision, choose_precision


def find_window_bp(folder: Path, given_bp: int | None) -> int:
    """Return how many bases the model shall see: what is given, or what it was trained on if that is known.

    Known it is from run_config.json (the windows of a masked language model), from metrics.json (a classifier
    that was trained on sequences of one length), or from the data_audit.json of the training or of its run.

    Raises:
        SettingsError: it is neither given nor known, or below 1.
    """
    window_bp = given_bp if given_bp is not None else _read_window_bp(folder)
    if window_bp is None or window_bp < 1:
        raise SettingsError(
            found=f"a window of {window_bp} bp"
            if window_bp is not None
            else f"no length of the training sequences in {folder}",
            expected="a length in bp, best that of the sequences that the model was trained on",
            remedy="set --window-bp",
        )
    return window_bp


def _read_window_bp(folder: Path) -> int | None:
    config_path = folder / "run_config.json"
    if config_path.is_file():
        windows: dict[str, Any] = read_json(config_path).get("settings", {}).get("windows") or {}
        if "length_bp" in windows:
            return int(windows["length_bp"])
    metrics_path = folder / "metrics.json"
    trained_bp = read_json(metrics_path).get("train_lengths_bp") if metrics_path.is_file() else None
    if trained_bp is not None:
        return int(trained_bp[0]) if trained_bp[0] == trained_bp[1] else None
    for path in (folder / "data_audit.json", folder.resolve().parent / "data_audit.json"):
        if path.is_file():
            classes = read_json(path)["classes"]
            lengths_bp = {int(each[name]) for each in classes for name in ("min_bp", "max_bp")}
            return lengths_bp.pop() if len(lengths_bp) == 1 else None
    return None


@contextmanager
def open_for_inference(
    model: PreTrainedModel, *, precision: Precision, num_tokens: int
) -> Iterator[PreTrainedModel]:
    """Put a model on the GPU if there is one, and compute in a number format inside the block.

    Args:
        model: in eval mode; it is moved.
        precision: `auto` is bf16 where the machine computes it in hardware.
        num_tokens: most tokens of a sequence.
    """
    chosen = choose_precision(precision)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)  # type: ignore[arg-type]
    dtype = torch.float16 if chosen == "fp16" else torch.bfloat16
    with (
        choose_cpu_kernels(model, chosen, num_tokens=num_tokens),
        torch.autocast(device.type, dtype=dtype, enabled=chosen != "no"),
    ):
        yield model


def check_window(config: Any, scheme: Tokens, *, window_bp: int) -> None:
    """Check that a window gives a token, and that the model has positions for all of them.

    Raises:
        SettingsError: the window is too short or too long.
    """
    limit = find_max_tokens(config)
    longest_bp = None
    if limit is not None and isinstance(scheme, KmerScheme):
        longest_bp = (limit - 3) * scheme.stride + scheme.k
    if window_bp < scheme.min_length_bp or (longest_bp is not None and window_bp > longest_bp):
        raise SettingsError(
            found=f"a window of {window_bp:,} bp",
            expected=f"{scheme.min_length_bp} bp or more"
            + (f", and at most {longest_bp:,} bp, the positions of the model" if longest_bp else ""),
            remedy="set another --window-bp",
        )
