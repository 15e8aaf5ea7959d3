"""The Accelerator of a training: device, processes, number format, trackers."""

import os
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.tracking import get_available_trackers
from accelerate.utils import DistributedDataParallelKwargs, LoggerType

from genolm.errors import SettingsError
from genolm.training.hardware.precision import Precision, choose_precision


def build_accelerator(
    precision: Precision,
    *,
    has_frozen_groups: bool = False,
    trackers: tuple[str, ...] = (),
    tracker_folder: Path | None = None,
) -> Accelerator:
    """Return an Accelerator; one process may use several precisions one after the other.

    Args:
        precision: of the forward pass.
        has_frozen_groups: some parameters get no gradient at some steps.
        trackers: where figures go besides the log, such as tensorboard.
        tracker_folder: for the files that trackers write.

    Raises:
        SettingsError: fp16 without a GPU, or a tracker that is not there.
    """
    _check_trackers(trackers)
    resolved = choose_precision(precision)
    if AcceleratorState._shared_state and AcceleratorState().mixed_precision != resolved:
        AcceleratorState._reset_state()
    return Accelerator(
        mixed_precision=resolved,
        cpu=not torch.cuda.is_available() and int(os.environ.get("WORLD_SIZE", "1")) > 1,
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=has_frozen_groups)],
        log_with=list(trackers) or None,
        project_dir=tracker_folder,
    )


def _check_trackers(trackers: tuple[str, ...]) -> None:
    known = [str(name) for name in LoggerType if name != "all"]
    available = [str(name) for name in get_available_trackers()]
    if missing := [name for name in trackers if name not in available]:
        is_known = missing[0] in known
        raise SettingsError(
            found=f"the tracker {missing[0]!r}, which is not {'installed' if is_known else 'known'}",
            expected=f"one of {', '.join(available if available and not is_known else known)}",
            remedy="pip install 'genolm[track]', or correct loop.trackers",
        )
