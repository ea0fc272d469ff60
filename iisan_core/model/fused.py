"""Faster forms of SAN block and loss: the same values and gradients, with fewer large tensors made on the way.

What is computed stands in `san.py` and `loss.py`, in plain torch; read those first. Here a block, or the loss, is one
step of the autograd graph whose gradient is written by hand. Nothing but time and memory may differ (and the last bits,
since sums go in another order); the tests hold each form against its plain one.

They are on unless the environment variable `IISAN_FUSED` is 0, or within `with fused.off():`. Code that torch compiles
takes the plain forms in any case: the compiler fuses them better than is done here by hand.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

_ON = ContextVar("fused", default=os.environ.get("IISAN_FUSED", "1") != "0")


def enabled() -> bool:
    """Whether blocks and loss take the forms of this file."""
    return not torch.compiler.is_compiling() and _ON.get()


@contextmanager
def off() -> Iterator[None]:
    """Within, this thread computes blocks and loss in their plain forms."""
    before = _ON.set(False)
    try:
        yield
    finally:
        _ON.reset(before)


Activation: TypeAlias = Callable[[Tensor], Tensor]
Gradients: TypeAlias = tuple[Tensor | None, ...]


def _relu_backward(gradient: Tensor, x: Tensor) -> Tensor:
    return gradient * (x > 0)


ACTIVATION_GRADIENTS: dict[Activation, Callable[[Tensor, Tensor], Tensor]] = {
    F.gelu: torch.ops.aten.gelu_backward,
    F.relu: _relu_backward,
}
"""Activation → (upstream gradient, input) → gradient of the input."""


def sanb(x: Tensor, down: nn.Linear, up: nn.Linear, activation: Activation) -> Tensor:
    """`SANB.forward`: [n, D] → [n, D]."""
    out: Tensor = _Block.apply(x, down.weight, down.bias, up.weight, up.bias, activation)
    return out


def mixing_sanb(
    state: Tensor, hidden: Tensor, share: Tensor, down: nn.Linear, up: nn.Linear, activation: Activation
) -> Tensor:
    """`SANB.mixing`: state and hidden [n, D], share [] → [n, D]."""
    out: Tensor = _MixingBlock.apply(state, hidden, share, down.weight, down.bias, up.weight, up.bias, activation)
    return out


class _Block(torch.autograd.Function):
    """The block as one step of the graph: the shortcut rides on the products, forward and backward."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, down: Tensor, down_bias: Tensor, up: Tensor, up_bias: Tensor, activation: Activation
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
        gradient = ACTIVATION_GRADIENTS[ctx.activation](upstream @ up, narrow)  # [n, r]
        to_x = torch.addmm(upstream, gradient, down) if ctx.needs_input_grad[0] else None
        return to_x, gradient.T @ x, gradient.sum(dim=0), upstream.T @ active, upstream.sum(dim=0), None


class _MixingBlock(torch.autograd.Function):
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
        activation: Activation,
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
        gradient = ACTIVATION_GRADIENTS[ctx.activation](upstream @ up, narrow)  # [n, r]
        x = torch.lerp(state, hidden, share)
        to_weights = gradient.T @ x, gradient.sum(dim=0), upstream.T @ active, upstream.sum(dim=0)
        to_x = torch.addmm(upstream, gradient, down)
        _, hidden_learns, share_learns = ctx.needs_input_grad[:3]
        # Here x has served, and to_x serves last where it is written over.
        to_share = torch.sub(hidden, state, out=x).mul_(to_x).sum().to(share.dtype) if share_learns else None
        to_hidden = to_x * share if hidden_learns else None
        return to_x.mul_((1 - share).to(to_x.dtype)), to_hidden, to_share, *to_weights, None


def _through(x: Tensor, down: Tensor, down_bias: Tensor, up: Tensor, activation: Activation) -> tuple[Tensor, ...]:
    """The bottleneck [n, r] before and after its activation, and both weights in the precision of `x`."""
    down, down_bias, up = (w.to(x.dtype) for w in (down, down_bias, up))
    narrow = torch.addmm(down_bias, x, down.T)
    return narrow, activation(narrow), down, up


