"""Masked language models in the classes of transformers, and their training step.

Nothing of genolm is in a saved model: it is a plain BertForMaskedLM or ModernBertForMaskedLM.

Shapes: B batch, T tokens, D width, V vocabulary, N positions that have a label.
"""

from dataclasses import dataclass
from pathlib import Path
from types import MethodType
from typing import Any, Literal

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor
from transformers import (
    BertConfig,
    BertForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import MaskedLMOutput

from genolm.errors import RunFolderError, SettingsError
from genolm.files import read_json
from genolm.tokenization.scheme import CLS_ID, MASK_ID, PAD_ID, SEP_ID, BpeScheme, KmerScheme

IGNORED_LABEL = -100
# The head runs on a multiple of so many rows: for each new number of them oneDNN builds its kernels and keeps
# them (each step of 32 x 256 tokens then takes up to 20 MB more, and the head is 1.4 times as slow).
HEAD_ROWS = 128
LOSS_ROWS = 256  # whose loss and gradient are computed at once
MODEL_CLASSES: dict[str, tuple[type[PretrainedConfig], type[PreTrainedModel]]] = {
    "bert": (BertConfig, BertForMaskedLM),
    "modernbert": (ModernBertConfig, ModernBertForMaskedLM),
}
# layers, width, heads; the inner layer of the feed-forward part is 4 times as wide
SIZES = {
    "debug": (2, 32, 2),
    "mini": (5, 128, 4),  # a ModernBERT of 3-mers takes 4 MB
    "tiny": (4, 256, 4),
    "small": (6, 512, 8),
    "base": (12, 768, 12),
}


@dataclass(frozen=True, kw_only=True)
class BertSettings:
    """Architecture and size of a masked language model; base is that of DNABERT (Ji et al. 2021)."""

    architecture: Literal["bert", "modernbert"] = "bert"
    size: Literal["debug", "mini", "tiny", "small", "base"] = "base"
    max_tokens: int = 512  # of a sequence, [CLS] and [SEP] included
    hidden_dropout: float = 0.0  # a genome is seen about once, so there is little to overfit; DNABERT has 0.1
    attention_dropout: float = 0.0  # with any, the SDPA of a CPU leaves its fused kernel: half the speed

    def __post_init__(self) -> None:
        """Check the choices and the ranges."""
        if self.architecture not in MODEL_CLASSES or self.size not in SIZES:
            raise SettingsError(
                found=f"architecture {self.architecture!r}, size {self.size!r}",
                expected=f"one of {', '.join(MODEL_CLASSES)} and one of {', '.join(SIZES)}",
                remedy="correct the model settings",
            )
        dropouts = (self.hidden_dropout, self.attention_dropout)
        if self.max_tokens < 3 or not all(0 <= dropout < 1 for dropout in dropouts):
            raise SettingsError(
                found=f"max_tokens {self.max_tokens}, dropouts {dropouts}",
                expected="max_tokens of at least 3 ([CLS], one token, [SEP]), dropouts from 0 to below 1",
                remedy="correct the model settings",
            )


def build_masked_lm(
    scheme: KmerScheme | BpeScheme, settings: BertSettings, *, seed: int
) -> BertForMaskedLM | ModernBertForMaskedLM:
    """Return a model with random weights, a function of the seed; the global random state is left alone.

    The special ids are those of the scheme; the vocabulary is exactly the scheme's.
    """
    config_class, model_class = MODEL_CLASSES[settings.architecture]
    config = config_class(**_build_config(scheme, settings))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any = model_class(config)
    return model


def _build_config(scheme: KmerScheme | BpeScheme, settings: BertSettings) -> dict[str, Any]:
    layers, width, heads = SIZES[settings.size]
    entries: dict[str, Any] = {
        "vocab_size": scheme.vocab_size,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "max_position_embeddings": settings.max_tokens,
        "pad_token_id": PAD_ID,
        "cls_token_id": CLS_ID,
        "sep_token_id": SEP_ID,
        "mask_token_id": MASK_ID,
        "attention_dropout": settings.attention_dropout,
    }
    if settings.architecture == "bert":
        entries |= {
            "intermediate_size": 4 * width,
            "type_vocab_size": 2,  # as DNABERT has, so that its weights fit
            "hidden_dropout_prob": settings.hidden_dropout,
            "attention_probs_dropout_prob": entries.pop("attention_dropout"),
        }
    else:
        entries |= {
            # Its gated feed-forward part has 3 matrices, not 2, so this gives BERT's number of weights.
            "intermediate_size": 32 * round(8 * width / 3 / 32),
            "embedding_dropout": settings.hidden_dropout,
            "mlp_dropout": settings.hidden_dropout,
            "bos_token_id": CLS_ID,  # the class's own lie outside a small vocabulary
            "eos_token_id": SEP_ID,
        }
    return entries


def load_masked_lm(
    folder: Path,
    scheme: KmerScheme | BpeScheme,
    *,
    hidden_dropout: float | None = None,
    attention_dropout: float | None = None,
) -> BertForMaskedLM | ModernBertForMaskedLM:
    """Return the model of a folder, to go on training it: genolm's, or a published BERT such as DNABERT.

    No code of the folder runs, and no pickle is read. The weights come as float32.

    Args:
        folder: with config.json and safetensors.
        scheme: that the training will use.
        hidden_dropout: in place of the folder's, if given; so is attention_dropout.

    Raises:
        RunFolderError: the folder has no model of a known architecture, no whole safetensors, or no LM head.
        SettingsError: the vocabularies of the folder and of the scheme differ.
    """
    config_class, model_class = MODEL_CLASSES[_find_architecture(folder)]
    _check_weight_files(folder)
    config: Any = config_class.from_pretrained(folder)
    if config.vocab_size != scheme.vocab_size:
        raise SettingsError(
            found=f"a model of {config.vocab_size:,} tokens in {folder}",
            expected=f"{scheme.vocab_size:,} tokens, as {scheme.name} has",
            remedy="choose the tokenizer that the model was trained with",
        )
    _set_dropouts(config, hidden_dropout, attention_dropout)
    try:
        loaded: Any = model_class.from_pretrained(
            folder, config=config, dtype=torch.float32, use_safetensors=True, output_loading_info=True
        )
    except (OSError, RuntimeError, SafetensorError) as error:
        raise _make_folder_error(f"weights that cannot be read ({_take_line(error)})", folder) from error
    model, report = loaded
    if missing := sorted(report["missing_keys"]):
        raise _make_folder_error(
            f"no weights for {len(missing)} parameters, among them {missing[0]},", folder
        )
    return model


def _find_architecture(folder: Path) -> str:
    """Read the architecture from config.json; DNABERT's oldest ones name no model_type, but the class."""
    path = folder / "config.json"
    if not path.is_file():
        raise _make_folder_error("no config.json", folder)
    try:
        content = read_json(path)
    except ValueError as error:
        raise _make_folder_error("a config.json that is not JSON", folder) from error
    content = content if isinstance(content, dict) else {}
    classes = content.get("architectures") or [""]
    found = content.get("model_type") or str(classes[0]).split("For")[0].lower()
    if found not in MODEL_CLASSES:
        raise _make_folder_error(f"the architecture {found!r}", folder)
    return str(found)


def _check_weight_files(folder: Path) -> None:
    if any(folder.glob("*.safetensors")):
        return
    pickles = sorted(path.name for path in folder.glob("pytorch_model*.bin"))
    if not pickles:
        raise _make_folder_error("no *.safetensors", folder)
    raise RunFolderError(
        found=f"{pickles[0]} and no model.safetensors in {folder}",
        expected="safetensors: the other is a pickle, which may run code when it is read",
        remedy="if you trust its source, convert it: python -c "
        f"\"from transformers import BertForMaskedLM as M; M.from_pretrained('{folder}')"
        f".save_pretrained('{folder}-safetensors')\"",
    )


def _set_dropouts(config: Any, hidden: float | None, attention: float | None) -> None:
    is_bert = isinstance(config, BertConfig)
    if hidden is not None:
        for name in ("hidden_dropout_prob",) if is_bert else ("embedding_dropout", "mlp_dropout"):
            setattr(config, name, hidden)
    if attention is not None:
        setattr(config, "attention_probs_dropout_prob" if is_bert else "attention_dropout", attention)


def _make_folder_error(found: str, folder: Path) -> RunFolderError:
    return RunFolderError(
        found=f"{found} in {folder}",
        expected="config.json and safetensors of a BertForMaskedLM or a ModernBertForMaskedLM",
        remedy="name a folder that `genolm pretrain masked` wrote, or a published one such as DNABERT's",
    )


def _take_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def use_masked_only_head(model: BertForMaskedLM | ModernBertForMaskedLM) -> None:
    """Let the model run its head and its loss on the labelled positions alone, when labels are given.

    Of 512 tokens about 77 have a label, and the head is a third of a small model's work. Only `model.forward`
    is set, on this object: class, parameter names and what is saved stay those of transformers. A call
    without labels gives what it always gave.
    """
    model.forward = MethodType(_compute_masked_only, model)


def compute_head_logits(model: BertForMaskedLM | ModernBertForMaskedLM, hidden_ND: Tensor) -> Tensor:
    """Run the language model's head on some positions of the encoder's output: float32 [N, V]."""
    return _run_head(model, hidden_ND)[: len(hidden_ND)].float()


def _run_head(model: BertForMaskedLM | ModernBertForMaskedLM, hidden_ND: Tensor) -> Tensor:
    """Return the logits of the positions, and of zeros behind them until HEAD_ROWS divides the rows."""
    filled = F.pad(hidden_ND, (0, 0, 0, -len(hidden_ND) % HEAD_ROWS))
    is_bert = isinstance(model, BertForMaskedLM)
    scores: Any = model.cls(filled) if is_bert else model.decoder(model.head(filled))  # type: ignore[operator]
    logits: Tensor = scores
    return logits


class SummedCrossEntropy(torch.autograd.Function):
    """The cross entropy, weighted and summed over rows, whose gradient takes the place of the logits.

    F.cross_entropy in float32 makes four more tensors of the size of the logits, the largest of a small
    model's step: 80 MB each for 5,000 labels of 6-mers. Here a few rows at a time are in use, which stay in
    the processor's cache.
    """

    @staticmethod
    def forward(ctx: Any, logits_NV: Tensor, labels_N: Tensor, weights_N: Tensor) -> Tensor:
        """Return the sum in nats, float32; the logits are gone."""
        total = logits_NV.new_zeros((), dtype=torch.float32)
        for logits, labels, weights in zip(
            *(each.split(LOSS_ROWS) for each in (logits_NV, labels_N[:, None], weights_N[:, None])),
            strict=True,
        ):
            values = logits.float().log_softmax(dim=1)
            total -= (values.gather(1, labels) * weights).sum()
            probabilities = values.exp_()
            gradient = probabilities.scatter_add_(1, labels, torch.full_like(weights, -1.0)).mul_(weights)
            logits.copy_(gradient)
        ctx.save_for_backward(logits_NV.detach())
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient of the logits; autograd refuses to come again, since it is scaled in place."""
        (gradient_NV,) = ctx.saved_tensors
        return gradient_NV.mul_(gradients[0]), None, None


def _compute_masked_only(
    self: BertForMaskedLM | ModernBertForMaskedLM,
    input_ids: Tensor | None = None,
    attention_mask: Tensor | None = None,
    position_ids: Tensor | None = None,
    inputs_embeds: Tensor | None = None,
    labels: Tensor | None = None,
    label_weights: Tensor | None = None,
    label_positions: Tensor | None = None,
    return_logits: bool = False,
) -> MaskedLMOutput:
    """Compute the loss over the positions whose label is not -100.

    It takes no `**kwargs`, which tells transformers' Trainer that the loss is a mean.

    Args:
        self: the model.
        input_ids: int64 [B, T]; or inputs_embeds [B, T, D].
        attention_mask: [B, T], 1 for tokens and 0 for padding; not needed without padding.
        position_ids: as the class takes them.
        labels: int64 [B, T], -100 where there is none.
        label_weights: float [B, T]: the loss is then the mean with these weights.
        label_positions: int64 [N], b * T + t of each label, in ascending order, from where the batch is made;
            without it they are looked for, which on a GPU waits until all work before is done.
        return_logits: also return the logits [N, V], in float32, in the order of the positions.

    Returns:
        Loss: mean over the labels in nats; 0, with gradients of 0, if there are none or all weights are 0.
    """
    inputs: Any = {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "position_ids": position_ids,
        "inputs_embeds": inputs_embeds,
    }
    if labels is None:
        output: MaskedLMOutput = type(self).forward(self, **inputs)
        return output
    hidden_BTD: Tensor = self.base_model(**inputs).last_hidden_state
    if label_positions is None:
        label_positions = (labels.flatten() != IGNORED_LABEL).nonzero().squeeze(1)
    hidden_ND = hidden_BTD.flatten(0, 1).index_select(0, label_positions)
    labels_N = labels.flatten().index_select(0, label_positions)
    if label_weights is None:
        weights_N = torch.ones_like(labels_N, dtype=torch.float32)
    else:
        weights_N = label_weights.flatten().index_select(0, label_positions).float()
    logits = _run_head(self, hidden_ND)
    returned_NV = logits[: len(labels_N)].float().clone() if return_logits else None
    fill = (0, len(logits) - len(labels_N))
    loss_sum = SummedCrossEntropy.apply(logits, F.pad(labels_N, fill), F.pad(weights_N, fill))
    total = weights_N.sum()
    return MaskedLMOutput(loss=loss_sum / torch.where(total > 0, total, 1.0), logits=returned_NV)
