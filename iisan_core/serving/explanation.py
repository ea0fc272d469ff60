"""Why an item scores what it scores: what each tower adds, and what each item of the history adds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from iisan_core.config.schema import FROZEN, TOGETHER
from iisan_core.errors import RefusedError
from iisan_core.model.inference import BIAS, Contributions
from iisan_core.serving.retrieval import UserStates


@dataclass(frozen=True)
class Contribution:
    """What one part of the candidate's vector adds to its score. Only `above_mean` ranks: the mean is everybody's."""

    name: str
    """A modality, `inter` (which holds all modalities), `ids`, `frozen` and a modality (the frozen path's), `together`
    (what stood with the history's items), or `bias` (the same for all items)."""
    score: float
    catalogue_mean: float
    """The mean of this part over all ranked items, for the same user."""

    @property
    def above_mean(self) -> float:
        """How far the item stands out from the catalogue by this part."""
        return self.score - self.catalogue_mean


@dataclass(frozen=True)
class Influence:
    """How far the score falls when one item is removed from the history; negative if it rises."""

    item_id: str
    score: float


@dataclass(frozen=True)
class Explanation:
    """A score and its reasons; the parts sum to it, the influences do not (items act together)."""

    item_id: str
    score: float
    parts: list[Contribution]
    influences: list[Influence]
    """Oldest first; only of the newest items that the encoder reads, and none of a history's only item."""


def catalogue_means(parts: Contributions) -> dict[str, Tensor]:
    """The mean of each tower's part over all items, tower → float64 [E]."""
    return {name: tower[1:].mean(dim=0, dtype=torch.float64) for name, tower in parts.towers.items()}


def split_score(state: Tensor, parts: Contributions, number: int, *, means: Mapping[str, Tensor]) -> list[Contribution]:
    """Split `⟨state, vector⟩` over the vector's parts, exactly (method, section 3).

    state   [E], kept fixed; the columns of a frozen path may follow
    number  the candidate's item number
    means   of the same parts, by `catalogue_means`
    """
    state = state[: len(parts.bias)].double()
    bias = float(state @ parts.bias.double())
    found = [
        Contribution(name, float(state @ tower[number].double()), float(state @ means[name]))
        for name, tower in parts.towers.items()
    ]
    return [*found, Contribution(BIAS, bias, bias)]


def frozen_parts(
    state: Tensor, table: Tensor, number: int, *, columns: Mapping[str, slice], means: Tensor
) -> list[Contribution]:
    """What each modality's frozen path adds to `⟨state, vector⟩`, exactly: the columns are parts as they stand.

    state    [E + F], kept fixed
    table    [N + 1, E + F]
    columns  modality → where its frozen vectors lie
    means    float64 [E + F]: of the table over all items
    """
    state, vector = state.double(), table[number].double()
    return [
        Contribution(f"{FROZEN} {name}", float(state[c] @ vector[c]), float(state[c] @ means[c]))
        for name, c in columns.items()
    ]


def together_part(reader: UserStates, history: Sequence[int], number: int) -> list[Contribution]:
    """What is counted and added to the product, where something is."""
    rows = reader.together_rows([history])
    if rows is None:
        return []
    (score,) = reader.together_scores([history], number).tolist()
    return [Contribution(TOGETHER, score, float(rows.sum(dtype=np.float64)) / (len(reader.table) - 1))]


def influences(reader: UserStates, history: list[int], candidate: int, *, item_ids: Sequence[str]) -> list[Influence]:
    """What each of the newest items of a numbered history that are read adds to a candidate's score, oldest first.

    Where the history is longer than what is read, an older item moves up for each removed. Without its only item a
    history says nothing, so nothing can be said of that item.
    """
    if len(history) == 1:
        return []
    read = range(max(0, len(history) - reader.max_history), len(history))
    without_each = [history[:n] + history[n + 1 :] for n in read]
    scores = reader.scores([history, *without_each], candidate).tolist()
    return [
        Influence(item_ids[history[n] - 1], scores[0] - without) for n, without in zip(read, scores[1:], strict=True)
    ]


@dataclass(frozen=True)
class Explainer:
    """Explains scores; the parts of the item vectors are read when they are first asked for."""

    reader: UserStates
    read_parts: Callable[[], Contributions] | None
    item_ids: Sequence[str]

    def explain(self, history: list[int], candidate: int) -> Explanation:
        """Why an item scores what it scores for a numbered history; raises `RefusedError` where no parts are kept."""
        reader, model = self.reader, self.reader.model
        state = reader.states([history])[0]
        (score,) = reader.scores([history], candidate).tolist()
        *towers, bias = split_score(state, self.parts, candidate, means=self._part_means)
        frozen = frozen_parts(state, reader.table, candidate, columns=model.frozen_columns, means=self._column_means)
        parts = [*towers, *frozen, *together_part(reader, history, candidate), bias]
        reasons = influences(reader, history, candidate, item_ids=self.item_ids)
        return Explanation(self.item_ids[candidate - 1], score, parts, reasons)

    @cached_property
    def parts(self) -> Contributions:
        """Read when first asked for: they are several times as large as the vectors."""
        if self.read_parts is None:
            raise RefusedError("this recommender was made without parts of its item vectors; load it from a run")
        return self.read_parts()

    @cached_property
    def _part_means(self) -> dict[str, Tensor]:
        return catalogue_means(self.parts)

    @cached_property
    def _column_means(self) -> Tensor:
        """Of the vectors, float64 [E + F]."""
        return self.reader.table[1:].mean(dim=0, dtype=torch.float64)
