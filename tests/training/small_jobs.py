"""Small models and batches that several tests of the training loop use."""

from collections.abc import Callable
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from genolm.training.micro_batches import StepInput

X = torch.linspace(-1, 1, 24).reshape(8, 3)
Y = X @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.3


class Toy(nn.Module):
    """Two linear layers on X and Y."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(3, 3), nn.Linear(3, 1)

    def layer_groups(self) -> list[list[nn.Parameter]]:
        return [list(self.first.parameters()), list(self.last.parameters())]

    def forward(self, x, y, scale=None, state=None) -> SimpleNamespace:
        loss = (self.last(self.first(x)) - y).pow(2).mean() * (1.0 if scale is None else scale)
        return SimpleNamespace(loss=loss, state=state)


class FixedBatches:
    """Steps whose whole inputs a function gives; every tensor with that many rows is cut by rows."""

    def __init__(
        self, build: Callable[[int], dict[str, Tensor]] | None = None, *, rows: int = 8, starts=()
    ) -> None:
        self.build, self.rows, self.starts = build or (lambda step: {"x": X, "y": Y}), rows, starts

    def count_rows(self, step: int) -> int:
        return self.rows

    def build_input(self, step: int, rows: slice) -> StepInput:
        inputs = {
            name: tensor[rows] if tensor.ndim and len(tensor) == self.rows else tensor
            for name, tensor in self.build(step).items()
        }
        count = len(range(self.rows)[rows])
        return StepInput(inputs, count, count, keeps_carry=bool(self.starts) and step not in self.starts)

    def build_largest(self, num_rows: int) -> StepInput:
        return self.build_input(0, slice(0, num_rows))

    def name_rows(self, step: int, rows: slice) -> list[str]:
        return [f"row {index}" for index in range(self.rows)[rows]]
