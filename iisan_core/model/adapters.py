"""What adapts one modality's frozen states: a SAN, or – as baselines – its last layer alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from torch import Tensor, nn

from iisan_core.model.heads import init_linear
from iisan_core.model.san import IntraSAN
from iisan_core.model.sanb import ACTIVATIONS


class LastLayer(nn.Module):
    """The last kept layer as it is; with a linear head the plainest use of a frozen encoder."""

    def __init__(self, *, widths: Sequence[int], bottleneck: int, activation: str) -> None:
        super().__init__()
        self.width = widths[-1]

    def forward(self, layers: Sequence[Tensor]) -> Tensor:
        """Kept layers, each [n, D_l] → the last, [n, D]."""
        return layers[-1]


class LastLayerMLP(nn.Module):
    """The last kept layer through one hidden layer of its own width."""

    def __init__(self, *, widths: Sequence[int], bottleneck: int, activation: str) -> None:
        super().__init__()
        self.width = widths[-1]
        self.hidden = nn.Linear(self.width, self.width)
        self.activation = ACTIVATIONS[activation][0]
        init_linear(self.hidden)

    def forward(self, layers: Sequence[Tensor]) -> Tensor:
        """Kept layers, each [n, D_l] → [n, D]."""
        return self.activation(self.hidden(layers[-1]))


Adapter: TypeAlias = IntraSAN | LastLayer | LastLayerMLP
ADAPTERS: dict[str, type[IntraSAN] | type[LastLayer] | type[LastLayerMLP]] = {
    "san": IntraSAN,
    "linear": LastLayer,
    "mlp": LastLayerMLP,
}
"""By `model.adapter`."""
