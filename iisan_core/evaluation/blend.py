"""Weights of a score's parts, chosen on validation: what the frozen path and item-kNN add (method, section 8).

The loss cannot choose them: it weighs parts on users whose next items the learned part has seen in training, and the
others have not, so it believes the learned part too much. On validation none has seen them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import TypeAlias

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from iisan_core.config.schema import TOGETHER, Strict
from iisan_core.data.split import Split
from iisan_core.evaluation.metrics import hit, ndcg
from iisan_core.evaluation.ranking import rank_targets
from iisan_core.evaluation.ranks import added_to, to_find
from iisan_core.model.inference import ServedModel, user_table
from iisan_core.model.together import Together

MOST_USERS = 20_000
"""On whom the weights are chosen; of more, a random sample."""

SOME_USERS = 256
"""Whose scores say how far scores differ."""

STEPS = (2.0, sqrt(2.0), sqrt(sqrt(2.0)))
"""A weight is multiplied by or divided by the first of these while that helps, then by the next."""

K = 10

Weights: TypeAlias = dict[str, float]
Objective: TypeAlias = Callable[[Weights], tuple[float, float]]


class Blend(Strict):
    """What a score's parts weigh against what was learned; by default what was learned is all that there is."""

    frozen: dict[str, float] = Field(default_factory=dict)
    """Modality → factor of its frozen path; 1 where it names none."""
    together: float = 0.0
    """α; 0 leaves out what is counted."""
    members: list[float] = Field(default_factory=list)
    """What each of several blended runs weighs."""


def choose_blend(model: ServedModel, table: Tensor, split: Split, together: Together | None) -> Blend:
    """The weights with the best validation HR@10 (of equal ones, the best NDCG@10); the same for the same model.

    table     item vectors [N + 1, E], of `item_table`
    together  what is counted, with any weight; None: nothing is
    """
    names = list(model.frozen_columns)
    chosen = choose_weights(model, table, split, columns=model.frozen_columns, together=together)
    return Blend(frozen={name: chosen[name] for name in names}, together=chosen.get(TOGETHER, 0.0))


def choose_weights(
    model: ServedModel, table: Tensor, split: Split, *, columns: Mapping[str, slice], together: Together | None
) -> Weights:
    """Factors of some columns of the user states, by name, and of what is counted, as `together`; as `choose_blend`."""
    asked = _Asked(model, table, split, columns, together)
    start = dict.fromkeys(columns, 1.0)
    if together is not None:
        start[TOGETHER] = asked.unit
    return climb(asked.quality, start)


def climb(quality: Objective, start: Mapping[str, float]) -> Weights:
    """From positive weights to better ones: one after the other, in steps that grow finer; at last each without."""
    best = dict(start)
    found = quality(best) if best else (0.0, 0.0)
    for step in STEPS:
        for name in best:
            for factor in (step, 1 / step):
                while (there := quality(tried := best | {name: best[name] * factor})) > found:
                    best, found = tried, there
    for name in best:
        if (there := quality(tried := best | {name: 0.0})) >= found:
            best, found = tried, there
    return best


@dataclass
class _Asked:
    """Validation users, and what weights make of them."""

    model: ServedModel
    table: Tensor
    split: Split
    columns: Mapping[str, slice]
    together: Together | None
    _known: dict[tuple[float, ...], tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        split, device = self.split.with_validation_sample(MOST_USERS), self.table.device
        histories = split.history("valid")
        users = user_table(self.model, self.table, torch.from_numpy(histories.newest(split.max_history)).to(device))
        rows, targets = to_find(split, "valid")
        self._users = users[torch.from_numpy(rows).to(device)]
        self._targets = torch.from_numpy(targets).to(device)
        self._histories, self._seen = histories.take(rows), split.seen("valid").take(rows)

    @property
    def unit(self) -> float:
        """The α with which the largest of what is added is about as large as products differ."""
        assert self.together is not None
        some = np.arange(min(len(self._targets), SOME_USERS))
        spread = float((self._users[: len(some)] @ self.table[1:].T).std(dim=1).mean())
        added = self.together.weighing(1.0).scores(self._histories.take(some).newest(self.together.newest))
        largest = added.max(axis=1).toarray()
        return spread / float(largest[largest > 0].mean()) if (largest > 0).any() else spread

    def quality(self, weights: Weights) -> tuple[float, float]:
        """HR@10 and NDCG@10 by these weights."""
        key = tuple(weights.values())
        if key not in self._known:
            ranks = self._ranks(weights)
            self._known[key] = (float(hit(ranks, k=K).mean()), float(ndcg(ranks, k=K).mean()))
        return self._known[key]

    def _ranks(self, weights: Weights) -> np.ndarray:
        users = self._users.clone()
        for name, columns in self.columns.items():
            users[:, columns] *= weights[name]
        counted = self.together.weighing(weights[TOGETHER]) if weights.get(TOGETHER) and self.together else None
        added = added_to(self._histories, counted, self.table.device)
        return rank_targets(users, self.table, seen=self._seen, targets=self._targets, added=added).cpu().numpy()
