"""One block of a side-adapted network: a bottleneck with a shortcut (IISAN, section 3.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

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
        if torch.compiler.is_compiling():
            return _step_by_step(x, *self._weights(), self.activation)
        out: Tensor = _Bottleneck.apply(x, *self._weights(), self.activation)
        return out

    def mixing(self, state: Tensor, hidden: Tensor, share: Tensor) -> Tensor:
        """The block on `share · hidden + (1 − share) · state`, each [n, D], in less memory than one after the other."""
        if torch.compiler.is_compiling():
            return self(state + (hidden - state) * share)
        out: Tensor = _MixingBottleneck.apply(state, hidden, share, *self._weights(), self.activation)
        return out

    def _weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.down.weight, self.down.bias, self.up.weight, self.up.bias


def _step_by_step(x: Tensor, down: Tensor, down_bias: Tensor, up: Tensor, up_bias: Tensor, activation: str) -> Tensor:
    """The block for torch's compiler, which fuses and forgets better than the classes below do it by hand."""
    _, active, _, up = _through(x, down, down_bias, up, activation)
    return x + active @ up.T + up_bias.to(x.dtype)


Gradients: TypeAlias = tuple[Tensor | None, ...]


class _Bottleneck(torch.autograd.Function):
    """The block as one step of the graph: the shortcut rides on the products, forward and backward."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, down: Tensor, down_bias: Tensor, up: Tensor, up_bias: Tensor, activation: str
    ) -> Tensor:
        """Weights as in `nn.Linear`: down [r, D], up [D, r]; they multiply in the precision of `x`."""
        narrow, active, down, up = _through(x, down, down_bias, up, activation)
        ctx.save_for_backward(x, narrow, active, down, up)
        ctx.activation = activation
        return (x + up_bias.to(x.dtype)).addmm_(active, up.T)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Gradients:
        x, narrow, active, down, up = ctx.saved_tensors
        gradient = ACTIVATIONS[ctx.activation][1](upstream @ up, narrow)  # [n, r]
        to_x = torch.addmm(upstream, gradient, down) if ctx.needs_input_grad[0] else None
        return to_x, gradient.T @ x, gradient.sum(dim=0), upstream.T @ active, upstream.sum(dim=0), None


class _MixingBottleneck(torch.autograd.Function):
    """The same after a mix of two, which is mixed anew for the gradients: both are kept by others anyway.

    Large tensors are written over where they have served: making them costs more than filling them.
    """

    @staticmethod
    def forward(
        ctx: Any,
        state: Tensor,
        hidden: Tensor,
        share: Tensor,
        down: Tensor,
        down_bias: Tensor,
        up: Tensor,
        up_bias: Tensor,
        activation: str,
    ) -> Tensor:
        """State and hidden [n, D], share []; weights as above."""
        x = torch.lerp(state, hidden, share)
        narrow, active, down, up = _through(x, down, down_bias, up, activation)
        ctx.save_for_backward(state, hidden, share, narrow, active, down, up)
        ctx.activation = activation
        return x.add_(up_bias.to(x.dtype)).addmm_(active, up.T)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Gradients:
        state, hidden, share, narrow, active, down, up = ctx.saved_tensors
        gradient = ACTIVATIONS[ctx.activation][1](upstream @ up, narrow)  # [n, r]
        x = torch.lerp(state, hidden, share)
        to_weights = gradient.T @ x, gradient.sum(dim=0), upstream.T @ active, upstream.sum(dim=0)
        to_x = torch.addmm(upstream, gradient, down)
        _, hidden_learns, share_learns = ctx.needs_input_grad[:3]
        # Here x has served, and to_x serves last where it is written over.
        to_share = torch.sub(hidden, state, out=x).mul_(to_x).sum().to(share.dtype) if share_learns else None
        to_hidden = to_x * share if hidden_learns else None
        return to_x.mul_((1 - share).to(to_x.dtype)), to_hidden, to_share, *to_weights, None


def _through(x: Tensor, down: Tensor, down_bias: Tensor, up: Tensor, activation: str) -> tuple[Tensor, ...]:
    """The bottleneck [n, r] before and after its activation, and both weights in the precision of `x`."""
    down, down_bias, up = (w.to(x.dtype) for w in (down, down_bias, up))
    narrow = torch.addmm(down_bias, x, down.T)
    return narrow, ACTIVATIONS[activation][0](narrow), down, up
