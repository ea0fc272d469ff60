"""Recommenders that are counted instead of trained: what every trained one has to beat.

Each is made from a split's training interactions and scores items for a block of histories. Learned baselines (ids,
frozen states) are configurations of the model instead.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from iisan_core.config.schema import BaselineConfig
from iisan_core.data.sequences import PADDING, Sequences
from iisan_core.data.split import Split

ROWS_AT_ONCE = 4096
"""Items whose similarities to all others are held at once."""


def fit_baseline(split: Split, config: BaselineConfig) -> Baseline:
    """The baseline that a configuration names, counted from the training interactions of a split."""
    return Popular(split) if config.kind == "popular" else ItemKNN(split, config)


class Popular:
    """The same ranking for everybody: scores an item by its number of training interactions."""

    def __init__(self, split: Split) -> None:
        self._counts = split.training_counts().astype(np.float32)  # [N + 1]

    def scores(self, histories: NDArray[np.int64]) -> NDArray[np.float32]:
        """Left-padded item numbers [B, H] → float32 [B, N + 1], row by row the same."""
        return np.tile(self._counts, (len(histories), 1))


class ItemKNN:
    """Item-kNN (Sarwar et al., 2001): items that stand in the same users' sequences as those of the history.

    Their similarity is the cosine of the items' training users, shrunk where they share few: `cosine · n / (n +
    shrink)`, `n` the users in common; of each item the `neighbours` most similar others count. The newest items of a
    history weigh most.
    """

    def __init__(self, split: Split, config: BaselineConfig) -> None:
        self._recency = config.recency
        self._inputs = split.max_history
        self._items = len(split.item_ids)
        of_users = _incidence(split.train, self._items)
        self._similar = _similarities(of_users, shrink=config.shrink, neighbours=config.neighbours)

    def scores(self, histories: NDArray[np.int64]) -> NDArray[np.float32]:
        """Left-padded item numbers [B, H], of which the newest S count → float32 [B, N + 1]."""
        newest = histories[:, -self._inputs :]
        ages = np.arange(newest.shape[1])[::-1]
        weights = np.where(newest == PADDING, 0, self._recency**ages).astype(np.float32)
        users = np.repeat(np.arange(len(newest)), newest.shape[1])
        shape = (len(newest), self._items + 1)
        profile = sparse.csr_array((weights.ravel(), (users, newest.ravel())), shape=shape)
        return np.asarray((profile @ self._similar).toarray(), dtype=np.float32)


def _incidence(sequences: Sequences, items: int) -> sparse.csr_array:
    """Which user had which item, 0 or 1: [U, N + 1]; the padding's column is empty."""
    users, numbers = sequences.flat()
    shape = (len(sequences), items + 1)
    counted = sparse.coo_array((np.ones(len(users), dtype=np.float32), (users, numbers)), shape=shape).tocsr()
    counted.data[:] = 1  # an item that a user had twice was summed
    return counted


def _similarities(of_users: sparse.csr_array, *, shrink: float, neighbours: int) -> sparse.csr_array:
    """Each item's similarities to its neighbours, [N + 1, N + 1], row by row."""
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


def _largest(
    rows: NDArray[np.int32], columns: NDArray[np.int32], values: NDArray[np.float32], *, count: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """The `count` largest entries of each row, of equal ones those of the lowest columns."""
    order = np.lexsort((columns, -values, rows))
    rows, columns, values = rows[order], columns[order], values[order]
    first = np.searchsorted(rows, rows)  # where each entry's row begins
    kept = np.arange(len(rows)) - first < count
    return rows[kept], columns[kept], values[kept]


Baseline: TypeAlias = Popular | ItemKNN
