"""In-batch softmax with popularity correction, over distinct items (method, section 5)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CPU_BLOCK_BYTES = 2 * 2**20
"""Logits held at once on a CPU: they are made, normalised and turned into gradients within the cache."""


def in_batch_softmax(
    user_states: Tensor, item_vectors: Tensor, *, slots: Tensor, counts: Tensor, log_popularity: Tensor
) -> Tensor:
    """Mean cross-entropy of the next item against every item slot of the batch.

    user_states     [B, S, E]   state after each input position
    item_vectors    [C, E]      the batch's distinct items
    slots           [B, S + 1]  index into `item_vectors` of every sequence slot; −1 where padded, on the left
    counts          [C]         in how many slots of the batch each distinct item stands
    log_popularity  [C]         log of each item's share of training interactions

    Slots of one item count as often as they occur, so a distinct item has weight `counts`. Removed from the
    denominator: padding, and every item of the same user's sequence except the target, which counts once.
    A batch whose denominators hold nothing but the targets, or that has no real position, has loss 0.
    """
    inputs, targets = slots[:, :-1], slots[:, 1:]
    real = inputs >= 0
    own = slots.where(slots >= 0, slots[:, -1:])  # [B, S + 1]; padding repeats the newest item, which is own, too
    loss: Tensor = _CrossEntropy.apply(
        user_states[real],
        item_vectors,
        targets[real],
        own.unsqueeze(1).expand(-1, inputs.shape[1], -1)[real],
        counts.log(),
        log_popularity,
    )
    return loss


def denominator_weights(slots: Tensor, counts: Tensor) -> Tensor:
    """How often each distinct item stands in the denominator of each position, [B, S, C]; 0 where padded.

    slots [B, S + 1] and counts [C] as in `in_batch_softmax`, which never makes this tensor: it is for looking at.
    """
    inputs, targets = slots[:, :-1], slots[:, 1:]
    items = len(counts)
    own = torch.zeros(len(slots), items + 1, dtype=torch.bool, device=slots.device)
    own.scatter_(1, slots.where(slots >= 0, items), True)  # the extra column takes the padding
    weights = counts.where(~own[:, None, :items], 0).expand(-1, inputs.shape[1], -1)  # [B, S, C]
    weights = weights.scatter(2, targets.clamp(min=0).unsqueeze(2), 1)
    return weights.where((inputs >= 0).unsqueeze(2), 0)


class _CrossEntropy(torch.autograd.Function):
    """The loss and both gradients in one pass over blocks of positions, so that logits never leave the cache.

    A row's own items are taken out of its logits, then the target is put back with weight one: what remains is
    plain cross-entropy, and `softmax − one-hot` its gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, items: Tensor, targets: Tensor, own: Tensor, log_counts: Tensor, log_q: Tensor
    ) -> Tensor:
        """States [P, E] of real positions, items [C, E], targets [P], own items [P, S + 1] → mean loss."""
        rows = _rows_at_once(states, items)
        bias = log_counts - log_q
        loss = states.new_zeros(())
        to_states, to_items = torch.empty_like(states), torch.zeros_like(items)
        for start in range(0, len(states), rows):
            block = slice(start, start + rows)
            target = targets[block].unsqueeze(1)
            logits = torch.addmm(bias, states[block], items.T)  # [p, C]
            positive = logits.gather(1, target) - log_counts[target]
            logits.scatter_(1, own[block], float("-inf")).scatter_(1, target, positive)
            log_shares = torch.log_softmax(logits, dim=1)
            loss -= log_shares.gather(1, target).sum()
            gradient = log_shares.exp_()
            gradient.scatter_add_(1, target, gradient.new_full(target.shape, -1.0))
            torch.mm(gradient, items, out=to_states[block])
            to_items.addmm_(gradient.T, states[block])
        positions = max(1, len(states))
        ctx.save_for_backward(to_states.div_(positions), to_items.div_(positions))
        return loss / positions

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        to_states, to_items = ctx.saved_tensors
        return to_states * upstream, to_items * upstream, None, None, None, None


def _rows_at_once(states: Tensor, items: Tensor) -> int:
    """Positions in a block: all on a GPU, as many as keep the logits within `CPU_BLOCK_BYTES` elsewhere."""
    return len(states) if states.is_cuda else max(1, CPU_BLOCK_BYTES // (4 * len(items)))
