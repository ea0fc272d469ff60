"""Full-catalogue ranking in blocks of bounded memory (method, section 6)."""

from __future__ import annotations

import torch
from torch import Tensor

from iisan_core.errors import IisanError
from iisan_core.products import Products

BLOCK_BYTES = 5 * 2**20
"""Scores held at once: a block that stays in the processor's cache is ranked at the speed of the product."""
MIN_USERS = 16
EXACT_IN_FLOAT32 = 2**24


def rank_targets(users: Tensor, items: Tensor, *, seen: Tensor, targets: Tensor) -> Tensor:
    """Rank of each user's target among all items: 1 + the number of other items scoring higher or equal.

    users    [U, E]      user states
    items    [N + 1, E]  item vectors; row 0 is padding and never ranked
    seen     [U, H]      item numbers that get no score; 0 pads
    targets  [U]         item numbers
    returns  [U]         int64; `N + 1` for a target that was seen, for it has no score

    Scores are float32. Raises `IisanError` where a score is not finite.
    """
    users, items = users.float(), items.float()
    check_finite(users, items)
    scores, size = Products(items), users_per_block(len(items))
    blocks = zip(users.split(size), seen.split(size), targets.split(size), strict=True)
    return torch.cat([rank_scores(scores(u), seen=s, targets=t) for u, s, t in blocks])


def users_per_block(items: int) -> int:
    """How many users' float32 scores over `items` are held at once."""
    return max(MIN_USERS, BLOCK_BYTES // (4 * items))


def hide_seen(scores: Tensor, seen: Tensor) -> Tensor:
    """Set to −∞, in place, the scores [B, N + 1] of padding and of the items numbered in `seen` [B, H]."""
    scores[:, 0] = float("-inf")
    return scores.scatter_(1, seen, float("-inf"))


def check_finite(users: Tensor, items: Tensor) -> None:
    """Raise `IisanError` if any score could be infinite or no number.

    By Cauchy–Schwarz no score exceeds the product of the largest norms, so nothing per score is looked at.
    """
    bound = users.double().norm(dim=1).max() * items.double().norm(dim=1).max()
    if not bound < torch.finfo(torch.float32).max:
        raise IisanError(
            f"scores are not finite (the largest could be {bound.item():.3g}): the training diverged; "
            "lower the learning rate or train in float32"
        )


def rank_scores(scores: Tensor, *, seen: Tensor, targets: Tensor) -> Tensor:
    """Ranks [B] as in `rank_targets`, from scores [B, N + 1], which are overwritten."""
    scores = hide_seen(scores, seen)
    target_scores = scores.gather(1, targets.unsqueeze(1))
    # Ones are summed as floats: several times faster than counting booleans, and exact below 2^24.
    exact = torch.float32 if scores.shape[1] < EXACT_IN_FLOAT32 else torch.float64
    return scores.ge_(target_scores).sum(dim=1, dtype=exact).long()
