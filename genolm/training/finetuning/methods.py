"""How much of a network learns: all of it, the head alone, or the head and low-rank adapters."""

import warnings
from typing import Any, NamedTuple

import torch
from torch import nn
from transformers import PreTrainedModel

from genolm.errors import SettingsError
from genolm.models.layer_groups import list_layer_groups
from genolm.training.finetuning.data import Unit
from genolm.training.finetuning.settings import FinetuneSettings

# Where Hu et al. put adapters: on the query and the value, which a ModernBERT has in one matrix with the key.
LORA_TARGETS = {"bert": ["query", "value"], "modernbert": ["Wqkv"]}


class Prepared(NamedTuple):
    """A network that is ready to be trained."""

    model: Any
    """itself, or peft's wrapper around it"""
    frozen_groups: int
    """layer groups, counted from the input, that never learn"""


def prepare_method(
    model: PreTrainedModel, settings: FinetuneSettings, *, is_given_embedding: bool, seed: int
) -> Prepared:
    """Make a network learn by a method; its own weights are still those that it had.

    Args:
        model: of transformers or genolm, with its head.
        settings: method, and what it needs.
        is_given_embedding: the embedding was given, so that settings.freeze_embeddings means it.
        seed: of the adapters' weights.

    Raises:
        SettingsError: peft is not installed, or does not know the model.
    """
    if settings.method == "lora":
        return Prepared(_add_adapters(model, settings, seed=seed), 0)
    if settings.method == "probe":
        _calm_encoder(model)
        return Prepared(model, len(list_layer_groups(model)) - 1)
    return Prepared(model, int(settings.freeze_embeddings and is_given_embedding))


def finish_method(trained: Any, *, unit: Unit) -> PreTrainedModel:
    """Return the plain network, whose outputs are in the units of the labels.

    Adapters are merged into the matrices, and the last layer takes up the unit.
    """
    model: PreTrainedModel = trained.merge_and_unload() if hasattr(trained, "merge_and_unload") else trained
    if unit != Unit(0.0, 1.0):
        last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
        with torch.no_grad():
            last.weight.mul_(unit.scale)
            last.bias.mul_(unit.scale).add_(unit.mean)
    return model


def _calm_encoder(model: PreTrainedModel) -> None:
    """Turn off the dropout of a frozen encoder: a probe learns from the vectors that it will see."""
    for module in model.base_model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


def _add_adapters(model: PreTrainedModel, settings: FinetuneSettings, *, seed: int) -> nn.Module:
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise SettingsError(
            found="method lora without the package peft",
            expected="peft beside genolm",
            remedy="pip install 'genolm[lora]', or set method=full or method=probe",
        ) from error
    head = list_layer_groups(model)[-1]
    torch.manual_seed(seed)
    lora = LoraConfig(
        r=settings.lora.rank,
        lora_alpha=settings.lora.alpha,
        lora_dropout=settings.lora.dropout,
        target_modules=LORA_TARGETS[model.config.model_type],
    )
    with warnings.catch_warnings():  # peft asks transformers by names that those have since renamed
        warnings.simplefilter("ignore", FutureWarning)
        adapted = get_peft_model(model, lora)
    for parameter in head:  # what learns now is what list_layer_groups finds in the wrapped model
        parameter.requires_grad_(True)
    return adapted
