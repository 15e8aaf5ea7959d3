"""Where a transformer looks: attention by head, and rolled out through the layers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genolm.alphabet import decode_bases, encode_bases, reverse_complement
from genolm.errors import SettingsError
from genolm.inference.classify import Classifier
from genolm.interpretation.gradients import divide_tokens, find_base_tokens
from genolm.interpretation.mutation_map import check_inputs
from genolm.models.strands import averages_strands
from genolm.progress import Reporter

ATTENDING_MODELS = ("bert", "modernbert")


class AttentionMap(NamedTuple):
    """How much attention the bases of one sequence get; each token's share divided over its bases."""

    rollout: npt.NDArray[np.float32]
    """[length_bp]"""
    heads: npt.NDArray[np.float32]
    """[layers, heads, length_bp]"""


def compute_attention_maps(
    classifier: Classifier, sequences: Sequence[str], *, reporter: Reporter | None = None
) -> list[AttentionMap]:
    """Compute the attention that the classifier pays to each base, from where its head reads.

    That is [CLS], or, of a ModernBERT that pools by the mean, the mean over all tokens. Rollout is that of
    Abnar and Zuidema 2020: the product of the layers' mean attention, half of each being the residual
    connection. Attention is not what a base contributes: compare with a mutation map.

    Args:
        classifier: a BERT or a ModernBERT, k-mers or BPE.
        sequences: upper-case DNA without white space.
        reporter: shows the progress.

    Raises:
        SettingsError: the model has no attention.
        DataError: a sequence is too short for a token, or too long for the model.
    """
    kind = classifier.model.config.model_type
    if kind not in ATTENDING_MODELS:
        raise SettingsError(
            found=f"a model of the kind {kind}, which has no attention",
            expected=f"one of {', '.join(ATTENDING_MODELS)}",
            remedy="use the method mutation or integrated_gradients",
        )
    check_inputs(classifier, sequences)
    maps = []
    title = "attention"
    with (reporter or Reporter()).task(title, total=len(sequences)) as task, _expose(classifier.model):
        for number, sequence in enumerate(sequences, start=1):
            found = _map_strand(classifier, sequence)
            if averages_strands(classifier.model.config):
                back = _map_strand(classifier, decode_bases(reverse_complement(encode_bases(sequence))))
                found = AttentionMap(
                    *(
                        ((ahead + turned[..., ::-1]) / 2).astype(np.float32)
                        for ahead, turned in zip(found, back, strict=True)
                    )
                )
            maps.append(found)
            task.update(number)
    return maps


@contextmanager
def _expose(model: Any) -> Iterator[None]:
    """Let the model give its attention weights inside the block."""
    former = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(former)


def _map_strand(classifier: Classifier, sequence: str) -> AttentionMap:
    model: Any = classifier.model
    ids = find_base_tokens(classifier, sequence)
    with torch.no_grad():
        output = model(input_ids=torch.from_numpy(ids)[None].to(model.device), output_attentions=True)
    weights_LHTT = torch.stack([layer[0] for layer in output.attentions]).double().cpu()
    reads_all = getattr(model.config, "classifier_pooling", "cls") == "mean"
    heads_LHT = weights_LHTT.mean(dim=2) if reads_all else weights_LHTT[:, :, 0]
    rolled_TT = roll_out(weights_LHTT.mean(dim=1))
    rolled_T = rolled_TT.mean(dim=0) if reads_all else rolled_TT[0]
    return AttentionMap(
        divide_tokens(classifier, rolled_T[1:-1].numpy(), ids, len(sequence)),
        divide_tokens(classifier, heads_LHT[..., 1:-1].numpy(), ids, len(sequence)),
    )


def roll_out(weights_LTT: Tensor) -> Tensor:
    """Multiply the attention of the layers, [layers, T, T], each mixed with the residual connection.

    >>> roll_out(torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])).tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    """
    identity_TT = torch.eye(weights_LTT.shape[-1], dtype=weights_LTT.dtype)
    rolled_TT = identity_TT
    for layer_TT in weights_LTT:
        rolled_TT = (layer_TT + identity_TT) / 2 @ rolled_TT
    return rolled_TT
