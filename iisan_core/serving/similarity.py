"""Items whose vectors point the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from iisan_core.ranking import hide_seen
from iisan_core.serving.slate import top_k


@dataclass(frozen=True, slots=True)
class Similar:
    """An item and the cosine of its vector with another's."""

    item_id: str
    cosine: float


def nearest(table: Tensor, norms: Tensor, number: int, *, item_ids: Sequence[str], k: int) -> list[Similar]:
    """The `k` items with the largest cosines to item `number`, itself left out.

    table     [N + 1, E]  item vectors; row 0 is padding
    norms     [N + 1]     their lengths
    item_ids  id of item `n` at `n − 1`
    """
    products = (table @ table[number]).unsqueeze(0)  # [1, N + 1]
    tiny = torch.finfo(torch.float32).tiny
    cosines = (products / (norms * norms[number]).clamp(min=tiny)).clamp(-1, 1)
    values, numbers = top_k(hide_seen(cosines, torch.tensor([[number]])), k)
    return [Similar(item_ids[n - 1], c) for n, c in zip(numbers[0].tolist(), values[0].tolist(), strict=True)]
