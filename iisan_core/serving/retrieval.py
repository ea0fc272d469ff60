"""From histories to the best items: user states, the items to choose from, their scores, the largest of them.

Everything works on item numbers (`item_ids.ItemIndex`) and in blocks of users, so that memory stays bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol

import torch
from scipy import sparse
from torch import Tensor

from iisan_core.data.sequences import Sequences
from iisan_core.evaluation.ranking import Products, check_finite, hide_seen, rank_targets, users_per_block
from iisan_core.evaluation.top_k import largest, top_k
from iisan_core.model.inference import USERS_AT_ONCE, ServedModel, user_table
from iisan_core.model.together import Added, Together
from iisan_core.serving.scan import FIRST, Scan, serves


@dataclass(frozen=True)
class UserStates:
    """Makes user states of numbered histories; their products with the item vectors, and what is added, are scores."""

    model: ServedModel
    table: Tensor
    """Item vectors, float32 [N + 1, E]; row 0 is padding."""
    together: Together | None = None
    """What is added to the products, where something is."""

    @property
    def max_history(self) -> int:
        """How many of the newest items are read."""
        return self.model.max_history

    def states(self, histories: Sequence[Sequence[int]]) -> Tensor:
        """Histories, oldest item first and none of them empty → [B, E].

        Raises `IisanError` where a score by them might not be finite.
        """
        return self.states_of(Sequences.of_lists(histories))

    def states_of(self, known: Sequences) -> Tensor:
        """The same of histories in one array."""
        states = user_table(self.model, self.table, torch.from_numpy(known.newest(self.max_history)))
        check_finite(states, self._longest)
        return states

    def together_rows(self, histories: Sequence[Sequence[int]]) -> sparse.csr_array | None:
        """What is added to the products of these histories' states, [B, N + 1]; None where nothing is."""
        return self.together_rows_of(Sequences.of_lists(histories))

    def together_rows_of(self, known: Sequences) -> sparse.csr_array | None:
        """The same of histories in one array."""
        return None if self.together is None else self.together.scores(known.newest(self.together.newest))

    def together_scores(self, histories: Sequence[Sequence[int]], number: int) -> Tensor:
        """What is added to one item's products, float64 [B]."""
        rows = self.together_rows(histories)
        if rows is None or number >= rows.shape[1]:
            return torch.zeros(len(histories), dtype=torch.float64)
        return torch.from_numpy(rows[:, [number]].toarray().ravel()).double()

    def scores(self, histories: Sequence[Sequence[int]], number: int) -> Tensor:
        """One item's scores, float64 [B]."""
        products = self.states(histories).double() @ self.table[number].double()
        return products + self.together_scores(histories, number)

    @cached_property
    def _longest(self) -> Tensor:
        """[1, E]: no item's vector is longer, nor its score larger than this one's could be."""
        return self.table[self.table.norm(dim=1).argmax()].unsqueeze(0)


def left_padded(histories: Sequence[Sequence[int]], *, length: int) -> Tensor:
    """The newest `length` of each history, int64 [B, length], padded with 0 on the left."""
    return torch.from_numpy(Sequences.of_lists(histories).newest(length))


@dataclass(frozen=True, slots=True)
class UserRank:
    """A user, and how far up an item stands among all that this user does not know yet."""

    user_id: str
    rank: int
    score: float


def standing(reader: UserStates, histories: Mapping[str, list[int]], number: int) -> list[UserRank]:
    """Rank and score of one item for each user, users in blocks of bounded memory.

    histories  user → item numbers, oldest first; none of them empty
    number     the item's
    """
    users, found = list(histories), []
    for start in range(0, len(users), USERS_AT_ONCE):
        block = users[start : start + USERS_AT_ONCE]
        known = [histories[user] for user in block]
        states = reader.states(known)
        seen = Sequences.of_lists(known)
        targets, added = torch.full((len(block),), number), partial(_added, reader, known)
        ranks = rank_targets(states, reader.table, seen=seen, targets=targets, added=added).tolist()
        scores = (states @ reader.table[number] + reader.together_scores(known, number).float()).tolist()
        found += [UserRank(*row) for row in zip(block, ranks, scores, strict=True)]
    return found


def _added(reader: UserStates, histories: Sequence[Sequence[int]], rows: Tensor) -> Added | None:
    added = reader.together_rows([histories[row] for row in rows.tolist()])
    return Added.of(added, reader.table.device) if added is not None else None


MOST_IN_QUESTION = 8
"""Of so many items one may be left to be scored exactly: beyond, it is quicker to score all."""


