"""The protocol's split: last interactions of every user, left-padded (method, section 6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iisan_core.config.schema import ProtocolConfig
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError

PADDING = 0


@dataclass(frozen=True)
class Split:
    """Users' kept sequences over numbered items; item number `n ≥ 1` is `item_ids[n − 1]`, 0 pads.

    A user's last interaction is the test target, the one before it the validation target, the rest trains.

    Example:
        >>> kept = split(dataset, ProtocolConfig(max_history=4))
        >>> kept.sequences.shape == (len(kept.user_ids), 4 + 3)
        True
    """

    user_ids: list[str]
    item_ids: list[str]
    sequences: NDArray[np.int64]
    """[U, S + 3], left-padded."""
    max_history: int
    """S."""

    @property
    def train(self) -> NDArray[np.int64]:
        """[U, S + 1]: inputs are all but the last, targets all but the first."""
        return self.sequences[:, :-2]

    def history(self, subset: str) -> NDArray[np.int64]:
        """What is known of each user before the target of `valid` or `test`: [U, S + 2], left-padded."""
        history = self.sequences[:, :-1]
        if subset == "test":
            return history
        earlier = np.full_like(history, PADDING)
        earlier[:, 1:] = history[:, :-1]
        return earlier

    def targets(self, subset: str) -> NDArray[np.int64]:
        """The item to be ranked for each user, [U]."""
        return self.sequences[:, -1 if subset == "test" else -2]

    def training_counts(self) -> NDArray[np.int64]:
        """How often each item occurs in training, [N + 1]; 0 for padding."""
        counts = np.bincount(self.train.ravel(), minlength=len(self.item_ids) + 1)
        counts[PADDING] = 0
        return counts

    def popularity(self) -> NDArray[np.float64]:
        """q: each item's share of training interactions, [N + 1]; 1 for padding, 0 where never seen."""
        counts = self.training_counts()
        shares = counts / counts.sum()
        shares[PADDING] = 1
        return shares


def split(dataset: Dataset, protocol: ProtocolConfig) -> Split:
    """Keep users with enough interactions, their last ones, and number the items in catalogue order.

    Args:
        dataset: catalogue and log.
        protocol: how many interactions a user must have, how many are kept, which items are ranked.

    Returns:
        Users' sequences over numbered items, targets of validation and test at their ends (method, section 6).

    Raises:
        RefusedError: no user has enough interactions.

    Example:
        >>> split(dataset, ProtocolConfig()).targets("test").shape
        (80,)
    """
    kept = last_interactions(
        dataset.interactions, min_interactions=protocol.min_interactions, keep_last=protocol.keep_last
    )
    if kept.is_empty():
        raise RefusedError(
            f"no user of {dataset.folder} has the {protocol.min_interactions} interactions that the protocol "
            "asks for; lower protocol.min_interactions or bring a longer log"
        )
    item_ids = _ranked_items(dataset.items, kept, protocol)
    numbers = pl.DataFrame({"item_id": item_ids, "item": np.arange(1, len(item_ids) + 1)})
    kept = kept.join(numbers, on="item_id", how="left", maintain_order="left")
    users = kept["user_id"].rle_id().to_numpy()
    sequences = np.full((int(users[-1]) + 1, protocol.keep_last), PADDING, dtype=np.int64)
    sequences[users, protocol.keep_last - 1 - kept["from_end"].to_numpy()] = kept["item"].to_numpy()
    user_ids = kept["user_id"].unique(maintain_order=True).to_list()
    return Split(user_ids=user_ids, item_ids=item_ids, sequences=sequences, max_history=protocol.max_history)


def last_interactions(interactions: pl.DataFrame, *, min_interactions: int, keep_last: int) -> pl.DataFrame:
    """The interactions that the protocol keeps, in order, with `from_end`: 0 is a user's newest (the test target)."""
    length = pl.len().over("user_id").cast(pl.Int64)
    from_end = length - 1 - pl.int_range(pl.len()).over("user_id")
    return interactions.with_columns(from_end=from_end).filter(
        (length >= min_interactions) & (pl.col("from_end") < keep_last)
    )


def _ranked_items(items: pl.DataFrame, kept: pl.DataFrame, protocol: ProtocolConfig) -> list[str]:
    if protocol.catalogue == "all":
        return items["item_id"].to_list()
    return items.join(kept, on="item_id", how="semi", maintain_order="left")["item_id"].to_list()
