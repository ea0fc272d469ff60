"""Together: items that stand in the same users' histories, counted from training interactions (method, section 8).

A candidate's score is `α · Σ_a ρ^a · sim(h_a, c)` over the newest items of a history, `a` an item's age. `sim` is
item-kNN's (Sarwar et al., 2001): the cosine of the items' training users, shrunk where they share few. A row of it has
few entries, so what it adds to the scores of a whole catalogue is a sparse row, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy import sparse
from torch import Tensor

from iisan_core.data.sequences import PADDING, Sequences
from iisan_core.errors import RefusedError
from iisan_core.files import checked, replacing

ROWS_AT_ONCE = 4096
"""Items whose similarities to all others are held at once."""

PARTS = ("starts", "items", "values")


@dataclass(frozen=True)
class Added:
    """What is added to the scores of some users, column by column: most items get nothing."""

    starts: Tensor
    """Int64 [N + 2]: the entries of item number `n` are those from `starts[n]` to `starts[n + 1]`."""
    users: Tensor
    """Int64 [n]: rows of the scores."""
    values: Tensor
    """Float32 [n]."""

    @classmethod
    def of(cls, scores: sparse.csr_array, device: torch.device) -> Added:
        """From scores [B, N + 1]."""
        columns = scores.tocsc()
        found = (columns.indptr.astype(np.int64), columns.indices.astype(np.int64), columns.data)
        return cls(*(torch.from_numpy(part).to(device) for part in found))

    def to_tile(self, scores: Tensor, *, first: int) -> None:
        """Add, in place, to scores [B, C] whose column `c` is item number `first + c`."""
        last = min(first + scores.shape[1], len(self.starts) - 1)
        if first < last:
            self._add(scores, torch.arange(scores.shape[1], device=scores.device), first=first, last=last)

    def to_chosen(self, scores: Tensor, column: Tensor) -> None:
        """Add, in place, to scores [B, C]; `column`: item number → its column, int64 [N + 1]."""
        self._add(scores, column, first=0, last=len(self.starts) - 1)

    def _add(self, scores: Tensor, column: Tensor, *, first: int, last: int) -> None:
        """What items `first` to `last − 1` get; the column of item `first + n` is `column[n]`."""
        ends = self.starts[first : last + 1]
        entries = slice(int(ends[0]), int(ends[-1]))
        columns = column[: last - first].repeat_interleave(ends.diff())
        scores.view(-1).index_add_(0, self.users[entries] * scores.shape[1] + columns, self.values[entries])


@dataclass(frozen=True)
class Together:
    """Similarities of items, and what those of a history weigh."""

    similar: sparse.csr_array
    """Float32 [N + 1, N + 1], row and column 0 empty."""
    recency: float
    """ρ: what an item of the history weighs against the next newer."""
    newest: int
    """How many of the newest items count."""
    weight: float = 1.0
    """α."""

    @property
    def items(self) -> int:
        """N: items with higher numbers have come later, and stand with nothing."""
        return self.similar.shape[0] - 1

    def scores(self, histories: NDArray[np.int64]) -> sparse.csr_array:
        """Left-padded item numbers [B, H], the newest of which count → float32 [B, N + 1]."""
        read = histories[:, max(0, histories.shape[1] - self.newest) :]
        known = np.where(read <= self.items, read, PADDING)
        ages = np.arange(read.shape[1])[::-1]
        weights = np.where(known == PADDING, 0, self.weight * self.recency**ages).astype(np.float32)
        users = np.repeat(np.arange(len(read)), read.shape[1])
        profile = sparse.csr_array((weights.ravel(), (users, known.ravel())), shape=(len(read), self.items + 1))
        return profile @ self.similar

    def added(self, histories: NDArray[np.int64], device: torch.device) -> Added:
        """`scores` of left-padded item numbers [B, H], on `device`."""
        return Added.of(self.scores(histories), device)

    def weighing(self, weight: float) -> Together:
        """The same with another α."""
        return replace(self, weight=weight)


def similarities(of_users: sparse.csr_array, *, shrink: float, neighbours: int) -> sparse.csr_array:
    """Each item's similarities to its neighbours, [N + 1, N + 1], row by row.

    The cosine of the items' users times `n / (n + shrink)`, `n` the users in common; of each item the `neighbours`
    most similar others count.

    of_users  which user had which item, 0 or 1: [U, N + 1]
    """
    by_item = of_users.T.tocsr()
    norms = np.sqrt(np.asarray(by_item.sum(axis=1), dtype=np.float32).ravel())
    blocks = []
    for start in range(0, by_item.shape[0], ROWS_AT_ONCE):
        shared = (by_item[start : start + ROWS_AT_ONCE] @ of_users).tocoo()
        rows, columns, n = shared.row + start, shared.col, shared.data
        other = rows != columns
        rows, columns, n = rows[other], columns[other], n[other]
        values = n / (norms[rows] * norms[columns]) * n / (n + shrink)
        blocks.append(_largest(rows, columns, values, count=neighbours))
    rows, columns, values = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return sparse.csr_array((values, (rows, columns)), shape=(by_item.shape[0], by_item.shape[0]))


def incidence(sequences: Sequences, *, items: int) -> sparse.csr_array:
    """Which user had which item, 0 or 1: [U, N + 1]; the padding's column is empty."""
    users, numbers = sequences.flat()
    shape = (len(sequences), items + 1)
    counted = sparse.coo_array((np.ones(len(users), dtype=np.float32), (users, numbers)), shape=shape).tocsr()
    counted.data[:] = 1  # an item that a user had twice was summed
    return counted


def _largest(
    rows: NDArray[np.int32], columns: NDArray[np.int32], values: NDArray[np.float32], *, count: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """The `count` largest entries of each row, of equal ones those of the lowest columns."""
    order = np.lexsort((columns, -values, rows))
    rows, columns, values = rows[order], columns[order], values[order]
    first = np.searchsorted(rows, rows)  # where each entry's row begins
    kept = np.arange(len(rows)) - first < count
    return rows[kept], columns[kept], values[kept]


def save_together(together: Together, path: Path, *, of_items: str) -> None:
    """Write the similarities as a safetensors file; `of_items`: the hash of the item ids that they belong to."""
    matrix = together.similar
    tensors = (matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data)
    said = {"item_ids": of_items, "recency": repr(together.recency), "newest": str(together.newest)}
    with replacing(path) as temporary:
        save_file(dict(zip(PARTS, tensors, strict=True)), temporary, said)


def load_together(path: Path, *, of_items: str, weight: float) -> Together:
    """Read what `save_together` wrote.

    Raises `RefusedError` if the file is absent, broken, or of other items.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            said = file.metadata() or {}
            starts, items, values = (file.get_tensor(name) for name in PARTS)
        shape = (len(starts) - 1, len(starts) - 1)
        matrix = sparse.csr_array((values, items, starts), shape=shape)
        matrix.check_format(full_check=True)
        found = Together(matrix, recency=float(said["recency"]), newest=int(said["newest"]), weight=weight)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise RefusedError(f"{path} holds no similarities of items ({error}); train again") from None
    if said.get("item_ids") != of_items:
        raise RefusedError(f"{path} holds similarities of other items than the run ranks; train again")
    checked(path)
    return found