CPU_BLOCK_BYTES = 2 * 2**20
"""Logits held at once on a CPU: they are made, normalised and turned into gradients within the cache."""


def in_batch_softmax(
    user_states: Tensor,
    item_vectors: Tensor,
    slots: Tensor,
    counts: Tensor,
    log_q: Tensor,
    weights: Tensor | None = None,
    *,
    shift: Tensor | None = None,
    undrawn: Tensor | None = None,
) -> Tensor:
    """The softmax losses of `loss.py`, without a tensor of all positions times all items.

    shift [B], where targets are left uncorrected, is what their scores are raised by; `undrawn` bool [C] marks items of
    count 0, which are in no denominator but as targets.
    """
    inputs, targets = slots[:, :-1], slots[:, 1:]
    real = inputs >= 0
    own = slots.where(slots >= 0, slots[:, -1:])  # [B, S + 1]; padding repeats the newest item, which is own, too
    loss: Tensor = _CrossEntropy.apply(
        user_states[real],
        item_vectors,
        targets[real],
        own.unsqueeze(1).expand(-1, inputs.shape[1], -1)[real],
        (counts if undrawn is None else counts.clamp(min=1)).log(),
        log_q,
        None if weights is None else weights[:, None].expand(inputs.shape)[real],
        None if shift is None else shift[:, None].expand(inputs.shape)[real],
        undrawn,
    )
    return loss


class _CrossEntropy(torch.autograd.Function):
    """The loss and both gradients in one pass over blocks of positions, so that logits never leave the cache.

    A row's own items are taken out of its logits, then the target is put back with weight one: what remains is
    plain cross-entropy, and `softmax − one-hot` its gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        items: Tensor,
        targets: Tensor,
        own: Tensor,
        log_counts: Tensor,
        log_q: Tensor,
        weights: Tensor | None,
        shift: Tensor | None,
        undrawn: Tensor | None,
    ) -> Tensor:
        """States [P, E] of real positions, items [C, E], targets [P], own items [P, S + 1] → mean loss.

        Weights and shift are [P], undrawn [C].
        """
        rows = _rows_at_once(states, items)
        bias = log_counts - log_q
        loss = states.new_zeros(())
        to_states, to_items = torch.empty_like(states), torch.zeros_like(items)
        for start in range(0, len(states), rows):
            block = slice(start, start + rows)
            target = targets[block].unsqueeze(1)
            logits = torch.addmm(bias, states[block], items.T)  # [p, C]
            positive = logits.gather(1, target) - log_counts[target]
            if shift is not None:
                positive += log_q[target] + shift[block].unsqueeze(1)
            if undrawn is not None:
                logits.masked_fill_(undrawn, float("-inf"))
            logits.scatter_(1, own[block], float("-inf")).scatter_(1, target, positive)
            log_shares = torch.log_softmax(logits, dim=1)
            losses = log_shares.gather(1, target)
            loss -= losses.sum() if weights is None else losses.squeeze(1) @ weights[block]
            gradient = log_shares.exp_()
            gradient.scatter_add_(1, target, gradient.new_full(target.shape, -1.0))
            if weights is not None:
                gradient *= weights[block].unsqueeze(1)
            torch.mm(gradient, items, out=to_states[block])
            to_items.addmm_(gradient.T, states[block])
        positions = max(1, len(states)) if weights is None else weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)
        ctx.save_for_backward(to_states.div_(positions), to_items.div_(positions))
        return loss / positions

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Gradients:
        to_states, to_items = ctx.saved_tensors
        return to_states * upstream, to_items * upstream, *[None] * 7


def _rows_at_once(states: Tensor, items: Tensor) -> int:
    """Positions in a block: all on a GPU, as many as keep the logits within `CPU_BLOCK_BYTES` elsewhere."""
    return len(states) if states.is_cuda else max(1, CPU_BLOCK_BYTES // (4 * len(items)))
