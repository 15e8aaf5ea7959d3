"""What a machine may do with any model: recompute activations, which changes nothing, or compile, which
changes rounding and draws the dropout otherwise (from the same seed)."""

from collections.abc import Callable
from typing import Any

from torch import nn

from genolm.errors import SettingsError


def apply_model_options(model: nn.Module, *, gradient_checkpointing: bool, compile_model: bool) -> None:
    """Turn the options on, in place.

    Raises:
        SettingsError: the model cannot recompute its activations.
    """
    if gradient_checkpointing:
        if not getattr(model, "supports_gradient_checkpointing", False):
            raise SettingsError(
                found=f"gradient_checkpointing for {type(model).__name__}, which cannot",
                expected="a model that supports it",
                remedy="set loop.gradient_checkpointing=false",
            )
        _find_switch(model, "enable")()
    if compile_model:
        model.compile()


def undo_model_options(model: nn.Module) -> None:
    """Turn them off, so that the model is as it was given."""
    if getattr(model, "supports_gradient_checkpointing", False):
        _find_switch(model, "disable")()
    model._compiled_call_impl = None


def _find_switch(model: nn.Module, action: str) -> Callable[[], Any]:
    """Return a method of PreTrainedModel that transformers has renamed during version 5."""
    new_name, old_name = f"activation_checkpointing_{action}", f"gradient_checkpointing_{action}"
    switch: Callable[[], Any] = getattr(model, new_name if hasattr(model, new_name) else old_name)
    return switch
