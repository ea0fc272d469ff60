"""Whom an item suits: how far up it stands in the lists of users who do not know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from iisan_core.ranking import rank_targets
from iisan_core.serving.histories import HistoryReader, left_padded
from iisan_core.training.evaluation import USERS_AT_ONCE


@dataclass(frozen=True, slots=True)
class Suited:
    """A user, and how far up an item stands among all that this user does not know yet."""

    user_id: str
    rank: int
    score: float


def standing(reader: HistoryReader, histories: Mapping[str, list[int]], number: int) -> list[Suited]:
    """Rank and score of one item for each user, users in blocks of bounded memory.

    histories  user → item numbers, oldest first; none of them empty
    number     the item's
    """
    users, found = list(histories), []
    for start in range(0, len(users), USERS_AT_ONCE):
        block = users[start : start + USERS_AT_ONCE]
        known = [histories[user] for user in block]
        states = reader.states(known)
        seen = left_padded(known, length=max(map(len, known)))
        ranks = rank_targets(states, reader.table, seen=seen, targets=torch.full((len(block),), number)).tolist()
        scores = (states @ reader.table[number]).tolist()
        found += [Suited(*row) for row in zip(block, ranks, scores, strict=True)]
    return found
