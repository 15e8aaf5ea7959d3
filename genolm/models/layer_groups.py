"""The parameters of a model from its input to its output, for rates per layer and gradual unfreezing."""

from typing import Any

from torch import nn

# Where the layers of an encoder stand in transformers' base models: BERT, and ModernBERT.
ENCODER_LAYERS = ("encoder.layer", "layers")


def list_layer_groups(model: nn.Module) -> list[list[nn.Parameter]]:
    """List the parameters in groups, from the input to the output; tied ones once, where they come first.

    A model that has `layer_groups()`, as the AWD-LSTM, says it itself. A BERT or a ModernBERT gives its
    embeddings, each layer of the encoder, and the head (final norm, pooler, classifier or LM head); a matrix
    shared by embedding and LM head stands with the embeddings. Any other model is one group.

    Of a model that peft has wrapped only the parameters that learn are listed, in the same groups, of which
    some are then empty: a schedule must not unfreeze the others. So call this before layers are frozen for a
    time.

    Args:
        model: not wrapped for many processes; it may be a peft `PeftModel`.

    Returns:
        Groups of parameters; without peft each parameter of the model is in exactly one.

    >>> [len(group) for group in list_layer_groups(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)))]
    [4]
    """
    get_wrapped: Any = getattr(model, "get_base_model", None)  # only peft's models have it
    plain: Any = model if get_wrapped is None else get_wrapped()
    if hasattr(plain, "layer_groups"):
        groups = [list(group) for group in plain.layer_groups()]
        groups = groups if get_wrapped is None else _add_missing(groups, plain)
    else:
        groups = _split_encoder(plain)
    if get_wrapped is None:
        return groups
    return [[parameter for parameter in group if parameter.requires_grad] for group in groups]


def _split_encoder(model: nn.Module) -> list[list[nn.Parameter]]:
    base: Any = getattr(model, "base_model", model)  # of a transformers model: the encoder without its head
    layers = _find_layers(base)
    embeddings = getattr(base, "embeddings", None)
    if layers is None or not isinstance(embeddings, nn.Module):
        return [list(model.parameters())]
    return _add_missing([*(list(part.parameters()) for part in (embeddings, *layers)), []], model)


def _find_layers(base: nn.Module) -> nn.ModuleList | None:
    for name in ENCODER_LAYERS:
        part: Any = base
        for attribute in name.split("."):
            part = getattr(part, attribute, None)
        if isinstance(part, nn.ModuleList):
            return part
    return None


def _add_missing(groups: list[list[nn.Parameter]], model: nn.Module) -> list[list[nn.Parameter]]:
    """Add what stands in no group yet to the last one, which is the head's."""
    listed = {id(parameter) for group in groups for parameter in group}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in listed]
    return [*groups[:-1], [*groups[-1], *rest]]
