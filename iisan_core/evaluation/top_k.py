"""The largest of many scores, always in one order."""

from __future__ import annotations

import torch
from torch import Tensor

GROUP = 64
"""Columns whose largest score is looked at first."""

LAST_PLACE = 2**32 - 1


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The `k` largest of each row of scores [B, C], float32, and their columns; of equal ones the lower column first.

    Of groups of columns, only the `k` with the largest maxima (the earlier, of equal ones) can hold any of the `k`
    largest scores; the maxima are a single pass over the scores, and few columns are left to be sorted.
    """
    rows, columns = scores.shape
    groups = columns // GROUP
    if groups <= 2 * k:
        return largest(scores, torch.arange(columns, device=scores.device).expand(rows, -1), k)
    maxima = scores[:, : groups * GROUP].view(rows, groups, GROUP).amax(dim=2)
    chosen = largest(maxima, torch.arange(groups, device=scores.device).expand(rows, -1), k)[1]
    members = (chosen.unsqueeze(2) * GROUP + torch.arange(GROUP, device=scores.device)).view(rows, k * GROUP)
    members = torch.cat([members, torch.arange(groups * GROUP, columns, device=scores.device).expand(rows, -1)], dim=1)
    return largest(scores.gather(1, members), members, k)


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
