"""Recommendations for everybody: users in blocks, whose answers are arrays instead of lists of objects.

What is asked for is made ready once (`Order`); then any stretch of users can be answered by itself, in any order and by
any process, always with the same numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn

from iisan_core.config.schema import FROZEN, TOGETHER
from iisan_core.data.sequences import PADDING, Numbers, Sequences
from iisan_core.errors import RefusedError
from iisan_core.model.ensemble import Ensemble
from iisan_core.model.inference import BIAS, USERS_AT_ONCE, Contributions, ServedModel
from iisan_core.model.together import Added
from iisan_core.serving.histories import Histories, Known, View
from iisan_core.serving.item_ids import ItemIndex
from iisan_core.serving.retrieval import Candidates, UserStates

Floats = NDArray[np.float32]

VECTOR = "vector"
"""Column of a table of vectors."""
PART = "part_"
"""Columns of the parts of a score begin so."""


@dataclass(frozen=True, kw_only=True)
class BulkRequest:
    """Who is to get recommendations, and which; by default everybody of the log, of all items.

    Example:
        >>> from iisan_core import BulkRequest, Recommender
        >>> recommender = Recommender.load(run.path)
        >>> table = recommender.recommend_frame(BulkRequest(users=["u00", "u01"], k=2, parts=True))
        >>> table.columns[:4], table["rank"].to_list()
        (['user_id', 'rank', 'item_id', 'score'], [1, 2, 1, 2])
        >>> history = pl.DataFrame({"user_id": ["new"], "item_id": [["i00", "i06"]]})
        >>> recommender.recommend_frame(BulkRequest(histories=history, k=3)).height
        3
    """

    users: Sequence[str] | None = None
    """Users of the log, each answered once; None: all."""
    histories: pl.DataFrame | None = None
    """Instead of users: `user_id` and `item_id`, a row an item, oldest first, or a row a user with a list of items."""
    view: View = "now"
    """`evaluation`: a user's history ends before the item that the test held back."""
    k: int = 10
    """Items for each; fewer where fewer are left."""
    exclude_seen: bool = True
    """Whether items of the history are left out."""
    candidates: Collection[str] | None = None
    """Only these items are recommended; None: any."""
    filter: pl.Expr | None = None
    """Only items that meet this condition on the catalogue's columns."""
    exclude: pl.DataFrame | None = None
    """Items that are not recommended: `item_id`, to nobody; with a column `user_id`, not to that user."""
    parts: bool = False
    """Whether to add a column for each part of the score; they sum to it."""

    def known(self, histories: Histories) -> Known:
        """What is known of everybody who is asked for."""
        if self.histories is None:
            return histories.known(self.users, view=self.view)
        if self.users is not None or self.view != "now":
            raise RefusedError("histories are given as they are: give no users and no view with them")
        return Known.of_frame(self.histories)

    @property
    def excluded_by_user(self) -> pl.DataFrame | None:
        """Exclusions of single users."""
        return self.exclude if self.exclude is not None and "user_id" in self.exclude.columns else None

    @property
    def excluded_from_all(self) -> Collection[str]:
        """Ids of items that nobody gets."""
        if self.exclude is None or self.excluded_by_user is not None:
            return []
        return self.exclude["item_id"].cast(pl.String).unique(maintain_order=True).to_list()

    def __post_init__(self) -> None:
        if self.exclude is not None and "item_id" not in self.exclude.columns:
            columns = ", ".join(self.exclude.columns) or "none"
            raise RefusedError(f"exclusions are a table with a column item_id; this one has {columns}")


@dataclass(frozen=True)
class ScoreParts:
    """How a product splits: over columns of the vectors as they stand, or over towers that sum to the first columns."""

    columns: Mapping[str, slice]
    towers: Mapping[str, Tensor]
    """Tower → [N + 1, E]."""
    bias: Tensor | None
    """[E], the same in all vectors; None where the columns are all there is."""
    together: bool
    """Whether something counted is added."""

    @property
    def names(self) -> list[str]:
        """In the order of an explanation's parts."""
        counted, bias = [TOGETHER] if self.together else [], [BIAS] if self.bias is not None else []
        return [*self.towers, *self.columns, *counted, *bias]

    def of(self, states: Tensor, table: Tensor, numbers: Tensor, counted: sparse.csr_array | None) -> Tensor:
        """What each part adds to the scores of items `numbers` [B, k] for user states [B, W] → [B, k, P]."""
        own = [
            torch.einsum("be,bke->bk", states[:, : tower.shape[1]], tower[numbers]) for tower in self.towers.values()
        ]
        vectors = table[numbers] if self.columns else table[:0]
        own += [torch.einsum("be,bke->bk", states[:, c], vectors[..., c]) for c in self.columns.values()]
        if self.together:
            own.append(_entries(counted, numbers))
        if self.bias is not None:
            own.append((states[:, : len(self.bias)] @ self.bias).unsqueeze(1).expand(numbers.shape))
        return torch.stack(own, dim=2)


