"""A trained run, put to use: recommendations for users or histories, similar items, reasons."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from iisan_core.dataset import Dataset
from iisan_core.errors import RefusedError
from iisan_core.files import sha256_of_texts
from iisan_core.model.recommender_model import RecommenderModel
from iisan_core.model.saved import load_model
from iisan_core.ranking import check_finite, hide_seen
from iisan_core.run_folder import RunFolder
from iisan_core.sequences import split
from iisan_core.serving.additions import Picture, as_dataset, enlarged
from iisan_core.serving.audience import Suited, standing
from iisan_core.serving.explanation import Explanation, Influence, catalogue_means, influences, split_score
from iisan_core.serving.histories import left_padded
from iisan_core.serving.item_numbers import ItemNumbers
from iisan_core.serving.new_items import NewItemEncoder, joined
from iisan_core.serving.slate import Slate, top_k
from iisan_core.serving.vectors import read_vectors
from iisan_core.training.evaluation import USERS_AT_ONCE, user_table
from iisan_core.training.parts import ItemParts, load_parts


@dataclass(frozen=True, slots=True)
class Recommended:
    """One recommended item."""

    item_id: str
    score: float


@dataclass(frozen=True, slots=True)
class Similar:
    """An item and the cosine of its vector with another's."""

    item_id: str
    cosine: float


