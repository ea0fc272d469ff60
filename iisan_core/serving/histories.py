"""What is known of each user: now, or before the item that the evaluation held back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import polars as pl

from iisan_core.config.schema import ProtocolConfig
from iisan_core.data.dataset import Dataset
from iisan_core.data.held_out import Parts, held_out, user_rows
from iisan_core.errors import RefusedError


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
        if self._protocol is not None and self._protocol.masked == "kept":
            start = max(start, end - (self._protocol.max_history + 2))
        return HeldBack(items[start:end].to_list(), items[end])

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