def _entries(counted: sparse.csr_array | None, numbers: Tensor) -> Tensor:
    """The entries [B, k] of a sparse matrix [B, M + 1]; items that came later stand with nothing."""
    assert counted is not None, "there is something counted where there is a part for it"
    items = numbers.numpy()
    inside = np.where(items < counted.shape[1], items, PADDING)
    rows = np.repeat(np.arange(len(items)), items.shape[1])
    return torch.from_numpy(np.asarray(counted[rows, inside.ravel()]).reshape(items.shape).astype(np.float32))


def score_parts(model: ServedModel, contributions: Callable[[], Contributions], *, together: bool) -> ScoreParts:
    """How the scores of a model split; `contributions` reads the towers', which several models as one do not have."""
    if isinstance(model, Ensemble):
        return ScoreParts({f"member {n}": c for n, c in enumerate(model.columns, start=1)}, {}, None, together)
    of_vectors = contributions()
    frozen = {f"{FROZEN} {name}": columns for name, columns in model.frozen_columns.items()}
    return ScoreParts(frozen, of_vectors.towers, of_vectors.bias, together)


@dataclass(frozen=True)
class Answers:
    """The best items of some users, best first."""

    numbers: NDArray[np.int32]
    """[B, k]; 0 where fewer than `k` are left, at the end."""
    scores: Floats
    """[B, k]."""
    parts: Floats | None = None
    """[B, k, P]."""


@dataclass(frozen=True)
class Order:
    """Who is to be answered, from what, and what is left out."""

    reader: UserStates
    candidates: Candidates
    item_ids: pl.Series
    """Of item numbers 1 … N."""
    users: pl.Series
    known: Sequences
    """[U]: numbers of the items that the run knows, oldest first; who has none gets no answer."""
    excluded: Sequences
    """[U]: numbers of further items that a user shall not get."""
    k: int
    exclude_seen: bool = True
    parts: ScoreParts | None = None

    def __len__(self) -> int:
        return len(self.users)

    @property
    def width(self) -> int:
        """How many items an answer has at most."""
        return min(self.k, len(self.candidates.numbers) - 1)

    @property
    def part_names(self) -> list[str]:
        """Columns of the parts, in the order of `Answers.parts`."""
        return [PART + name.replace(" ", "_") for name in self.parts.names] if self.parts is not None else []

    @torch.no_grad()
    def answers(self, rows: range) -> Answers:
        """Of a stretch of users, in blocks of bounded memory."""
        shape = (len(rows), self.width)
        found = Answers(
            np.zeros(shape, np.int32),
            np.zeros(shape, np.float32),
            np.zeros((*shape, len(self.part_names)), np.float32) if self.parts is not None else None,
        )
        some = rows.start + np.flatnonzero(self.known.lengths[rows.start : rows.stop])
        for start in range(0, len(some), USERS_AT_ONCE):
            block = some[start : start + USERS_AT_ONCE]
            self._answer(block, found, block - rows.start)
        return found

    def _answer(self, users: Numbers, found: Answers, places: Numbers) -> None:
        """Answer users, none of them without history, into rows of what is found."""
        known, hidden = self.known.take(users), torch.from_numpy(self.excluded.take(users).newest())
        if self.exclude_seen:
            hidden = torch.cat([torch.from_numpy(known.newest()), hidden], dim=1)
        states, counted = self.reader.states_of(known), self.reader.together_rows_of(known)

        def added(rows: Tensor) -> Added | None:
            return Added.of(counted[rows.numpy()], rows.device) if counted is not None else None

        scores, numbers = self.candidates.best(states, hidden, k=self.k, added=added)
        left = scores > float("-inf")
        numbers = numbers.where(left, PADDING)
        found.numbers[places], found.scores[places] = numbers.numpy(), scores.where(left, 0).numpy()
        if self.parts is not None and found.parts is not None:
            split = self.parts.of(states, self.reader.table, numbers, counted)
            found.parts[places] = split.where(left.unsqueeze(2), 0).numpy()

    @torch.no_grad()
    def states(self, users: Numbers) -> Floats:
        """States of users, none of them without history, float32 [n, W]."""
        found = np.empty((len(users), self.reader.table.shape[1]), np.float32)
        for start in range(0, len(users), USERS_AT_ONCE):
            block = slice(start, start + USERS_AT_ONCE)
            found[block] = self.reader.states_of(self.known.take(users[block])).numpy()
        return found

    def frame(self, rows: range, answers: Answers) -> pl.DataFrame:
        """Answers as a table, users in order, best items first: `user_id`, `rank`, `item_id`, `score` and the parts."""
        there = answers.numbers != PADDING
        row, place = np.nonzero(there)
        columns = {
            "user_id": self.users.gather(pl.Series(row + rows.start)),
            "rank": pl.Series(place + 1, dtype=pl.Int32),
            "item_id": self.item_ids.gather(pl.Series(answers.numbers[there] - 1)),
            "score": pl.Series(answers.scores[there]),
        }
        if answers.parts is not None:
            columns |= {name: pl.Series(answers.parts[..., n][there]) for n, name in enumerate(self.part_names)}
        return pl.DataFrame(columns)

    def digest(self) -> str:
        """Hexadecimal SHA-256 of all that decides the answers: two orders that have it in common are one."""
        digest = hashlib.sha256()
        for name, array in self._arrays():
            digest.update(f"{name} {array.dtype} {array.shape} ".encode())
            digest.update(np.ascontiguousarray(array).data.cast("B"))
        together = self.reader.together
        counted = None if together is None else (together.recency, together.newest, together.weight)
        digest.update(repr((self.k, self.exclude_seen, self.part_names, counted)).encode())
        return digest.hexdigest()

    def _arrays(self) -> Iterator[tuple[str, NDArray[Any]]]:
        yield "table", self.reader.table.numpy()
        assert isinstance(self.reader.model, nn.Module), "what is served is a module"
        for name, tensor in self.reader.model.state_dict().items():
            yield name, tensor.float().numpy()
        if self.reader.together is not None:
            similar = self.reader.together.similar
            yield from (("indptr", similar.indptr), ("indices", similar.indices), ("data", similar.data))
        for name, texts in (("items", self.item_ids), ("users", self.users)):
            yield name, texts.str.len_bytes().to_numpy()
            yield name, np.frombuffer("".join(texts).encode(), np.uint8)
        yield "candidates", self.candidates.numbers.numpy()
        for name, rows in (("known", self.known), ("excluded", self.excluded)):
            yield name, rows.lengths
            yield name, rows.flat()[1]


