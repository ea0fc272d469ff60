"""The largest of many scores, always in one order."""

from __future__ import annotations

import torch
from torch import Tensor

GROUP = 16
"""Columns whose largest score is looked at first."""

LAST_PLACE = 2**32 - 1


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The `k` largest of each row of scores [B, C], float32, and their columns; of equal ones the lower column first.

    Columns `g`, `g + G`, `g + 2G` … are a group. Only groups whose largest score is among the `k` largest of such can
    hold any of the `k` largest scores; the maxima are a single pass over the scores, and few columns are left to be
    sorted. In rows where a group more would do as well, for scores are equal, all are sorted.
    """
    rows, columns = scores.shape
    groups = columns // GROUP
    if groups <= 2 * k:
        return _sorted(scores, k)
    maxima = scores[:, : groups * GROUP].unflatten(1, (GROUP, groups)).amax(dim=1)
    best, chosen = maxima.topk(k + 1, dim=1)
    members = (chosen[:, None, :k] + groups * torch.arange(GROUP, device=scores.device)[:, None]).flatten(1)
    rest = torch.arange(groups * GROUP, columns, device=scores.device).expand(rows, -1)
    members = torch.cat([members, rest], dim=1)
    values, places = largest(scores.gather(1, members), members, k)
    if len(undecided := (best[:, k - 1] == best[:, k]).nonzero().squeeze(1)):
        values[undecided], places[undecided] = _sorted(scores[undecided], k)
    return values, places


def _sorted(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """`top_k` by all columns."""
    return largest(scores, torch.arange(scores.shape[1], device=scores.device).expand(len(scores), -1), k)


def largest(scores: Tensor, places: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The `k` largest of scores [B, M] and their places; of equal scores the lower place first.

    A score's bits, read as a whole number, rise as it does once those of negative numbers are turned round. Score and
    place together are one whole number, so none equals another and no order is left to chance.
    """
    bits = (scores + 0.0).view(torch.int32)  # adding 0 makes −0 the 0 that it equals
    rising = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    keys = (rising.long() << 32) | (LAST_PLACE - places)
    best, order = keys.topk(k, dim=1)
    return scores.gather(1, order), LAST_PLACE - (best & LAST_PLACE)
