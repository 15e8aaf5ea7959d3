"""In which number format a model computes."""

from typing import Literal

import torch

from genolm.errors import SettingsError

Precision = Literal["auto", "no", "bf16", "fp16"]


def choose_precision(precision: Precision) -> str:
    """Resolve `auto`: bf16 where it is computed in hardware, else full precision.

    Raises:
        SettingsError: fp16 without a GPU.
    """
    if precision == "fp16" and not torch.cuda.is_available():
        raise SettingsError(
            found="precision fp16 on a machine without a GPU",
            expected="bf16 or no there",
            remedy="set precision: auto",
        )
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    has_bf16 = (
        torch.cpu._is_avx512_bf16_supported() if hasattr(torch.cpu, "_is_avx512_bf16_supported") else False
    )
    return "bf16" if has_bf16 else "no"
