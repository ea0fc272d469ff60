"""In-batch softmax with popularity correction (method, section 5)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from iisan_core.model import fused


def in_batch_softmax(
    user_states: Tensor,
    item_vectors: Tensor,
    *,
    slots: Tensor,
    counts: Tensor,
    log_popularity: Tensor,
    weights: Tensor | None = None,
) -> Tensor:
    """Mean cross-entropy of the next item against every item slot of the batch, `⟨p_ut, e_c⟩ − log q(c)`.

    Slots of one item count as often as they occur, so a distinct item has weight `counts`. Removed from the
    denominator: padding, and every item of the same user's sequence except the target, which counts once.

    Args:
        user_states: [B, S, E], state after each input position.
        item_vectors: [C, E], the batch's distinct items.
        slots: [B, S + 1], index into `item_vectors` of every sequence slot; −1 where padded, on the left.
        counts: [C], in how many slots of the batch each distinct item stands.
        log_popularity: [C], `log q`: log of each item's share of training interactions.
        weights: [B], what each sequence's positions count in the mean; None: all alike.

    Returns:
        The loss, []. 0 for a batch whose denominators hold nothing but the targets, or that has no real position.
    """
    if fused.enabled():
        return fused.in_batch_softmax(user_states, item_vectors, slots, counts, log_popularity, weights)
    real, targets = slots[:, :-1] >= 0, slots[:, 1:]  # [B, S] each
    often = denominator_weights(slots, counts)  # [B, S, C]
    logits = user_states @ item_vectors.T - log_popularity + often.log()  # weight 0: −∞, which leaves the softmax
    if weights is None:
        return F.cross_entropy(logits[real], targets[real], reduction="sum") / max(1, int(real.sum()))
    weights = weights[:, None].expand(real.shape)[real]
    losses = F.cross_entropy(logits[real], targets[real], reduction="none")
    return (losses * weights).sum() / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)


def denominator_weights(slots: Tensor, counts: Tensor) -> Tensor:
    """How often each distinct item stands in the denominator of each position, [B, S, C]; 0 where padded.

    slots [B, S + 1] and counts [C] as in `in_batch_softmax`, whose fused form never makes this tensor.
    """
    inputs, targets = slots[:, :-1], slots[:, 1:]
    items = len(counts)
    own = torch.zeros(len(slots), items + 1, dtype=torch.bool, device=slots.device)
    own.scatter_(1, slots.where(slots >= 0, items), True)  # the extra column takes the padding
    weights = counts.where(~own[:, None, :items], 0).expand(-1, inputs.shape[1], -1)  # [B, S, C]
    weights = weights.scatter(2, targets.clamp(min=0).unsqueeze(2), 1)
    return weights.where((inputs >= 0).unsqueeze(2), 0)
