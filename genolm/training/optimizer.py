"""AdamW over layer groups, each with its own rate, decayed where it is a matrix."""

import torch
from torch import nn

from genolm.models.layer_groups import list_layer_groups
from genolm.training.schedules import PhasedSchedule


def build_optimizer(model: nn.Module, *, weight_decay: float, beta2: float) -> torch.optim.AdamW:
    """Return AdamW with two groups for each layer group: matrices with weight decay, the rest without."""
    groups = []
    for layer_group in list_layer_groups(model):
        for decayed in (True, False):
            parameters = [parameter for parameter in layer_group if (parameter.ndim > 1) == decayed]
            groups.append({"params": parameters, "weight_decay": weight_decay if decayed else 0.0})
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, beta2), eps=1e-8, fused=True)


def set_rates(optimizer: torch.optim.Optimizer, schedule: PhasedSchedule, step: int) -> None:
    """Set rates and momentum for a step, and freeze the layer groups that do not learn yet."""
    rates = schedule.compute_rates(step, num_groups=len(optimizer.param_groups) // 2)
    for index, group in enumerate(optimizer.param_groups):
        rate = rates[index // 2]
        group["lr"] = rate.learning_rate
        group["betas"] = (rate.momentum, group["betas"][1])
        for parameter in group["params"]:
            parameter.requires_grad_(rate.trained)
