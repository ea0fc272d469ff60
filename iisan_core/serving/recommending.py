"""The best items of a slate for histories, in blocks of bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from iisan_core.serving.histories import HistoryReader, left_padded
from iisan_core.serving.slate import Slate
from iisan_core.training.evaluation import USERS_AT_ONCE


@dataclass(frozen=True, slots=True)
class Recommended:
    """One recommended item."""

    item_id: str
    score: float


def best_items(
    reader: HistoryReader,
    slate: Slate,
    histories: Sequence[Sequence[int]],
    *,
    item_ids: Sequence[str],
    k: int,
    exclude_seen: bool,
) -> list[list[Recommended]]:
    """The best `k` items of a slate for each numbered history; fewer where fewer are left.

    item_ids  id of item `n` at `n − 1`
    """
    answers: list[list[Recommended]] = []
    for start in range(0, len(histories), USERS_AT_ONCE):
        block = histories[start : start + USERS_AT_ONCE]
        seen = left_padded(block, length=max(map(len, block)) if exclude_seen else 1)
        best = slate.best(reader.states(block), seen if exclude_seen else torch.zeros_like(seen), k=k)
        answers += _named(*best, item_ids)
    return answers


def _named(scores: Tensor, numbers: Tensor, item_ids: Sequence[str]) -> list[list[Recommended]]:
    """Scores and item numbers [B, k] by row; items that were left out have the score −∞."""
    kept = (scores > float("-inf")).sum(dim=1).tolist()
    return [
        [Recommended(item_ids[number - 1], score) for number, score in zip(ns[:count], ss[:count], strict=True)]
        for ns, ss, count in zip(numbers.tolist(), scores.tolist(), kept, strict=True)
    ]
