"""An index of item vectors, for catalogues so large that scoring all takes too long: nearly the best, and much quicker.

    index.json          kind, effort, and the recall@10 that was measured against exact answers when it was made
    index.safetensors   the structure alone; the vectors are the run's own

It is built and searched by faiss, but kept as plain arrays whose shapes are known and checked before they are read:
faiss' own files say for themselves how much is to be allocated. What the index finds is scored exactly anew, together
with what is counted and added to the products (`Indexed`), so what it can miss are items of the product alone.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from iisan_core.config.schema import Strict, validated
from iisan_core.errors import RefusedError
from iisan_core.evaluation.ranking import hide_seen
from iisan_core.evaluation.top_k import largest
from iisan_core.files import checked, new_folder, read_json, seal, write_json
from iisan_core.model.together import Added
from iisan_core.serving.index_arrays import (
    ARRAYS,
    MOST_LINKS,
    Kind,
    arrays_of,
    built,
    digest_of,
    restored,
    set_effort,
)
from iisan_core.serving.retrieval import Candidates

Floats = NDArray[np.float32]
Choice: TypeAlias = Literal["auto", "flat", "ivf", "hnsw"]

FLAT_BELOW, IVF_BELOW = 100_000, 4_000_000
"""Items up to which an index of that kind is chosen; beyond, a graph (HNSW)."""

K = 10
WANTED_RECALL = 0.97
"""Of the best `K`, on the queries that the effort is chosen by."""

FIRST_EFFORT, FINENESS = 8, 8
"""The effort that is tried first, and how near the least one is looked for: to an eighth of it."""

MORE = 4
"""Times as many as are wanted are taken from the index, for what is added to the products may change their order."""


class IndexFacts(Strict):
    """`index.json`."""

    format_version: Literal[1] = 1
    kind: Kind
    items: int = Field(ge=1)
    width: int = Field(ge=1)
    of_vectors: str
    """Hash of the vectors that it belongs to."""
    effort: int = Field(ge=1)
    """Lists that are looked through, or candidates that are followed, for a query."""
    recall: float = Field(ge=0, le=1)
    """Mean recall@10 of the products against exact answers, on `queries` user states."""
    queries: int = Field(ge=1)


@dataclass(frozen=True)
class VectorIndex:
    """A searcher, and how good it is."""

    facts: IndexFacts
    searcher: Any
    """A faiss index; rows count from 0."""

    @classmethod
    def build(
        cls, vectors: Floats, queries: Floats, *, kind: Choice = "auto", recall: float = WANTED_RECALL
    ) -> VectorIndex:
        """Index vectors [N, W] with the least effort that finds, of the `queries` [Q, W], the wanted share.

        Raises `RefusedError` where faiss is not installed, or there are no queries.
        """
        _require_faiss()
        if not len(queries):
            raise RefusedError("an index is measured on user states, and there are none; give at least one query")
        chosen: Kind = kind_for(len(vectors)) if kind == "auto" else kind
        searcher = built(chosen, vectors)
        exact = exact_top(vectors, queries, k=min(K, len(vectors)))
        effort, reached = _least_effort(chosen, searcher, queries, exact, wanted=recall)
        facts = IndexFacts(
            kind=chosen, items=len(vectors), width=vectors.shape[1], of_vectors=digest_of(vectors), effort=effort,
            recall=reached, queries=len(queries),
        )  # fmt: skip
        return cls(facts, searcher)

    def save(self, folder: Path) -> None:
        """Write it into a new folder; raises `RefusedError` if that is taken."""
        with new_folder(folder) as made:
            save_file(arrays_of(self.facts.kind, self.searcher), made / "index.safetensors")
            write_json(made / "index.json", self.facts.model_dump(mode="json"))
            seal(made, ("index.safetensors", "index.json"))

    @classmethod
    def load(cls, folder: Path, vectors: Floats) -> VectorIndex:
        """Read an index of these vectors [N, W]; nothing in its files is executed.

        Raises `RefusedError` where faiss is not installed, a file is absent or broken, has other shapes than an index
        of these vectors, points outside of it, or belongs to other vectors.
        """
        _require_faiss()
        path = folder / "index.json"
        facts = validated(IndexFacts, read_json(path, what="index"), where=str(path))
        if (facts.items, facts.width) != vectors.shape or facts.of_vectors != digest_of(vectors):
            raise RefusedError(
                f"{folder} is an index of {facts.items:,} vectors of {facts.width:,} numbers, not of the run's "
                f"{vectors.shape[0]:,} of {vectors.shape[1]:,}, or of others; make it anew: `iisan export --to faiss`"
            )
        arrays = _read(folder / "index.safetensors", facts)
        checked(path)
        checked(folder / "index.safetensors")
        try:
            searcher = restored(facts.kind, arrays, vectors)
        except ValueError as error:
            raise RefusedError(f"{folder / 'index.safetensors'} is no {facts.kind} index: {error}") from None
        set_effort(facts.kind, searcher, facts.effort)
        return cls(facts, searcher)

    def search(self, states: Floats, k: int) -> NDArray[np.int64]:
        """Numbers of about the best `k` items by product, [B, k], best first; 0 where it found fewer."""
        found: NDArray[np.int64] = self.searcher.search(states, min(k, self.facts.items))[1]
        return found + 1


def _least_effort(
    kind: Kind, searcher: Any, queries: Floats, exact: NDArray[np.int64], *, wanted: float
) -> tuple[int, float]:
    """The least effort that finds the wanted share, about, and the share that it finds; the searcher is set to it."""

    def found(effort: int) -> float:
        set_effort(kind, searcher, effort)
        return recall_of(searcher.search(queries, exact.shape[1])[1], exact)

    if kind == "flat":
        return 1, found(1)
    low, high = 0, FIRST_EFFORT
    while found(high) < wanted and high < searcher.ntotal:
        low, high = high, 2 * high
    while high - low > max(1, high // FINENESS):
        middle = (low + high) // 2
        low, high = (low, middle) if found(middle) >= wanted else (middle, high)
    return high, found(high)


def kind_for(items: int) -> Kind:
    """The kind of index that serves so many items best."""
    return "flat" if items < FLAT_BELOW else "ivf" if items < IVF_BELOW else "hnsw"


def exact_top(vectors: Floats, queries: Floats, *, k: int) -> NDArray[np.int64]:
    """The best `k` rows for each query, [Q, k], in no order; a few queries at a time."""
    blocks = (queries[start : start + 16] @ vectors.T for start in range(0, len(queries), 16))
    return np.concatenate([np.argpartition(-scores, k - 1, axis=1)[:, :k] for scores in blocks])


def recall_of(found: NDArray[np.int64], exact: NDArray[np.int64]) -> float:
    """The mean share of the exact answers that were found; both [Q, k]."""
    return float((found[:, :, None] == exact[:, None, :]).any(axis=1).mean())


def _require_faiss() -> None:
    if importlib.util.find_spec("faiss") is None:
        raise RefusedError('an index takes faiss: pip install "iisan-workbench[faiss]"; answers without it are exact')


def _read(path: Path, facts: IndexFacts) -> dict[str, NDArray[Any]]:
    """The arrays of an index, if they have the names, types and numbers of dimensions of its kind."""
    wanted = ARRAYS[facts.kind]
    try:
        with safe_open(path, framework="numpy") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            found = {name: (part.get_dtype(), len(part.get_shape())) for name, part in slices.items()}
            if found != wanted:
                raise RefusedError(f"{path} holds the arrays {found}; an index of the kind {facts.kind} has {wanted}")
            for name, part in slices.items():
                if prod(part.get_shape()) > facts.items * max(facts.width, MOST_LINKS):
                    raise RefusedError(f"{path}: {name} has the shape {part.get_shape()}, too large for this index")
            return {name: file.get_tensor(name) for name in wanted}
    except (OSError, SafetensorError) as error:
        raise RefusedError(f"{path} holds no index ({error}); make it anew") from None


@dataclass(frozen=True)
class Indexed:
    """All items of a run behind an index: what it finds, and whatever something is added to, is scored exactly."""

    index: VectorIndex
    candidates: Candidates
    """All items."""

    def best(
        self,
        users: Tensor,
        seen: Tensor,
        *,
        k: int,
        added: Callable[[Tensor], Added | None] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """As `Candidates.best`, which answers where the index finds too few."""
        rows = [
            self._of_one(users[n : n + 1], seen[n : n + 1], k, added(torch.tensor([n])) if added is not None else None)
            for n in range(len(users))
        ]
        exact = [n for n, row in enumerate(rows) if row is None]
        for n in exact:
            one = (lambda _, n=n: added(torch.tensor([n]))) if added is not None else None
            rows[n] = self.candidates.best(users[n : n + 1], seen[n : n + 1], k=k, added=one)
        values, numbers = zip(*[row for row in rows if row is not None], strict=True)
        return torch.cat(values), torch.cat(numbers)

    def _of_one(self, user: Tensor, seen: Tensor, k: int, extra: Added | None) -> tuple[Tensor, Tensor] | None:
        wanted = MORE * k + int((seen > 0).sum())
        found = torch.from_numpy(self.index.search(user.numpy(), wanted)[0])
        if extra is not None:
            found = torch.cat([found, extra.starts.diff().nonzero().squeeze(1)])
        numbers = torch.cat([torch.zeros(1, dtype=torch.int64), found]).unique()  # rising, padding first
        if len(numbers) <= k:
            return None
        scores = user @ self.candidates.vectors[numbers].T
        if extra is not None:
            column = torch.zeros(len(extra.starts) - 1, dtype=torch.int64)
            inside = numbers < len(column)
            column[numbers[inside]] = inside.nonzero().squeeze(1)
            extra.to_chosen(scores, column)
        places = torch.searchsorted(numbers, seen).clamp(max=len(numbers) - 1)
        hide_seen(scores, places.where(numbers[places] == seen, 0))
        if int((scores > float("-inf")).sum()) < min(k, len(self.candidates.numbers) - 1):
            return None
        return largest(scores, numbers.unsqueeze(0), k)
