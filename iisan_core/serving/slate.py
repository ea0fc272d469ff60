"""The items to choose from, and the best of them for each user."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from iisan_core.ranking import hide_seen, users_per_block

GROUP = 64
"""Columns whose largest score is looked at first."""


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
        returns  float32 and int64, [B, min(k, C)]
        """
        size, k = users_per_block(len(self.numbers)), min(k, len(self.numbers) - 1)
        blocks = [
            top_k(hide_seen(u @ self.vectors.T, self.column[s]), k)
            for u, s in zip(users.split(size), seen.split(size), strict=True)
        ]
        values, columns = (torch.cat(parts) for parts in zip(*blocks, strict=True))
        return values, self.numbers[columns]


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The `k` largest of each row of scores [B, C], and their columns, as `torch.topk` does, in less time.

    Only the `k` groups of columns with the largest maxima can hold any of the `k` largest scores; the maxima are a
    single pass over the scores, and few columns are left to be sorted.
    """
    rows, columns = scores.shape
    groups = columns // GROUP
    if groups <= 2 * k:
        return scores.topk(k, dim=1)
    whole, rest = scores[:, : groups * GROUP].view(rows, groups, GROUP), scores[:, groups * GROUP :]
    chosen = whole.amax(dim=2).topk(k, dim=1, sorted=False).indices  # [B, k]
    members = (chosen.unsqueeze(2) * GROUP + torch.arange(GROUP)).view(rows, k * GROUP)
    members = torch.cat([members, torch.arange(groups * GROUP, columns).expand(rows, rest.shape[1])], dim=1)
    values, places = scores.gather(1, members).topk(k, dim=1)
    return values, members.gather(1, places)
