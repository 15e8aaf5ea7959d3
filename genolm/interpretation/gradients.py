"""Saliency, gradient x input and integrated gradients, by token and by base, of any classifier.

The gradient is that of the score by the embedding of each token. So that every model gives it, also one that
takes no embeddings, each token of the batch gets a row of its own in the embedding's matrix for this call.

Shapes: R rows, T tokens without [CLS] and [SEP], D width of the embedding, V vocabulary.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genolm.alphabet import decode_bases, encode_bases, reverse_complement
from genolm.errors import DataError, SettingsError
from genolm.inference.classify import Classifier
from genolm.interpretation.bases import divide_over_bases, find_token_lengths
from genolm.interpretation.mutation_map import check_inputs
from genolm.interpretation.targets import Target, compute_target
from genolm.models.scoring import find_max_tokens
from genolm.models.strands import averages_strands
from genolm.progress import Reporter
from genolm.tokenization.encoder import encode_sequences
from genolm.tokenization.scheme import CLS_ID, NUM_SPECIAL_TOKENS, SEP_ID, KmerScheme

GradientMethod = Literal["saliency", "gradient_x_input", "integrated_gradients"]


class GradientMap(NamedTuple):
    """What the bases of one sequence contribute, and the scores that integrated gradients go between."""

    contributions: npt.NDArray[np.float32]
    """[length_bp]; each token's value divided over its bases, see `genolm.interpretation.bases`"""
    score: float
    baseline_score: float
    """of the sequence with the mean embedding of all k-mers or merges in the place of each token"""


def compute_gradient_maps(
    classifier: Classifier,
    sequences: Sequence[str],
    *,
    target: Target,
    method: GradientMethod = "integrated_gradients",
    steps: int = 64,
    batch_size: int = 64,
    reporter: Reporter | None = None,
) -> list[GradientMap]:
    """Compute what each base contributes to the score, by gradients.

    Saliency is the length of a token's gradient (Simonyan et al. 2013), never negative; gradient x input its
    product with the embedding; integrated gradients (Sundararajan et al. 2017) the mean gradient on the line
    from a baseline to the embedding, times their difference, by the midpoint rule: their sum over the
    sequence is score minus baseline_score, but for the error of the rule.

    Args:
        classifier: of any architecture and tokenizer.
        sequences: upper-case DNA without white space.
        target: what the score is; log-odds do not flatten where the model is sure.
        method: one of the three.
        steps: points on the line, of integrated gradients.
        batch_size: points at a time.
        reporter: shows the progress.

    Raises:
        SettingsError: there is no such method, or steps is below 1.
        DataError: a sequence is too short for a token, or too long for the model.
    """
    if method not in get_args(GradientMethod) or steps < 1:
        raise SettingsError(
            found=f"the method {method!r} with {steps} steps",
            expected=f"one of {', '.join(get_args(GradientMethod))}, and at least 1 step",
            remedy="correct it",
        )
    check_inputs(classifier, sequences)
    maps = []
    with (reporter or Reporter()).task(method.replace("_", " "), total=len(sequences)) as task:
        for number, sequence in enumerate(sequences, start=1):
            found = _explain_strand(classifier, sequence, target, method, steps, batch_size)
            if averages_strands(classifier.model.config):
                other = decode_bases(reverse_complement(encode_bases(sequence)))
                back = _explain_strand(classifier, other, target, method, steps, batch_size)
                found = GradientMap(
                    ((found.contributions + back.contributions[::-1]) / 2).astype(np.float32),
                    (found.score + back.score) / 2,
                    (found.baseline_score + back.baseline_score) / 2,
                )
            maps.append(found)
            task.update(number)
    return maps


def find_base_tokens(classifier: Classifier, sequence: str) -> npt.NDArray[np.int64]:
    """Encode one sequence, [CLS] and [SEP] included: int64 [tokens].

    Raises:
        DataError: the model would read it by windows, which neither gradients nor attention go through.
    """
    ids = encode_sequences([sequence], classifier.scheme, dtype=np.int64)[0]
    limit = find_max_tokens(classifier.model.config)
    if limit is not None and len(ids) > limit:
        raise DataError(
            found=f"a sequence of {len(ids):,} tokens",
            expected=f"at most {limit:,}, the positions of the model",
            remedy="shorten the sequence, or use the method mutation, which reads it by windows",
        )
    return np.asarray(ids, dtype=np.int64)


