"""What a training costs: floating-point operations per token, and peak memory."""

import sys

import torch
from torch import nn

from genolm.models import AwdLstmForCausalLM


def estimate_flops_per_token(model: nn.Module, *, sequence_length: int) -> float:
    """Estimate the operations that a training step needs per token, forward and backward.

    6 for each weight that multiplies, and 12 * layers * width * sequence_length for self-attention (Chowdhery
    et al. 2022, arXiv 2204.02311, appendix B). Operations that are repeated to save memory do not count, so
    divided by the peak of the hardware this is the model FLOP utilization.

    Matrices count, but for embeddings, which are looked up. A decoder tied to an embedding does multiply, so
    it counts; of the decoder of an AWD-LSTM with the successor softmax only the 4 ** stride rows that are
    scored for a token. Every weight is taken to learn, to be used for every token, and every layer to attend
    to the whole sequence: frozen layers, heads that see one vector of a sequence or masked tokens alone, and
    sliding windows need less.

    Args:
        model: not wrapped; with `config.num_attention_heads` if it attends to itself.
        sequence_length: tokens that attend to each other.
    """
    weights = sum(
        parameter.numel()
        for module in model.modules()
        if not isinstance(module, nn.Embedding)
        for parameter in module.parameters(recurse=False)
        if parameter.ndim == 2
    )
    if isinstance(model, AwdLstmForCausalLM) and model.config.successor_softmax:
        num_unscored = model.config.vocab_size - 4**model.config.kmer_stride
        weights -= num_unscored * model.config.embedding_size
    flops = 6.0 * weights
    config = getattr(model, "config", None)
    if getattr(config, "num_attention_heads", None):
        flops += 12.0 * config.num_hidden_layers * config.hidden_size * sequence_length  # type: ignore[union-attr]
    return flops


def read_peak_memory_bytes(device: torch.device) -> int:
    """Return the most memory this process has held: on the GPU if `device` is one, else resident."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux KiB
