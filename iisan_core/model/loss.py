"""In-batch softmax with popularity correction, over distinct items (method, section 5)."""

from __future__ import annotations

import torch
from torch import Tensor

from iisan_core.model.fused import _CrossEntropy


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