def divide_tokens(
    classifier: Classifier, values: npt.NDArray[Any], ids: npt.NDArray[np.int64], length_bp: int
) -> npt.NDArray[np.float32]:
    """Divide values [..., tokens] of tokens without [CLS] and [SEP] over the bases: [..., length_bp]."""
    tokens = classifier.scheme
    stride = tokens.stride if isinstance(tokens, KmerScheme) else None
    lengths_bp = find_token_lengths(ids[1:-1], tokens)
    return divide_over_bases(values, lengths_bp, stride=stride, length_bp=length_bp).astype(np.float32)


def _explain_strand(
    classifier: Classifier,
    sequence: str,
    target: Target,
    method: GradientMethod,
    steps: int,
    batch_size: int,
) -> GradientMap:
    ids = find_base_tokens(classifier, sequence)
    table_VD = _find_embedding(classifier.model).weight.detach()
    embedded_TD = table_VD[torch.from_numpy(ids[1:-1]).to(table_VD.device)]
    baseline_TD = table_VD[NUM_SPECIAL_TOKENS:].mean(dim=0).expand_as(embedded_TD)
    ends = _compute_gradients(classifier, torch.stack([embedded_TD, baseline_TD]), target)
    if method == "saliency":
        values_T = ends.gradients_RTD[0].norm(dim=-1)
    elif method == "gradient_x_input":
        values_T = (ends.gradients_RTD[0] * embedded_TD).sum(dim=-1)
    else:
        change_TD = embedded_TD - baseline_TD
        shares = (torch.arange(steps, device=table_VD.device) + 0.5) / steps
        total_TD = torch.zeros_like(change_TD)
        for part in shares.split(batch_size):
            points = baseline_TD + part[:, None, None] * change_TD
            total_TD += _compute_gradients(classifier, points, target).gradients_RTD.sum(dim=0)
        values_T = (total_TD / steps * change_TD).sum(dim=-1)
    contributions = divide_tokens(classifier, values_T.double().cpu().numpy(), ids, len(sequence))
    return GradientMap(contributions, *ends.scores_R.tolist())


class _Gradients(NamedTuple):
    gradients_RTD: Tensor
    scores_R: Tensor


def _compute_gradients(classifier: Classifier, embedded_RTD: Tensor, target: Target) -> _Gradients:
    """Return the gradient of the score by each embedding, and the scores.

    The special tokens keep their rows of the matrix; the tokens of the batch are numbered behind them.
    """
    model: Any = classifier.model
    embedding = _find_embedding(model)
    (name,) = [name for name, each in model.named_modules() if each is embedding]
    embedded_RTD = embedded_RTD.detach().requires_grad_()
    rows, num_tokens, width = embedded_RTD.shape
    special_VD = embedding.weight.detach()[:NUM_SPECIAL_TOKENS]
    table_VD = torch.cat([special_VD, embedded_RTD.reshape(-1, width)])
    ids_RT = torch.arange(rows * num_tokens, device=table_VD.device).view(rows, num_tokens)
    ends = torch.tensor([[CLS_ID, SEP_ID]], device=table_VD.device).expand(rows, 2)
    ids_RT = torch.cat([ends[:, :1], ids_RT + NUM_SPECIAL_TOKENS, ends[:, 1:]], dim=1)
    with torch.enable_grad():
        output = torch.func.functional_call(model, {f"{name}.weight": table_VD}, kwargs={"input_ids": ids_RT})
        scores_R = compute_target(output.logits.float(), target)
        (gradients_RTD,) = torch.autograd.grad(scores_R.sum(), embedded_RTD)
    return _Gradients(gradients_RTD, scores_R.detach())


def _find_embedding(model: Any) -> Any:
    """Return the module with the embedding's matrix; the AWD-LSTM's heads do not tell it themselves."""
    return getattr(model, "awd_lstm", model).get_input_embeddings()
