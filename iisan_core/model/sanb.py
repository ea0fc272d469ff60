"""One block of a side-adapted network: a bottleneck with a shortcut (IISAN, section 3.2)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "relu": F.relu}
INITIAL_STD = 0.01


class SANB(nn.Module):
    """`SANB(x) = x + W_up · act(W_down · x)` with biases, almost the identity at the start."""

    def __init__(self, *, width: int, bottleneck: int, activation: str) -> None:
        super().__init__()
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        self.activation = ACTIVATIONS[activation]
        for linear in (self.down, self.up):
            nn.init.normal_(linear.weight, std=INITIAL_STD)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[n, D] → [n, D]."""
        return x + self.up(self.activation(self.down(x)))
