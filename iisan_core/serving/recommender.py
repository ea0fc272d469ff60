"""A trained run, put to use: recommendations for users or histories, similar items, reasons."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from iisan_core.computing.processes import ALONE, ProcessGroup
from iisan_core.config.schema import ProtocolConfig
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError
from iisan_core.model.inference import Contributions, ServedModel
from iisan_core.model.together import Together
from iisan_core.serving.bulk import BulkRequest, Order, as_frame, make_order, score_parts
from iisan_core.serving.bulk_files import BulkProgress, write_order
from iisan_core.serving.explanation import Explainer, Explanation
from iisan_core.serving.histories import HeldBack, Histories, View
from iisan_core.serving.index import Indexed, VectorIndex
from iisan_core.serving.item_ids import ItemIndex
from iisan_core.serving.loading import read_run
from iisan_core.serving.new_items import NewItemEncoder, Picture, as_dataset, enlarged, joined
from iisan_core.serving.retrieval import (
    Candidates,
    Recommended,
    Similar,
    Slate,
    UserRank,
    UserStates,
    best_items,
    nearest,
    standing,
)

__all__ = ["Recommended", "Recommender", "Similar"]


class Recommender:
    """Recommends from item vectors and a user encoder; only `add_items` needs backbones, and the caches' manifests.

    Nothing in it changes once it is made, so threads may share one; `add_items` makes another.

    Example:
        >>> recommender = Recommender.load(run.path)
        >>> [[best, second]] = recommender.recommend(users=["u00"], k=2)
        >>> best.score >= second.score
        True
        >>> lamps = pl.col("title").str.contains("7")    # any condition on the catalogue's columns
        >>> [answer] = recommender.recommend(histories=[["i00", "i06"]], k=3, filter=lamps)
        >>> all("7" in item.item_id for item in answer)
        True
        >>> why = recommender.explain(best.item_id, user="u00")
        >>> abs(sum(part.score for part in why.parts) - why.score) < 1e-4
        True
        >>> len(recommender.similar_items(best.item_id, k=3)), len(recommender.suited_users(best.item_id, k=3))
        (3, 3)
    """

    def __init__(
        self,
        *,
        model: ServedModel,
        table: Tensor,
        item_ids: Sequence[str],
        dataset: Dataset,
        parts: Callable[[], Contributions] | None = None,
        new_items: NewItemEncoder | None = None,
        together: Together | None = None,
        protocol: ProtocolConfig | None = None,
    ) -> None:
        self.dataset = dataset
        self.item_ids = list(item_ids)
        self._model = model
        self._table = table.float()  # [N + 1, E + F]
        self._learned = self._table[:, : model.learned_width]  # [N + 1, E]
        self._norms = self._learned.norm(dim=1)  # [N + 1]
        self._all = Candidates.whole(self._table)
        self._reader = UserStates(model, self._table, together)
        self._numbers = ItemIndex(self.item_ids, dataset, protocol)
        self._protocol = protocol
        self._histories = Histories(dataset, protocol)
        self._read_parts = parts
        self._new_items = new_items
        self._indexed: Indexed | None = None

    @classmethod
    def load(cls, run: str | Path) -> Recommender:
        """Load a finished run; raises `RefusedError` if it has none of what is needed."""
        found = read_run(run)
        return cls(
            model=found.model,
            table=found.table,
            item_ids=found.item_ids,
            dataset=found.dataset,
            parts=found.parts,
            new_items=found.new_items,
            together=found.together,
            protocol=found.protocol,
        )

    @classmethod
    def from_pretrained(cls, source: str | Path, *, revision: str | None = None) -> Recommender:
        """Load a run from the hub, `user/name`, or from a folder that `iisan push` wrote or `iisan pull` fetched.

        Only tensors, tables and texts are read, and nothing of it is run. It is kept in the hub's cache folder.
        Raises `RefusedError` if there is no such run, or it holds anything else.
        """
        from iisan_core.serving.hub import local_or_pulled

        return cls.load(local_or_pulled(source, revision=revision))

    @property
    def modalities(self) -> tuple[str, ...]:
        """What items are known by, such as image and text; nothing for a model of ids alone."""
        return self._model.modalities

    def add_items(
        self,
        items: pl.DataFrame,
        *,
        images: Mapping[str, Picture] | None = None,
        vectors: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
    ) -> Recommender:
        """Another recommender that has further items, too: at once and without training. This one stays as it is.

        items   one row per item: `item_id`, the texts that the run's text encoder reads (such as `title`), and any
                other column of the catalogue
        images  item id → picture, a file or a PIL image; where it has none, a path in the column `image` counts,
                relative to the dataset folder
        vectors modality → item id → vector, for states that came to the run as vectors: all layers' numbers, one after
                the other

        They go through the backbones and settings that the caches record and through the run's side networks. An item
        of the catalogue that is not ranked may be added, too. Raises `RefusedError` for a table that does not fit,
        an id that is taken, an input that cannot be read or is missing without a learned stand-in, and if a backbone
        is not there or has changed.
        """
        if self._new_items is None:
            raise RefusedError(
                "this recommender was made without its backbones, or on states that were damaged to compare, or of "
                "several runs; load it from one run on whole states"
            )
        self._numbers.refuse_taken(items)
        with as_dataset(items, images or {}, self.dataset) as new:
            table, parts = self._new_items.encode(new, vectors=vectors or {})
        return Recommender(
            model=self._model,
            table=torch.cat([self._table, table[1:]]),
            item_ids=[*self.item_ids, *items["item_id"]],
            dataset=enlarged(self.dataset, new.items),
            parts=lambda: joined(self._explainer.parts, parts),
            new_items=self._new_items,
            together=self._reader.together,
            protocol=self._protocol,
        )

    def history(self, user: str) -> list[str]:
        """All that is known of a user, oldest first; raises `RefusedError` for a stranger."""
        return self._histories.now(user)

    def held_back(self, user: str) -> HeldBack:
        """A user as the evaluation saw it: the history before the test's target, and the target.

        Raises `RefusedError` for a stranger, for a user who was not measured, and where no protocol is known.
        """
        return self._histories.held_back(user)

    @property
    def unranked(self) -> int:
        """How many items of the catalogue are not in the run, and so never recommended: mostly such as came later."""
        return self._numbers.unranked_count

    def passed_over(self, history: Sequence[str]) -> list[str]:
        """The items of a history that are in the catalogue, not in the run, and so say nothing to it."""
        return self._numbers.unranked(history)

    @torch.no_grad()
    def recommend(
        self,
        *,
        users: Sequence[str] | None = None,
        histories: Sequence[Sequence[str]] | None = None,
        k: int = 10,
        exclude_seen: bool = True,
        candidates: Collection[str] | None = None,
        filter: pl.Expr | None = None,
        exact: bool = False,
    ) -> list[list[Recommended]]:
        """The best `k` items for each user, or for each history of item ids (oldest first).

        Users are served from everything known of them. Items of the history are left out unless `exclude_seen` is
        off. Only `candidates` (item ids) that meet `filter` (a condition on the catalogue's columns, as polars
        writes it) are recommended; where fewer than `k` are left, the answer is shorter. It is empty for a history
        of which the run knows no item (`passed_over` names them): nobody else has to do without for that. With an
        index (`with_index`) answers from all items come by way of it, unless `exact`.
        Raises `RefusedError` for unknown users, items or columns, an empty history, nothing to choose from, or a `k`
        that is no item count.
        """
        if (users is None) == (histories is None):
            raise RefusedError("recommend takes either users or histories, exactly one of them")
        _check_k(k, most=len(self.item_ids), what="items")
        slate: Slate = self._slate(candidates, filter)
        if slate is self._all and self._indexed is not None and not exact:
            slate = self._indexed
        asked = histories if histories is not None else [self.history(user) for user in users or []]
        numbered = [self._numbers.of_asked(history) for history in asked]
        known = [numbers for numbers in numbered if numbers]
        found = best_items(self._reader, slate, known, item_ids=self.item_ids, k=k, exclude_seen=exclude_seen)
        answers = iter(found)
        return [next(answers) if numbers else [] for numbers in numbered]

    def with_index(self, index: VectorIndex) -> Recommender:
        """Another recommender, whose `recommend` finds items by way of an index of this one's vectors."""
        other = copy.copy(self)
        other._indexed = Indexed(index, self._all)
        return other

    def recommend_frame(self, request: BulkRequest | None = None) -> pl.DataFrame:
        """The answers of `recommend` to many users, by default to all, as a table.

        Columns `user_id`, `rank` from 1, `item_id`, `score` float32, and the parts of the score on request. Who has no
        known item has no row. Raises `RefusedError` as `recommend` does, and for tables without their columns.
        """
        order = self.order(request or BulkRequest())
        return order.frame(everybody := range(len(order)), order.answers(everybody))

    def write_recommendations(
        self, request: BulkRequest, out: Path, *, processes: ProcessGroup = ALONE
    ) -> Iterator[BulkProgress]:
        """`recommend_frame` into a `.parquet`, `.csv` or `.jsonl` file, in bounded memory; yields how far it is.

        What a process that was killed had made is used when the same is asked for again. `processes` share the work.
        """
        return write_order(self.order(request), out, processes=processes)

    def item_vectors(self) -> pl.DataFrame:
        """Vectors of all items that the run ranks: `item_id` and `vector`, float32 [W] each.

        A score is the product with a user's vector, and what is counted (`together`), where something is.
        """
        return as_frame("item_id", self.item_ids, self.vectors)

    def user_vectors(
        self, users: Sequence[str] | None = None, *, histories: pl.DataFrame | None = None, view: View = "now"
    ) -> pl.DataFrame:
        """Vectors of users, by default of all: `user_id` and `vector`; who has no known item has no row.

        The arguments, and what is refused, are those of `BulkRequest`.
        """
        order = self.order(BulkRequest(users=users, histories=histories, view=view, k=1))
        known = np.flatnonzero(order.known.lengths)
        return as_frame("user_id", order.users.gather(pl.Series(known)), order.states(known))

    @property
    def users(self) -> pl.Series:
        """Ids of all users of the log."""
        return self._histories.users

    @property
    def model(self) -> ServedModel:
        """What makes user states of item vectors."""
        return self._model

    @property
    def together(self) -> Together | None:
        """What is counted and added to the products, where something is."""
        return self._reader.together

    @property
    def vectors(self) -> NDArray[np.float32]:
        """Item vectors [N, W], in the order of `item_ids`; not copied."""
        return self._table[1:].numpy()

    @property
    def width(self) -> int:
        """W: of item and user vectors."""
        return self._table.shape[1]

    def order(self, request: BulkRequest) -> Order:
        """A request for many users with all its ids looked up; raises `RefusedError` where one is unknown."""
        _check_k(request.k, most=len(self.item_ids), what="items")
        slate = self._slate(request.candidates, request.filter, but=request.excluded_from_all)
        counted = self._reader.together is not None
        parts = score_parts(self._model, lambda: self._explainer.parts, together=counted) if request.parts else None
        return make_order(request, self._reader, self._numbers, self._histories, candidates=slate, parts=parts)

    def _slate(
        self, candidates: Collection[str] | None, condition: pl.Expr | None, *, but: Collection[str] = ()
    ) -> Candidates:
        """What is chosen from."""
        if candidates is None and condition is None and not but:
            return self._all
        return Candidates.of(self._numbers.of_choice(candidates, condition, but=but), self._table)

    @torch.no_grad()
    def similar_items(self, item_id: str, *, k: int = 10) -> list[Similar]:
        """The `k` items whose vectors point most nearly where this one's does, itself left out.

        Raises `RefusedError` for an item without a vector, or a `k` that is no count of other items.
        """
        _check_k(k, most=len(self.item_ids) - 1, what="other items")
        number = self._numbers.of_item(item_id)
        return nearest(self._learned, self._norms, number, item_ids=self.item_ids, k=k)

    @torch.no_grad()
    def suited_users(self, item_id: str, *, k: int = 10, users: Sequence[str] | None = None) -> list[UserRank]:
        """The `k` users (among `users`; None: all) in whose lists the item stands highest; who knows it is left out.

        The score breaks ties of rank, and an item ranks behind those that score as high, as in the evaluation. Raises
        `RefusedError` for an item without a vector, an unknown user, or a `k` that is no count.
        """
        asked = self._histories.users.to_list() if users is None else list(users)
        _check_k(k, most=max(1, len(asked)), what="users")
        number = self._numbers.of_item(item_id)
        numbered = {user: self._numbers.of_ranked(self.history(user)) for user in asked}
        strangers = {user: history for user, history in numbered.items() if history and number not in history}
        found = standing(self._reader, strangers, number)
        return sorted(found, key=lambda user: (user.rank, -user.score))[:k]

    @torch.no_grad()
    def explain(self, item_id: str, *, user: str | None = None, history: Sequence[str] | None = None) -> Explanation:
        """Why `item_id` scores what it scores for a user, or for a history of item ids (oldest first).

        Raises `RefusedError` for unknown users or items, an item without a vector, an empty history, or a run that
        keeps no parts of its item vectors.
        """
        if user is not None and history is None:
            history = self.history(user)
        elif user is not None or history is None:
            raise RefusedError("explain takes either a user or a history, exactly one of them")
        candidate, numbers = self._numbers.of_item(item_id), self._numbers.of_history(history)
        return self._explainer.explain(numbers, candidate)

    @cached_property
    def _explainer(self) -> Explainer:
        return Explainer(self._reader, self._read_parts, self.item_ids)


def _check_k(k: int, *, most: int, what: str) -> None:
    if not 1 <= k <= most:
        raise RefusedError(f"k is {k}; there are {most:,} {what}, choose 1 to that many")