class Recommender:
    """Recommends from item vectors and a user encoder; only `add_items` needs backbones, and the caches' manifests.

    Nothing in it changes once it is made, so threads may share one; `add_items` makes another.

    >>> recommender = Recommender.load("workspace/runs/demo")                              # doctest: +SKIP
    >>> recommender.recommend(users=["U0001"], k=10)                                       # doctest: +SKIP
    >>> mugs = pl.col("title").str.contains("mug")                                         # doctest: +SKIP
    >>> recommender.recommend(histories=[["P0003", "P0040"]], filter=mugs)                 # doctest: +SKIP
    >>> recommender.similar_items("P0003")                                                 # doctest: +SKIP
    >>> recommender.explain("P0007", user="U0001").parts                                   # doctest: +SKIP
    >>> new = pl.DataFrame({"item_id": ["N1"], "title": ["Round oak mug"]})                # doctest: +SKIP
    >>> larger = recommender.add_items(new, images={"N1": "mug.png"})                      # doctest: +SKIP
    >>> larger.similar_items("N1"), larger.suited_users("N1")                              # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        model: RecommenderModel,
        table: Tensor,
        item_ids: Sequence[str],
        dataset: Dataset,
        parts: Callable[[], ItemParts] | None = None,
        new_items: NewItemEncoder | None = None,
    ) -> None:
        self.dataset = dataset
        self.item_ids = list(item_ids)
        self._model = model
        self._encoder = model.users.eval()
        self._inputs = model.shape.inputs
        self._table = table.float()  # [N + 1, E]
        self._norms = self._table.norm(dim=1)  # [N + 1]
        self._longest = self._table[self._norms.argmax()].unsqueeze(0)
        self._all = Slate.whole(self._table)
        self._numbers = ItemNumbers(self.item_ids, dataset)
        log = dataset.interactions.group_by("user_id", maintain_order=True).agg("item_id")
        self._known: dict[str, list[str]] = dict(log.iter_rows())
        self._read_parts = parts
        self._new_items = new_items

    @classmethod
    def load(cls, run: str | Path) -> Recommender:
        """Load a finished run; raises `RefusedError` if it has none of what is needed."""
        folder = RunFolder.open(run)
        config = folder.config()
        if config.baseline is not None:
            raise RefusedError(
                f"run {folder.path} holds the baseline {config.baseline.kind}: it has been measured, but keeps no item "
                "vectors to recommend from; load a run with ids, texts or pictures"
            )
        dataset = Dataset.load(config.dataset)
        item_ids = split(dataset, config.protocol).item_ids
        model = load_model(folder.best)
        table, of_items = read_vectors(folder)
        width = model.shape.config.embedding
        if table.shape[1:] != (width,):
            raise RefusedError(
                f"{folder.item_vectors} holds {list(table.shape)} numbers, the model in {folder.best} reads vectors "
                f"of width {width}; train again"
            )
        if len(table) != len(item_ids) + 1 or of_items != sha256_of_texts(item_ids):
            raise RefusedError(
                f"{folder.item_vectors} holds vectors of {len(table) - 1:,} items that are not the {len(item_ids):,} "
                f"to rank in {config.dataset}; the dataset has changed since the training, train again"
            )
        return cls(
            model=model,
            table=table,
            item_ids=item_ids,
            dataset=dataset,
            parts=partial(load_parts, folder.item_parts, table=table, item_ids=item_ids),
            new_items=None
            if config.damage
            else NewItemEncoder(model=model, caches=config.caches, precision=config.training.precision),
        )

    @property
    def modalities(self) -> tuple[str, ...]:
        """What items are known by, such as image and text; nothing for a model of ids alone."""
        return tuple(self._model.shape.widths)

    def add_items(self, items: pl.DataFrame, *, images: Mapping[str, Picture] | None = None) -> Recommender:
        """Another recommender that has further items, too: at once and without training. This one stays as it is.

        items   one row per item: `item_id`, the texts that the run's text encoder reads (such as `title`), and any
                other column of the catalogue
        images  item id → picture, a file or a PIL image; where it has none, a path in the column `image` counts,
                relative to the dataset folder

        They go through the backbones and settings that the caches record and through the run's side networks. An item
        of the catalogue that is not ranked may be added, too. Raises `RefusedError` for a table that does not fit,
        an id that is taken, an input that cannot be read or is missing without a learned stand-in, and if a backbone
        is not there or has changed.
        """
        if self._new_items is None:
            raise RefusedError(
                "this recommender was made without its backbones, or on states that were damaged to compare; load it "
                "from a run on whole states"
            )
        self._numbers.refuse_taken(items)
        with as_dataset(items, images or {}, self.dataset) as new:
            table, parts = self._new_items.encode(new)
        return Recommender(
            model=self._model,
            table=torch.cat([self._table, table[1:]]),
            item_ids=[*self.item_ids, *items["item_id"]],
            dataset=enlarged(self.dataset, new.items),
            parts=lambda: joined(self._parts, parts),
            new_items=self._new_items,
        )

    def history(self, user: str) -> list[str]:
        """All that is known of a user, oldest first; raises `RefusedError` for a stranger."""
        if user not in self._known:
            some = ", ".join(list(self._known)[:3])
            raise RefusedError(f"no user {user!r} in {self.dataset.folder}; users look like {some}")
        return self._known[user]

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
    ) -> list[list[Recommended]]:
        """The best `k` items for each user, or for each history of item ids (oldest first).

        Users are served from everything known of them. Items of the history are left out unless `exclude_seen` is
        off. Only `candidates` (item ids) that meet `filter` (a condition on the catalogue's columns, as polars
        writes it) are recommended; where fewer than `k` are left, the answer is shorter. Raises `RefusedError` for
        unknown users, items or columns, an empty history, nothing to choose from, or a `k` that is no item count.
        """
        if (users is None) == (histories is None):
            raise RefusedError("recommend takes either users or histories, exactly one of them")
        _check_k(k, most=len(self.item_ids), what="items")
        slate = self._all
        if candidates is not None or filter is not None:
            slate = Slate.of(self._numbers.of_choice(candidates, filter), self._table)
        asked = histories if histories is not None else [self.history(user) for user in users or []]
        numbered = [self._numbers.of_history(history) for history in asked]
        answers: list[list[Recommended]] = []
        for start in range(0, len(numbered), USERS_AT_ONCE):
            answers += self._best(numbered[start : start + USERS_AT_ONCE], slate, k=k, exclude_seen=exclude_seen)
        return answers

    @torch.no_grad()
    def similar_items(self, item_id: str, *, k: int = 10) -> list[Similar]:
        """The `k` items whose vectors point most nearly where this one's does, itself left out.

        Raises `RefusedError` for an item without a vector, or a `k` that is no count of other items.
        """
        _check_k(k, most=len(self.item_ids) - 1, what="other items")
        number = self._numbers.of_item(item_id)
        products = (self._table @ self._table[number]).unsqueeze(0)  # [1, N + 1]
        tiny = torch.finfo(torch.float32).tiny
        cosines = (products / (self._norms * self._norms[number]).clamp(min=tiny)).clamp(-1, 1)
        values, numbers = top_k(hide_seen(cosines, torch.tensor([[number]])), k)
        return [Similar(self.item_ids[n - 1], c) for n, c in zip(numbers[0].tolist(), values[0].tolist(), strict=True)]

    @torch.no_grad()
    def suited_users(self, item_id: str, *, k: int = 10, users: Sequence[str] | None = None) -> list[Suited]:
        """The `k` users (among `users`; None: all) in whose lists the item stands highest; who knows it is left out.

        The score breaks ties of rank, and an item ranks behind those that score as high, as in the evaluation. Raises
        `RefusedError` for an item without a vector, an unknown user, or a `k` that is no count.
        """
        asked = list(self._known) if users is None else list(users)
        _check_k(k, most=max(1, len(asked)), what="users")
        number = self._numbers.of_item(item_id)
        numbered = {user: self._numbers.of_ranked(self.history(user)) for user in asked}
        strangers = {user: history for user, history in numbered.items() if history and number not in history}
        found = standing(self._encoder, self._table, strangers, number, inputs=self._inputs)
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
        state = user_table(self._encoder, self._table, left_padded([numbers], length=self._inputs))[0]
        check_finite(state.unsqueeze(0), self._longest)
        score = float(state.double() @ self._table[candidate].double())
        parts = split_score(state, self._parts, candidate, means=self._part_means)
        return Explanation(item_id, score, parts, self._influences(numbers, candidate))

    def _influences(self, history: list[int], candidate: int) -> list[Influence]:
        """Without its only item a history says nothing, so nothing can be said of that item."""
        if len(history) == 1:
            return []
        falls = influences(self._encoder, self._table, history, self._table[candidate], inputs=self._inputs)
        newest = history[-len(falls) :]
        return [Influence(self.item_ids[n - 1], fall) for n, fall in zip(newest, falls.tolist(), strict=True)]

    @cached_property
    def _parts(self) -> ItemParts:
        """Read when first asked for: they are several times as large as the vectors."""
        if self._read_parts is None:
            raise RefusedError("this recommender was made without parts of its item vectors; load it from a run")
        return self._read_parts()

    @cached_property
    def _part_means(self) -> dict[str, Tensor]:
        return catalogue_means(self._parts)

    def _best(self, histories: list[list[int]], slate: Slate, *, k: int, exclude_seen: bool) -> list[list[Recommended]]:
        """The best items of a block of numbered histories."""
        hidden = left_padded(histories, length=max(map(len, histories))) if exclude_seen else torch.zeros(1, 1).long()
        states = user_table(self._encoder, self._table, left_padded(histories, length=self._inputs))
        check_finite(states, self._longest)
        best, numbers = slate.best(states, hidden.expand(len(histories), -1), k=k)
        return [
            [Recommended(self.item_ids[n - 1], s) for n, s in zip(ns, ss, strict=True) if s > float("-inf")]
            for ns, ss in zip(numbers.tolist(), best.tolist(), strict=True)
        ]


def _check_k(k: int, *, most: int, what: str) -> None:
    if not 1 <= k <= most:
        raise RefusedError(f"k is {k}; there are {most:,} {what}, choose 1 to that many")
