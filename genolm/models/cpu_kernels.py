"""The fastest kernels of a CPU for a network, attention above all, and memory kept from step to step.

Shapes: B batch, H heads, T tokens, D width of a head.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    BertModel,
    ModernBertModel,
    PreTrainedModel,
)
from transformers.masking_utils import sdpa_mask

PRODUCT_ATTENTION = "genolm_products"
MAX_PRODUCT_TOKENS = 514  # 512 and both ends; a prediction over 1,024 takes 1.2 times as long as with SDPA
MAX_FP32_ERROR = 1e-5  # of a product relative to its largest entry: bf16 is off by 1e-3, fp32 by 1e-7
# of malloc.h, for mallopt
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4

_is_chosen = ContextVar("_is_chosen", default=False)  # inside of a block of `choose_cpu_kernels`


def compute_product_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend by a matrix product, a softmax and a matrix product, as transformers' AttentionInterface asks.

    On a CPU the fused kernel behind SDPA takes longer: forth and back over 16 x 512 tokens of 4 heads 1.6
    times as long in bf16, as its inner loop works in fp32, and 1.3 times in fp32; over 32 x 128 tokens 3
    times in fp32.

    Args:
        module: the attention layer, asked only whether it is training.
        query: [B, H, T, D]; key and value the same.
        attention_mask: bool [B, 1, T, T], True where a token may be seen; None if all may.
        dropout: probability that an attention weight is dropped.
        scaling: factor of the scores; 1 / sqrt(D) if None.

    Returns:
        [B, T, H, D], and None in place of the attention weights.
    """
    batch, heads, tokens, width = query.shape
    scale = width**-0.5 if scaling is None else scaling
    query, key, value = (part.reshape(batch * heads, -1, width) for part in (query, key, value))
    scores = torch.bmm(query * scale, key.transpose(1, 2))
    if attention_mask is not None:
        # In place and unseen by autograd: the weight of a masked token is 0, and so is its gradient already.
        with torch.no_grad():
            rows = scores.view(batch, heads, tokens, -1)
            rows.masked_fill_(~attention_mask, torch.finfo(scores.dtype).min)
    weights = nn.functional.dropout(scores.softmax(dim=-1), p=dropout, training=module.training)
    attended = torch.bmm(weights, value).view(batch, heads, tokens, width)
    return attended.transpose(1, 2).contiguous(), None


@contextmanager
def choose_cpu_kernels(model: PreTrainedModel, precision: str, *, num_tokens: int) -> Iterator[None]:
    """Compute with the fastest kernels of the CPU inside the block; restore the former choice after it.

    Attention of a BERT or ModernBERT over at most 514 tokens goes through `compute_product_attention`,
    where the class of the model lets it be exchanged (the ModernBERT of transformers 5.0 does not). In bf16,
    a BERT hands bf16 from layer to layer (see `_keep_bf16_between_layers`). In fp32, matrix products go to
    oneDNN instead of MKL, which runs at half speed on processors of other makers than its own;
    torch.set_float32_matmul_precision("medium") does that, and where it would also round to bf16 (on
    processors with AMX) products and attention are left alone. All keep freed memory (see
    `keep_freed_memory`). The choice depends on the machine and on the arguments only, never on a measured
    time, so that a run goes on with the same kernels. On a machine with a GPU the model is left as it is (a
    training will move it there), and in a block inside of such a block nothing changes. Nothing of this is
    saved with the model.

    Args:
        model: not wrapped, on the device where it computes.
        precision: "bf16" if the model runs under bf16 autocast, "no" for fp32.
        num_tokens: most tokens of a sequence.
    """
    if _is_chosen.get() or model.device.type != "cpu" or torch.accelerator.is_available():
        yield
        return
    former_attention = model.config._attn_implementation
    former_products = torch.get_float32_matmul_precision()
    has_exact_products = precision == "no" and _is_medium_exact()
    with ExitStack() as to_restore:
        to_restore.callback(_is_chosen.reset, _is_chosen.set(True))
        to_restore.callback(torch.set_float32_matmul_precision, former_products)
        to_restore.callback(_restore_attention, model, former_attention)
        if has_exact_products:
            torch.set_float32_matmul_precision("medium")
        is_transformer = isinstance(model.base_model, BertModel | ModernBertModel)
        is_fast = num_tokens <= MAX_PRODUCT_TOKENS and (precision == "bf16" or has_exact_products)
        if is_transformer and is_fast:
            AttentionInterface.register(PRODUCT_ATTENTION, compute_product_attention)
            AttentionMaskInterface.register(PRODUCT_ATTENTION, sdpa_mask)
            model.set_attn_implementation(PRODUCT_ATTENTION)
        if precision == "bf16" and isinstance(model.base_model, BertModel):
            hook = model.base_model.embeddings.register_forward_hook(_keep_bf16_between_layers)
            to_restore.callback(hook.remove)
        to_restore.enter_context(keep_freed_memory())
        yield


def _restore_attention(model: PreTrainedModel, name: str) -> None:
    if model.config._attn_implementation != name:
        model.set_attn_implementation(name)


def _keep_bf16_between_layers(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
    """Let the embeddings come as bf16 under autocast, as a hook; all layers behind them then do the same.

    Autocast leaves the sums between layers in fp32 and copies them to bf16 for each product: 7 % of a step. A
    BERT normalizes after every sum, so nothing small is lost in a growing one; a ModernBERT, whose sum runs
    through all layers, is left alone.
    """
    return output.bfloat16() if torch.is_autocast_enabled("cpu") else output


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """Let the process keep the memory of freed tensors for the next ones inside the block.

    The C library of Linux (glibc) gives every block over 32 MB back to the system when it is freed, and what
    lies free at the end of its heap too. The next step gets it again page by page, each zeroed by the system:
    a tensor of 33 MB (the attention scores of 64 heads and 512 tokens) then costs as much as the product
    that fills it. Elsewhere this does nothing. After the block glibc has the limits again at which its own
    adjustment ends once a large block was freed.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    set_option = getattr(library, "mallopt", None)  # musl has none
    if set_option is None:
        yield
        return
    set_option(M_MMAP_MAX, 0)
    set_option(M_TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        set_option(M_MMAP_MAX, 65536)
        set_option(M_MMAP_THRESHOLD, 32 * 2**20)
        set_option(M_TRIM_THRESHOLD, 64 * 2**20)


def _is_medium_exact() -> bool:
    """Say whether a product of "medium" precision still has the digits of fp32 on this machine."""
    return _measure_medium_error() < MAX_FP32_ERROR


@cache
def _measure_medium_error() -> float:
    """Return how far a product of "medium" precision is off here, relative to its largest entry."""
    former = torch.get_float32_matmul_precision()
    left = torch.linspace(-1, 1, 256 * 256).view(256, 256).sin()
    exact = left.double() @ left.double().T
    try:
        torch.set_float32_matmul_precision("medium")
        return float((left @ left.T - exact).abs().max() / exact.abs().max())
    finally:
        torch.set_float32_matmul_precision(former)
