"""What is known of each user: now, or before the item that the evaluation held back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
import polars as pl

from iisan_core.config.schema import ProtocolConfig
from iisan_core.data.dataset import Dataset
from iisan_core.data.held_out import Parts, held_out, user_rows
from iisan_core.data.sequences import Numbers
from iisan_core.errors import RefusedError

View: TypeAlias = Literal["now", "evaluation"]
"""All that is known of a user, or what was before the item that the test held back."""


@dataclass(frozen=True)
class Known:
    """What is known of many users: of user `u`, items `starts[u]` to `ends[u]` of one column, oldest first."""

    users: pl.Series
    items: pl.Series
    """Item ids."""
    starts: Numbers
    ends: Numbers

    @classmethod
    def of_frame(cls, frame: pl.DataFrame) -> Known:
        """Histories given as a table: `user_id` and `item_id`, one row an item in order, or one a user with a list.

        Users come in the order of their first rows; a column `timestamp`, where there is one, orders a user's items.
        Raises `RefusedError` for a table without these columns, or with nothing in one of them.
        """
        _check_columns(frame)
        if isinstance(frame.schema["item_id"], pl.List):
            twice = frame.filter(pl.col("user_id").is_duplicated())
            if not twice.is_empty():
                raise RefusedError(f"the user {twice['user_id'][0]!r} has several lists of items; join them into one")
            lists = frame
        else:
            item = pl.col("item_id")
            if "timestamp" in frame.columns:
                item = item.sort_by("timestamp", maintain_order=True)
            lists = frame.group_by("user_id", maintain_order=True).agg(item)
        ends = lists["item_id"].list.len().cast(pl.Int64).fill_null(0).to_numpy().cumsum()
        items = lists["item_id"].list.explode(empty_as_null=False, keep_nulls=False).cast(pl.String)
        if items.null_count():
            raise RefusedError("a history names no item somewhere: an item id is empty; leave such rows out")
        return cls(lists["user_id"].cast(pl.String), items, np.concatenate([[0], ends[:-1]]), ends)

    def take(self, rows: Numbers) -> Known:
        """Some of the users, by row; the items are not copied."""
        return Known(self.users.gather(pl.Series(rows)), self.items, self.starts[rows], self.ends[rows])


def _check_columns(frame: pl.DataFrame) -> None:
    absent = [name for name in ("user_id", "item_id") if name not in frame.columns]
    if absent or frame.is_empty():
        raise RefusedError(
            f"histories are a table with the columns user_id and item_id and at least one row; this one has "
            f"{frame.height:,} rows and the columns {', '.join(frame.columns) or 'none'}"
        )
    if frame["user_id"].null_count():
        raise RefusedError("a history is nobody's: a user id is empty; leave such rows out")


@dataclass(frozen=True)
class HeldBack:
    """A user as the evaluation saw it."""

    history: list[str]
    """Item ids before the target, oldest first: all, or as many as the protocol masks."""
    target: str
    """The item that really came next."""


class Histories:
    """Users' items in a dataset's log, cut out of it when they are asked for."""

    def __init__(self, dataset: Dataset, protocol: ProtocolConfig | None = None) -> None:
        self._dataset = dataset
        self._protocol = protocol
        self._items = dataset.interactions["item_id"]
        self.users, self._starts, self._ends = user_rows(dataset.interactions)

    def now(self, user: str) -> list[str]:
        """All that is known of a user, oldest first; raises `RefusedError` for a stranger."""
        row = self._row_of(user)
        return self._items[int(self._starts[row]) : int(self._ends[row])].to_list()

    def held_back(self, user: str) -> HeldBack:
        """A user before the test's target; raises `RefusedError` for one whom the protocol does not measure."""
        self._row_of(user)
        parts, row = self._parts, self._measured.get(user)
        if row is None:
            raise RefusedError(
                f"user {user!r} was not measured: {self._protocol.split if self._protocol else 'the protocol'} holds "
                "nothing out of so short or so new a history; ask for what is recommended now"
            )
        items, start, end = parts.log["item_id"], int(parts.starts[row]), int(parts.valid_ends[row])
        if self._newest_kept is not None:
            start = max(start, end - self._newest_kept)
        return HeldBack(items[start:end].to_list(), items[end])

    def known(self, users: Sequence[str] | None = None, *, view: View = "now") -> Known:
        """What is known of these users, each once; None: of all, or of all whom the protocol measures.

        Raises `RefusedError` as `now` and `held_back` do.
        """
        everybody = self._everybody if view == "now" else self._before_the_test
        if users is None:
            return everybody
        named = list(dict.fromkeys(users))
        for user in named:
            self._row_of(user)
        if view == "now":
            return everybody.take(np.array([self._rows[user] for user in named], dtype=np.int64))
        place = dict(zip(everybody.users, range(len(everybody.users)), strict=True))
        for user in named:
            if user not in place:
                self.held_back(user)  # which says why not
        return everybody.take(np.array([place[user] for user in named], dtype=np.int64))

    @property
    def _everybody(self) -> Known:
        return Known(self.users, self._items, self._starts, self._ends)

    @property
    def _before_the_test(self) -> Known:
        parts = self._parts
        rows = parts.measured["test"]
        starts, ends = parts.starts[rows], parts.valid_ends[rows]
        if self._newest_kept is not None:
            starts = np.maximum(starts, ends - self._newest_kept)
        return Known(parts.user_ids.gather(pl.Series(rows)), parts.log["item_id"], starts, ends)

    @property
    def _newest_kept(self) -> int | None:
        """How many items before the test's the protocol masks; None for all."""
        protocol = self._protocol
        return protocol.max_history + 2 if protocol is not None and protocol.masked == "kept" else None

    def _row_of(self, user: str) -> int:
        if self.users.is_empty():
            raise RefusedError(f"no user is known in {self._dataset.folder}: it came without a log; give a history")
        if user not in self._rows:
            some = ", ".join(self.users.head(3))
            raise RefusedError(f"no user {user!r} in {self._dataset.folder}; users look like {some}")
        return self._rows[user]

    @cached_property
    def _rows(self) -> dict[str, int]:
        return dict(zip(self.users, range(len(self.users)), strict=True))

    @cached_property
    def _parts(self) -> Parts:
        if self._protocol is None:
            raise RefusedError("nothing is known of how these users were measured; load the recommender from a run")
        return held_out(self._dataset.interactions, self._protocol, where=self._dataset.folder)

    @cached_property
    def _measured(self) -> dict[str, int]:
        rows = self._parts.measured["test"]
        return dict(zip(self._parts.user_ids.gather(pl.Series(rows)), rows.tolist(), strict=True))
