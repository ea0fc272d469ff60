"""The items to choose from, and the best of them for each user."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from iisan_core.products import Products
from iisan_core.ranking import hide_seen, users_per_block

GROUP = 64
"""Columns whose largest score is looked at first."""
LAST_PLACE = 2**32 - 1


@dataclass(frozen=True)
class Slate:
    """Item numbers to choose from and their vectors; padding comes first and is never chosen."""

    numbers: Tensor
    """Int64 [C + 1], rising, from 0."""
    vectors: Tensor
    """[C + 1, E]."""
    column: Tensor
    """Item number → its column, int64 [N + 1]; 0 for items that are not on the slate."""

    @classmethod
    def whole(cls, table: Tensor) -> Slate:
        """All items of the vectors [N + 1, E], which are not copied."""
        numbers = torch.arange(len(table))
        return cls(numbers, table, numbers)

    @classmethod
    def of(cls, chosen: Collection[int], table: Tensor) -> Slate:
        """Some items, by number."""
        numbers = torch.tensor([0, *sorted(set(chosen))])
        column = torch.zeros(len(table), dtype=torch.int64)
        column[numbers] = torch.arange(len(numbers))
        return cls(numbers, table[numbers], column)

    def best(self, users: Tensor, seen: Tensor, *, k: int) -> tuple[Tensor, Tensor]:
        """Scores and item numbers of the best `k` (fewer where there are fewer), best first.

        users    [B, E]  user states
        seen     [B, H]  item numbers that are left out; 0 pads. Their scores are −∞.
        returns  float32 and int64, [B, min(k, C)]; of equal scores the lower number comes first
        """
        size, k = users_per_block(len(self.numbers)), min(k, len(self.numbers) - 1)
        blocks = [
            top_k(hide_seen(self._scores(u), self.column[s]), k)
            for u, s in zip(users.split(size), seen.split(size), strict=True)
        ]
        values, columns = (torch.cat(parts) for parts in zip(*blocks, strict=True))
        return values, self.numbers[columns]

    def _scores(self, users: Tensor) -> Tensor:
        """[B, E] → [B, C + 1]. One user is served at the speed of memory, for which the vectors do as they are."""
        return self._products(users) if len(users) > 1 else users @ self.vectors.T

    @cached_property
    def _products(self) -> Products:
        return Products(self.vectors)


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The `k` largest of each row of scores [B, C], float32, and their columns; of equal ones the lower column first.

    Of groups of columns, only the `k` with the largest maxima (the earlier, of equal ones) can hold any of the `k`
    largest scores; the maxima are a single pass over the scores, and few columns are left to be sorted.
    """
    rows, columns = scores.shape
    groups = columns // GROUP
    if groups <= 2 * k:
        return _first(scores, torch.arange(columns).expand(rows, -1), k)
    maxima = scores[:, : groups * GROUP].view(rows, groups, GROUP).amax(dim=2)
    chosen = _first(maxima, torch.arange(groups).expand(rows, -1), k)[1]
    members = (chosen.unsqueeze(2) * GROUP + torch.arange(GROUP)).view(rows, k * GROUP)
    members = torch.cat([members, torch.arange(groups * GROUP, columns).expand(rows, -1)], dim=1)
    return _first(scores.gather(1, members), members, k)


def _first(scores: Tensor, places: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The `k` largest of scores [B, M] and their places; of equal scores the lower place first.

    A score's bits, read as a whole number, rise as it does once those of negative numbers are turned round. Score and
    place together are one whole number, so none equals another and no order is left to chance.
    """
    bits = (scores + 0.0).view(torch.int32)  # adding 0 makes −0 the 0 that it equals
    rising = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    keys = (rising.long() << 32) | (LAST_PLACE - places)
    best, order = keys.topk(k, dim=1)
    return scores.gather(1, order), LAST_PLACE - (best & LAST_PLACE)
