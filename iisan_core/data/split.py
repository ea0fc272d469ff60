"""What of a log trains, and what is held out to measure: by each user's last items, by time, or as given.

How a run is measured and what it learns from are two things. By default every interaction before the targets trains and
the whole history is masked; the paper's own form (method, section 6) keeps the last S + 3 interactions of a user only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iisan_core.config.schema import ProtocolConfig
from iisan_core.data.dataset import Dataset
from iisan_core.data.held_out import Parts, held_out
from iisan_core.data.sequences import PADDING, Numbers, Sequences, Windows


@dataclass(frozen=True)
class Split:
    """Users' items as numbers, and where each user's training, validation and test parts end.

    Item number `n ≥ 1` is `item_ids[n − 1]`, 0 pads. Of row `u` of the log, `starts[u]` to `train_ends[u]` trains, what
    follows up to `valid_ends[u]` is held out for validation, and the rest for the test.

    Example:
        >>> kept = split(dataset, ProtocolConfig(max_history=4))
        >>> kept.history("test").newest(4).shape == (len(kept.users("test")), 4)
        True
    """

    user_ids: pl.Series
    """[U], all users that train or are measured."""
    item_ids: list[str]
    """[N], the items that are ranked."""
    log: Sequences
    """[U], all that is used of each user, targets included."""
    train_starts: Numbers
    """[U], where each user's training items begin in `log.items`: the start of the row, unless only the last train."""
    train_ends: Numbers
    """[U]."""
    valid_ends: Numbers
    """[U]."""
    measured: dict[str, Numbers]
    """`valid` and `test` → the rows of users who have a target there and a history before it, [V]."""
    max_history: int
    """S."""
    masked: int | None = None
    """How many of the newest items of a history get no score; None: all."""
    rest: bool = False
    """Whether all that is held out of a user is to be found, or only the next item."""
    unmeasured: dict[str, int] | None = None
    """Why users and items take no part, in words → how many."""

    @classmethod
    def of_sequences(cls, sequences: NDArray[np.int64], *, item_ids: list[str], max_history: int) -> Split:
        """Leave-one-out on left-padded item numbers [U, H] of users who have at least three each."""
        log = Sequences.from_padded(sequences)
        everybody = np.arange(len(log))
        return cls(
            user_ids=pl.Series("user_id", everybody.astype(str)),
            item_ids=item_ids,
            log=log,
            train_starts=log.starts,
            train_ends=log.ends - 2,
            valid_ends=log.ends - 1,
            measured={"valid": everybody, "test": everybody},
            max_history=max_history,
        )

    @property
    def train(self) -> Sequences:
        """Each user's training items, [U]."""
        return Sequences(self.log.items, self.train_starts, self.train_ends)

    @property
    def windows(self) -> Windows:
        """What the training steps through."""
        return Windows(self.train, self.max_history)

    def users(self, subset: str) -> pl.Series:
        """Ids of the users who are measured in `valid` or `test`, [V]."""
        return self.user_ids.gather(self.measured[subset])

    def history(self, subset: str) -> Sequences:
        """What is known of each measured user before the target, [V]."""
        rows = self.measured[subset]
        return Sequences(self.log.items, self.log.starts[rows], self._held_from(subset)[rows])

    def seen(self, subset: str) -> Sequences:
        """The items of each history that get no score, [V]."""
        history = self.history(subset)
        return history if self.masked is None else history.last(self.masked)

    def targets(self, subset: str) -> Numbers:
        """The next item of each measured user, [V]."""
        rows = self.measured[subset]
        return self.log.items[self._held_from(subset)[rows]].astype(np.int64)

    def relevant(self, subset: str) -> Sequences:
        """All items that are to be found of each measured user, [V]: the next one, or all that is held out."""
        rows = self.measured[subset]
        starts = self._held_from(subset)[rows]
        ends = self.log.ends if subset == "test" else self.valid_ends
        return Sequences(self.log.items, starts, ends[rows] if self.rest else starts + 1)

    def _held_from(self, subset: str) -> Numbers:
        return self.valid_ends if subset == "test" else self.train_ends

    def with_validation_sample(self, users: int) -> Split:
        """The same with at most so many users to validate on: a random sample, always the same one of the same log."""
        everybody = self.measured["valid"]
        if len(everybody) <= users:
            return self
        chosen = np.random.default_rng(0).choice(everybody, size=users, replace=False)
        return replace(self, measured=self.measured | {"valid": np.sort(chosen)})

    def training_counts(self) -> Numbers:
        """How often each item occurs in training, [N + 1]; 0 for padding."""
        return self.train.counts(len(self.item_ids))

    def popularity(self) -> NDArray[np.float64]:
        """q: each item's share of training interactions, [N + 1]; 1 for padding, 0 where never seen."""
        counts = self.training_counts()
        shares = counts / counts.sum()
        shares[PADDING] = 1
        return shares

    def describe(self) -> dict[str, Any]:
        """Counts for `results.json`: what is used of the log, what is measured, and what takes no part."""
        return {
            "users": len(self.measured["test"]),
            "items": len(self.item_ids),
            "interactions": int((self.log.ends - self.train_starts).sum()),
            "training_interactions": int(self.train.lengths.sum()),
            "training_users": int((self.train.lengths > 0).sum()),
            "validation_users": len(self.measured["valid"]),
        } | {"left_out": self.unmeasured or {}}