@dataclass(frozen=True)
class Candidates:
    """Item numbers to choose from and their vectors; padding comes first and is never chosen."""

    numbers: Tensor
    """Int64 [C + 1], rising, from 0."""
    vectors: Tensor
    """[C + 1, E]."""
    column: Tensor
    """Item number → its column, int64 [N + 1]; 0 for items that are not on the candidates."""
    lasting: bool = False
    """Whether they serve many a request, so that it pays to prepare them."""

    @classmethod
    def whole(cls, table: Tensor) -> Candidates:
        """All items of the vectors [N + 1, E], which are not copied."""
        numbers = torch.arange(len(table))
        return cls(numbers, table, numbers, lasting=True)

    @classmethod
    def of(cls, chosen: Collection[int], table: Tensor) -> Candidates:
        """Some items, by number."""
        numbers = torch.tensor([0, *sorted(set(chosen))])
        column = torch.zeros(len(table), dtype=torch.int64)
        column[numbers] = torch.arange(len(numbers))
        return cls(numbers, table[numbers], column)

    def best(
        self,
        users: Tensor,
        seen: Tensor,
        *,
        k: int,
        added: Callable[[Tensor], Added | None] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Scores and item numbers of the best `k` (fewer where there are fewer), best first.

        users    [B, E]  user states
        seen     [B, H]  item numbers that are left out; 0 pads. Their scores are −∞.
        added    rows of users, int64 [b] → what is added to their products, if anything
        returns  float32 and int64, [B, min(k, C)]; of equal scores the lower number comes first
        """
        size, k = users_per_block(len(self.numbers)), min(k, len(self.numbers) - 1)
        blocks = []
        for rows in torch.arange(len(users)).split(size):
            extra, hidden = added(rows) if added is not None else None, self.column[seen[rows]]
            found = self._of_one(users, hidden, extra, k) if len(users) == 1 and self._scan is not None else None
            blocks.append(found or self._of_block(users[rows], hidden, extra, k))
        values, columns = (torch.cat(parts) for parts in zip(*blocks, strict=True))
        return values, self.numbers[columns]

    def _of_block(self, users: Tensor, hidden: Tensor, extra: Added | None, k: int) -> tuple[Tensor, Tensor]:
        """Scores and columns of the best `k`, by the scores of all."""
        scores = self._scores(users)
        if extra is not None:
            extra.to_chosen(scores, self.column)
        return top_k(hide_seen(scores, hidden), k)

    def _of_one(self, user: Tensor, hidden: Tensor, extra: Added | None, k: int) -> tuple[Tensor, Tensor] | None:
        """The same for one user, by bounds of the scores of all; None where these leave too many in question."""
        assert self._scan is not None, "the caller has looked"
        about, error = self._scan.about(user)
        counted = torch.zeros_like(about)
        if extra is not None:
            extra.to_chosen(counted, self.column)
        about = hide_seen(about.add_(counted), hidden)
        if k > FIRST or int((about > float("-inf")).sum()) < FIRST:
            return None
        first = top_k(about, FIRST)[1][0]
        reached = (self._scan.exact(user, first) + counted[:, first]).topk(k).values[0, -1]
        columns = (about[0] >= reached - error).nonzero().squeeze(1)  # nothing else can score as high
        if len(columns) > len(self.numbers) // MOST_IN_QUESTION:
            return None
        return largest(self._scan.exact(user, columns) + counted[:, columns], columns.unsqueeze(0), k)

    @cached_property
    def _scan(self) -> Scan | None:
        return Scan.of(self.vectors) if self.lasting and serves(self.vectors) else None

    def _scores(self, users: Tensor) -> Tensor:
        """[B, E] → [B, C + 1]. One user is served at the speed of memory, for which the vectors do as they are."""
        return self._products(users) if len(users) > 1 else users @ self.vectors.T

    @cached_property
    def _products(self) -> Products:
        return Products(self.vectors)


class Slate(Protocol):
    """What items are chosen from."""

    def best(
        self,
        users: Tensor,
        seen: Tensor,
        *,
        k: int,
        added: Callable[[Tensor], Added | None] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """As `Candidates.best`."""
        ...


@dataclass(frozen=True, slots=True)
class Recommended:
    """One recommended item."""

    item_id: str
    score: float


def best_items(
    reader: UserStates,
    candidates: Slate,
    histories: Sequence[Sequence[int]],
    *,
    item_ids: Sequence[str],
    k: int,
    exclude_seen: bool,
) -> list[list[Recommended]]:
    """The best `k` items of a candidates for each numbered history; fewer where fewer are left.

    item_ids  id of item `n` at `n − 1`
    """
    answers: list[list[Recommended]] = []
    for start in range(0, len(histories), USERS_AT_ONCE):
        block = histories[start : start + USERS_AT_ONCE]
        seen = left_padded(block, length=max(map(len, block)) if exclude_seen else 1)
        seen = seen if exclude_seen else torch.zeros_like(seen)
        best = candidates.best(reader.states(block), seen, k=k, added=partial(_added, reader, block))
        answers += _named(*best, item_ids)
    return answers


def _named(scores: Tensor, numbers: Tensor, item_ids: Sequence[str]) -> list[list[Recommended]]:
    """Scores and item numbers [B, k] by row; items that were left out have the score −∞."""
    kept = (scores > float("-inf")).sum(dim=1).tolist()
    return [
        [Recommended(item_ids[number - 1], score) for number, score in zip(ns[:count], ss[:count], strict=True)]
        for ns, ss, count in zip(numbers.tolist(), scores.tolist(), kept, strict=True)
    ]


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
