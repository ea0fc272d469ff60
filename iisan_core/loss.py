"""In-batch softmax with popularity correction, over distinct items (method, section 5)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def in_batch_softmax(
    user_states: Tensor,
    item_vectors: Tensor,
    *,
    slots: Tensor,
    counts: Tensor,
    log_popularity: Tensor,
) -> Tensor:
    """Mean cross-entropy of the next item against every item slot of the batch.

    user_states     [B, S, E]   state after each input position
    item_vectors    [C, E]      the batch's distinct items
    slots           [B, S + 1]  index into `item_vectors` of every sequence slot; −1 where padded, on the left
    counts          [C]         in how many slots of the batch each distinct item stands
    log_popularity  [C]         log of each item's share of training interactions

    Slots of one item count as often as they occur, so a distinct item has weight `counts`. Removed from the
    denominator: padding, and every item of the same user's sequence except the target, which counts once.
    A batch whose denominators hold nothing but the targets has loss 0.
    """
    inputs, targets = slots[:, :-1], slots[:, 1:]
    real = inputs >= 0
    logits = user_states @ item_vectors.T - log_popularity  # [B, S, C]
    positive = logits.gather(2, targets.clamp(min=0).unsqueeze(2)).squeeze(2)  # [B, S]
    others = logits + counts.log()
    others = others.masked_fill(own_items(slots, items=len(item_vectors)).unsqueeze(1), _nothing(logits))
    # −log( e^positive / (e^positive + Σ e^others) )
    losses = F.softplus(others.logsumexp(dim=2) - positive)
    return losses.where(real, 0).sum() / real.sum()


def own_items(slots: Tensor, *, items: int) -> Tensor:
    """Bool [B, C]: which distinct items stand somewhere in each user's sequence. `slots` as above."""
    own = torch.zeros(len(slots), items + 1, dtype=torch.bool, device=slots.device)
    own.scatter_(1, slots.where(slots >= 0, items), True)  # padding lands in a column of its own
    return own[:, :items]


def _nothing(like: Tensor) -> float:
    """A logit that adds nothing; finite, so that a row of nothing else keeps its gradients at 0."""
    return torch.finfo(like.dtype).min / 2
