"""A trained run, put to use: recommendations for users or histories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from iisan_core.dataset import Dataset
from iisan_core.errors import RefusedError
from iisan_core.files import sha256_of_texts
from iisan_core.model.recommender_model import RecommenderModel
from iisan_core.model.saved import load_model
from iisan_core.ranking import check_finite, hide_seen, users_per_block
from iisan_core.run_folder import RunFolder
from iisan_core.sequences import split
from iisan_core.training.evaluation import user_table


@dataclass(frozen=True)
class Recommended:
    """One recommended item."""

    item_id: str
    score: float


class Recommender:
    """Recommends from item vectors and a user encoder; needs neither backbones nor caches.

    >>> recommender = Recommender.load("workspace/runs/demo")      # doctest: +SKIP
    >>> recommender.recommend(users=["U0001"], k=10)               # doctest: +SKIP
    >>> recommender.recommend(histories=[["P0003", "P0040"]])      # doctest: +SKIP
    """

    def __init__(self, *, model: RecommenderModel, table: Tensor, item_ids: Sequence[str], dataset: Dataset) -> None:
        self.dataset = dataset
        self.item_ids = list(item_ids)
        self._encoder = model.users.eval()
        self._inputs = model.shape.inputs
        self._table = table.float()  # [N + 1, E]
        self._columns = self._table.T.contiguous()
        self._number = {item_id: n for n, item_id in enumerate(self.item_ids, start=1)}
        self._catalogue = frozenset(dataset.items["item_id"])
        log = dataset.interactions.group_by("user_id", maintain_order=True).agg("item_id")
        self._known: dict[str, list[str]] = dict(log.iter_rows())

    @classmethod
    def load(cls, run: str | Path) -> Recommender:
        """Load a finished run; raises `RefusedError` if it has none of what is needed."""
        folder = RunFolder.open(run)
        config = folder.config()
        dataset = Dataset.load(config.dataset)
        item_ids = split(dataset, config.protocol).item_ids
        table, of_items = _read_vectors(folder)
        if len(table) != len(item_ids) + 1 or of_items != sha256_of_texts(item_ids):
            raise RefusedError(
                f"{folder.item_vectors} holds vectors of {len(table) - 1:,} items that are not the {len(item_ids):,} "
                f"to rank in {config.dataset}; the dataset has changed since the training, train again"
            )
        return cls(model=load_model(folder.best), table=table, item_ids=item_ids, dataset=dataset)

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
    ) -> list[list[Recommended]]:
        """The best `k` items for each user, or for each history of item ids (oldest first).

        Users are served from everything known of them. Items of the history are left out unless `exclude_seen` is
        off. Raises `RefusedError` for unknown users or items, an empty history, or a `k` that is no item count.
        """
        if (users is None) == (histories is None):
            raise RefusedError("recommend takes either users or histories, exactly one of them")
        if not 1 <= k <= len(self.item_ids):
            raise RefusedError(f"k is {k}; there are {len(self.item_ids):,} items, choose 1 to that many")
        numbered = [self._numbers(h) for h in (histories or [self.history(user) for user in users or []])]
        answers: list[list[Recommended]] = []
        size = users_per_block(len(self._table))
        for start in range(0, len(numbered), size):
            answers += self._best(numbered[start : start + size], k=k, exclude_seen=exclude_seen)
        return answers

    def _best(self, histories: list[list[int]], *, k: int, exclude_seen: bool) -> list[list[Recommended]]:
        """The best items of a block of numbered histories."""
        seen = left_padded(histories, length=max(map(len, histories)))
        states = user_table(self._encoder, self._table, left_padded(histories, length=self._inputs))
        check_finite(states, self._table)
        scores = hide_seen(states @ self._columns, seen if exclude_seen else torch.zeros_like(seen))
        best, numbers = scores.topk(k, dim=1)
        return [
            [Recommended(self.item_ids[n - 1], s) for n, s in zip(ns, ss, strict=True) if s > float("-inf")]
            for ns, ss in zip(numbers.tolist(), best.tolist(), strict=True)
        ]

    def _numbers(self, history: Sequence[str]) -> list[int]:
        """Item numbers of a history; items of the catalogue that are not ranked have no vector and are passed over."""
        for item_id in history:
            if item_id not in self._catalogue:
                raise RefusedError(f"no item {item_id!r} in {self.dataset.folder}; check its spelling")
        numbers = [self._number[item_id] for item_id in history if item_id in self._number]
        if not numbers:
            raise RefusedError(
                "a history without any ranked item says nothing; give at least one item that has a vector"
            )
        return numbers


def left_padded(histories: Sequence[Sequence[int]], *, length: int) -> Tensor:
    """The newest `length` of each history, int64 [B, length], padded with 0 on the left."""
    return torch.tensor([[0] * (length - len(h)) + list(h[-length:]) for h in histories])


def _read_vectors(folder: RunFolder) -> tuple[Tensor, str]:
    """Item vectors [N + 1, E], and the hash of the item ids that they belong to."""
    path = folder.item_vectors
    if not path.is_file():
        raise RefusedError(f"no item vectors at {path}; let the run finish, or go on with `iisan resume`")
    try:
        with safe_open(path, framework="pt") as file:
            return file.get_tensor("items"), (file.metadata() or {}).get("item_ids", "")
    except SafetensorError as error:
        raise RefusedError(f"{path} holds no item vectors ({error}); train again") from None