def as_frame(name: str, ids: Sequence[str] | pl.Series, vectors: Floats) -> pl.DataFrame:
    """Ids and their vectors [n, W] as a table of `name` and `vector`."""
    vector = pl.Series(VECTOR, vectors, dtype=pl.Array(pl.Float32, vectors.shape[1]))
    return pl.DataFrame([pl.Series(name, ids, dtype=pl.String), vector])


def array_of(table: pl.DataFrame) -> Floats:
    """The vectors of such a table, float32 [n, W]."""
    return np.ascontiguousarray(table[VECTOR].to_numpy(), dtype=np.float32)


def make_order(
    request: BulkRequest,
    reader: UserStates,
    items: ItemIndex,
    histories: Histories,
    *,
    candidates: Candidates,
    parts: ScoreParts | None,
) -> Order:
    """Look up all ids of a request, and pass over what the run does not know.

    Raises `RefusedError` for a user that is unknown, an item that is not in the catalogue, or a table that is no
    histories.
    """
    known = request.known(histories)
    numbers = items.of_column(known.items, where="the histories")
    return Order(
        reader=reader,
        candidates=candidates,
        item_ids=pl.Series("item_id", items.ids),
        users=known.users.alias("user_id"),
        known=_compact(numbers, known.starts, known.ends),
        excluded=_excluded(request.excluded_by_user, items, known.users),
        k=request.k,
        exclude_seen=request.exclude_seen,
        parts=parts,
    )


def _compact(numbers: NDArray[np.int32], starts: Numbers, ends: Numbers) -> Sequences:
    """The rows without the items that have no number."""
    before = np.concatenate([[0], (numbers != PADDING).cumsum()])
    return Sequences(numbers[numbers != PADDING], before[starts], before[ends])


def _excluded(exclude: pl.DataFrame | None, items: ItemIndex, users: pl.Series) -> Sequences:
    """Item numbers by row of the users."""
    if exclude is None:
        return Sequences.of_lists([[]] * len(users))
    rows = pl.DataFrame({"user_id": users}).with_row_index("row")
    own = exclude.select(pl.col("user_id", "item_id").cast(pl.String)).join(rows, on="user_id").sort("row")
    numbers = items.of_column(own["item_id"], where="the exclusions")
    ends = np.bincount(own["row"].to_numpy(), minlength=len(users)).cumsum()
    return _compact(numbers, np.concatenate([[0], ends[:-1]]), ends)
