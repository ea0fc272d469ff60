"""One block of a side-adapted network: a bottleneck with a shortcut (IISAN, section 3.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

INITIAL_STD = 0.01


def _relu_backward(gradient: Tensor, x: Tensor) -> Tensor:
    return gradient * (x > 0)


ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "gelu": (F.gelu, torch.ops.aten.gelu_backward),
    "relu": (F.relu, _relu_backward),
}
"""Each with its gradient: (upstream gradient, input) → gradient of the input."""


class SANB(nn.Module):
    """`SANB(x) = x + W_up · act(W_down · x)` with biases, almost the identity at the start."""

    def __init__(self, *, width: int, bottleneck: int, activation: str) -> None:
        super().__init__()
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        self.activation = activation
        for linear in (self.down, self.up):
            nn.init.normal_(linear.weight, std=INITIAL_STD)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[n, D] → [n, D], in the precision of `x`."""
        weights = (self.down.weight, self.down.bias, self.up.weight, self.up.bias)
        out: Tensor = _Bottleneck.apply(x, *weights, self.activation)
        return out


class _Bottleneck(torch.autograd.Function):
    """The block as one step of the graph: the shortcut rides on the products, forward and backward."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, down: Tensor, down_bias: Tensor, up: Tensor, up_bias: Tensor, activation: str
    ) -> Tensor:
        """Weights as in `nn.Linear`: down [r, D], up [D, r]; they multiply in the precision of `x`."""
        down, down_bias, up, up_bias = (w.to(x.dtype) for w in (down, down_bias, up, up_bias))
        narrow = torch.addmm(down_bias, x, down.T)
        active = ACTIVATIONS[activation][0](narrow)
        ctx.save_for_backward(x, narrow, active, down, up)
        ctx.activation = activation
        return (x + up_bias).addmm_(active, up.T)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        x, narrow, active, down, up = ctx.saved_tensors
        gradient = ACTIVATIONS[ctx.activation][1](upstream @ up, narrow)  # [n, r]
        to_x = torch.addmm(upstream, gradient, down) if ctx.needs_input_grad[0] else None
        return to_x, gradient.T @ x, gradient.sum(dim=0), upstream.T @ active, upstream.sum(dim=0), None
