"""What trains the model: the next item told from others (method, sections 5 and 8).

Every loss looks at the same user states and item vectors, and differs in its candidates: the batch's own items, items
that were drawn for the whole step, or the full catalogue. An item that stands in the user's own sequence is nobody to
be told from, whichever the loss; so all softmax losses estimate the same full one.
"""

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
    correct_positive: bool = True,
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
        correct_positive: Whether the target's score is corrected like the others'. It is always in the denominator
            and was not drawn by its popularity; without, the `n` others of a user stand for all items that are not its
            own: `⟨p, e_c⟩ − log(n q(c) / (1 − q(own)))`, the target as it is (arXiv 2507.09331: the same gradient).
        weights: [B], what each sequence's positions count in the mean; None: all alike.

    Returns:
        The loss, []. 0 for a batch whose denominators hold nothing but the targets, or that has no real position.
    """
    shift = None if correct_positive else positive_shift(slots, counts, log_popularity)
    return _softmax(user_states, item_vectors, slots, counts, log_popularity, weights, shift=shift)


def sampled_softmax(
    user_states: Tensor,
    item_vectors: Tensor,
    *,
    slots: Tensor,
    counts: Tensor,
    log_popularity: Tensor,
    correct_positive: bool = True,
    weights: Tensor | None = None,
) -> Tensor:
    """`in_batch_softmax` against items that were drawn for the step instead of the batch's own.

    counts          [C]: how often each item was drawn; 0 for one that only stands in the batch's sequences
    log_popularity  [C]: log of the chance with which a draw falls on the item; all alike for uniform draws
    """
    shift = None if correct_positive else positive_shift(slots, counts, log_popularity)
    undrawn = counts == 0
    return _softmax(user_states, item_vectors, slots, counts, log_popularity, weights, shift=shift, undrawn=undrawn)


def full_softmax(user_states: Tensor, item_vectors: Tensor, *, slots: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of the next item against the catalogue [N, E], the user's other items left out."""
    ones, zeros = slots.new_ones(len(item_vectors)), item_vectors.new_zeros(len(item_vectors))
    return _softmax(user_states, item_vectors, slots, ones, zeros, weights)


def gbce(
    user_states: Tensor,
    item_vectors: Tensor,
    *,
    slots: Tensor,
    counts: Tensor,
    catalogue: int,
    calibration: float,
    weights: Tensor | None = None,
) -> Tensor:
    """Generalised binary cross-entropy (gSASRec): the target's `σ(s)^β` against 1, each drawn item's `σ(s)` against 0.

    With `α` the share of the other `catalogue − 1` items that is drawn, `β = α (t (1 − 1/α) + 1/α)`: at `t` = 1 the
    scores come out as if all items were negatives, at 0 it is plain cross-entropy. Mean over the target and the draws
    that are not the user's own, then over real positions.

    counts       [C]: how often each item was drawn, all alike; 0 for one that only stands in the batch's sequences
    calibration  t
    """
    real, targets = slots[:, :-1] >= 0, slots[:, 1:]  # [B, S] each
    alpha = min(1.0, float(counts.sum()) / max(1, catalogue - 1))
    beta = alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)
    columns = counts.nonzero().squeeze(1)  # [K]
    drawn = counts.where(~own_items(slots, len(counts)), 0)[:, columns]  # [B, K]
    positive = (user_states * F.embedding(targets.clamp(min=0), item_vectors)).sum(dim=2)  # [B, S]
    negative = user_states @ item_vectors[columns].T  # [B, S, K]
    losses = -beta * F.logsigmoid(positive) - (F.logsigmoid(-negative) * drawn.unsqueeze(1)).sum(dim=2)
    losses = losses / (1 + drawn.sum(dim=1, keepdim=True))
    return _mean(losses[real], real, weights)


def positive_shift(slots: Tensor, counts: Tensor, log_q: Tensor) -> Tensor:
    """`log n − log(1 − q(own))` of every user, [B]: what an uncorrected target's score has to be raised by.

    `n` candidates, drawn by `q` from what is not the user's own, stand for all such items; the denominator's common
    factor is moved to the target. 0 for a user without candidates.
    """
    own = own_items(slots, len(counts))
    others = counts.where(~own, 0).sum(dim=1)
    drawable = 1 - log_q.exp().where(own, 0).sum(dim=1)
    shift = others.clamp(min=1).log() - drawable.clamp(min=torch.finfo(log_q.dtype).eps).log()
    return shift.where(others > 0, 0)


def own_items(slots: Tensor, items: int) -> Tensor:
    """Which of the `items` stand in each user's sequence, bool [B, C], from slots [B, S + 1]."""
    own = torch.zeros(len(slots), items + 1, dtype=torch.bool, device=slots.device)
    own.scatter_(1, slots.where(slots >= 0, items), True)  # the extra column takes the padding
    return own[:, :items]


def denominator_weights(slots: Tensor, counts: Tensor) -> Tensor:
    """How often each distinct item stands in the denominator of each position, [B, S, C]; 0 where padded.

    slots [B, S + 1] and counts [C] as in `in_batch_softmax`, whose fused form never makes this tensor.
    """
    inputs, targets = slots[:, :-1], slots[:, 1:]
    own = own_items(slots, len(counts))
    weights = counts.where(~own[:, None], 0).expand(-1, inputs.shape[1], -1)  # [B, S, C]
    weights = weights.scatter(2, targets.clamp(min=0).unsqueeze(2), 1)
    return weights.where((inputs >= 0).unsqueeze(2), 0)


def _softmax(
    user_states: Tensor,
    item_vectors: Tensor,
    slots: Tensor,
    counts: Tensor,
    log_q: Tensor,
    weights: Tensor | None,
    *,
    shift: Tensor | None = None,
    undrawn: Tensor | None = None,
) -> Tensor:
    """All softmax losses; shift [B]: targets are left uncorrected and raised by it; undrawn [C]: whose count is 0."""
    if fused.enabled():
        given = (user_states, item_vectors, slots, counts, log_q, weights)
        return fused.in_batch_softmax(*given, shift=shift, undrawn=undrawn)
    real, targets = slots[:, :-1] >= 0, slots[:, 1:]  # [B, S] each
    often = denominator_weights(slots, counts)  # [B, S, C]
    logits = user_states @ item_vectors.T - log_q + often.log()  # weight 0: −∞, which leaves the softmax
    if shift is not None:
        target = targets.clamp(min=0).unsqueeze(2)
        logits = logits.scatter_add(2, target, log_q[target] + shift[:, None, None].to(logits.dtype))
    if weights is None:
        return F.cross_entropy(logits[real], targets[real], reduction="sum") / max(1, int(real.sum()))
    return _mean(F.cross_entropy(logits[real], targets[real], reduction="none"), real, weights)


def _mean(losses: Tensor, real: Tensor, weights: Tensor | None) -> Tensor:
    """The mean of the losses [P] of real positions, whose sequences have weights [B]; 0 where there are none."""
    if weights is None:
        return losses.sum() / max(1, len(losses))
    weights = weights[:, None].expand(real.shape)[real]
    return (losses * weights).sum() / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)