def split(dataset: Dataset, protocol: ProtocolConfig) -> Split:
    """Number the items in catalogue order, and cut every user's log into what trains and what is held out.

    Args:
        dataset: catalogue and log.
        protocol: what is held out, what trains, what is ranked and what is masked.

    Returns:
        Users' items as numbers, with the ends of the training and validation parts (method, sections 6 and 8).

    Raises:
        RefusedError: nobody has enough interactions, or the log lacks the times or labels that the split goes by.

    Example:
        >>> split(dataset, ProtocolConfig()).targets("test").shape
        (80,)
    """
    parts = held_out(dataset.interactions, protocol, where=dataset.folder)
    train_starts = parts.starts
    if protocol.training == "last":
        train_starts = np.maximum(parts.starts, parts.train_ends - (protocol.max_history + 1))
    only_kept = protocol.training == "last" and protocol.masked == "kept"
    starts = train_starts if only_kept else parts.starts
    item_ids = _ranked_items(dataset.items, parts, train_starts, protocol)
    return Split(
        user_ids=parts.user_ids,
        item_ids=item_ids,
        log=Sequences(_numbers(parts.log["item_id"], item_ids), starts, parts.ends),
        train_starts=train_starts,
        train_ends=parts.train_ends,
        valid_ends=parts.valid_ends,
        measured=parts.measured,
        max_history=protocol.max_history,
        masked=protocol.max_history + 2 if protocol.masked == "kept" else None,
        rest=protocol.target == "rest",
        unmeasured=parts.left_out,
    )


def _ranked_items(items: pl.DataFrame, parts: Parts, train_starts: Numbers, protocol: ProtocolConfig) -> list[str]:
    """All items of the catalogue, or those that what is used of the log holds; in the catalogue's order."""
    if protocol.catalogue == "all":
        return items["item_id"].to_list()
    catalogue = items["item_id"].to_list()
    used = Sequences(_numbers(parts.log["item_id"], catalogue), train_starts, parts.ends)
    return items.filter(pl.Series(used.counts(len(catalogue))[1:] > 0))["item_id"].to_list()


def _numbers(ids: pl.Series, item_ids: list[str]) -> NDArray[np.int32]:
    """Item numbers of a log's ids; 0 for items that are not ranked."""
    found = ids.cast(pl.Enum(item_ids), strict=False).to_physical()
    return (found.cast(pl.Int32) + 1).fill_null(PADDING).to_numpy()
