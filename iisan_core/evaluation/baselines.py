"""Recommenders that are counted instead of trained: what every trained one has to beat.

Each is made from a split's training interactions and scores items for a block of histories. Learned baselines (ids,
frozen states) are configurations of the model instead.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from iisan_core.config.schema import BaselineConfig
from iisan_core.data.split import Split
from iisan_core.model.together import Together, incidence, similarities


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
        self._together = count_together(split, config)

    def scores(self, histories: NDArray[np.int64]) -> NDArray[np.float32]:
        """Left-padded item numbers [B, H], of which the newest S count → float32 [B, N + 1]."""
        return np.asarray(self._together.scores(histories).toarray(), dtype=np.float32)


def count_together(split: Split, config: BaselineConfig) -> Together:
    """Item-kNN's similarities, counted from the training interactions of a split."""
    of_users = incidence(split.train, items=len(split.item_ids))
    similar = similarities(of_users, shrink=config.shrink, neighbours=config.neighbours)
    return Together(similar, recency=config.recency, newest=split.max_history)


Baseline: TypeAlias = Popular | ItemKNN
