"""Many users' items in one flat array: whole histories without padding, and the windows that training cuts from them.

A hundred million interactions take 400 MB; what a batch or a block of users needs is cut and padded
when it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

PADDING = 0

Numbers: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Sequences:
    """R rows of item numbers, oldest first: row `r` is `items[starts[r]:ends[r]]`. Rows may be empty."""

    items: NDArray[np.int32]
    """One array that all rows are cut from."""
    starts: Numbers
    """[R]."""
    ends: Numbers
    """[R]."""

    @classmethod
    def of_lists(cls, rows: Sequence[Sequence[int]]) -> Self:
        """Rows of their own, one after the other."""
        lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        items = np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=int(lengths.sum()))
        ends = lengths.cumsum()
        return cls(items, ends - lengths, ends)

    @classmethod
    def from_padded(cls, padded: Numbers) -> Self:
        """From left-padded item numbers [R, H]."""
        lengths = (padded != PADDING).sum(axis=1)
        ends = np.arange(1, len(padded) + 1) * padded.shape[1]
        return cls(padded.astype(np.int32).ravel(), ends - lengths, ends)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def lengths(self) -> Numbers:
        """Items in each row, [R]."""
        return self.ends - self.starts

    def take(self, rows: Numbers) -> Self:
        """Some of the rows, [B]; the items are not copied."""
        return type(self)(self.items, self.starts[rows], self.ends[rows])

    def last(self, count: int) -> Self:
        """The newest `count` items of each row."""
        return type(self)(self.items, np.maximum(self.starts, self.ends - count), self.ends)

    def newest(self, length: int | None = None) -> Numbers:
        """The newest `length` items of each row (unset: as many as the longest has), left-padded: int64 [R, length]."""
        if length is None:
            length = max(1, int(self.lengths.max(initial=1)))
        if not len(self.items):
            return np.full((len(self), length), PADDING, dtype=np.int64)
        places = self.ends[:, None] - np.arange(length, 0, -1)
        inside = places >= self.starts[:, None]
        return np.where(inside, self.items[np.where(inside, places, 0)], PADDING).astype(np.int64)

    def flat(self) -> tuple[Numbers, NDArray[np.int32]]:
        """Row numbers and items of all rows, one after the other, both [Σ lengths]."""
        lengths = self.lengths
        rows = np.repeat(np.arange(len(self)), lengths)
        first = np.repeat(self.starts - (lengths.cumsum() - lengths), lengths)
        return rows, self.items[first + np.arange(len(rows))]

    def counts(self, items: int) -> Numbers:
        """How often each item number stands in all rows, [items + 1]."""
        return np.bincount(self.flat()[1], minlength=items + 1)


@dataclass(frozen=True)
class Windows:
    """Training windows of `S + 1` items: every item of a row but its first is the target of one window, once.

    Windows of one row overlap in one item, which is the target of the older and only an input of the newer. They are
    cut from the newest item on, so that the oldest is the short one; rows of a single item have none.
    """

    sequences: Sequences
    max_history: int
    """S."""

    @cached_property
    def _last(self) -> Numbers:
        """Number of the window after each row's, [R]: windows of all rows are counted through."""
        targets = np.maximum(self.sequences.lengths - 1, 0)
        return np.cumsum(-(-targets // self.max_history))

    def __len__(self) -> int:
        return int(self._last[-1]) if len(self._last) else 0

    def rows(self, windows: Numbers) -> Numbers:
        """The row that each window [B] is cut from."""
        return np.searchsorted(self._last, windows, side="right")

    def take(self, windows: Numbers) -> Numbers:
        """Windows by number [B], left-padded: int64 [B, S + 1]."""
        rows = self.rows(windows)
        back = self._last[rows] - 1 - windows  # 0 for a row's newest window
        ends = self.sequences.ends[rows] - back * self.max_history
        return Sequences(self.sequences.items, self.sequences.starts[rows], ends).newest(self.max_history + 1)

    def targets_of_rows(self, windows: Numbers) -> Numbers:
        """How many targets the whole rows of these windows [B] have, [B]."""
        return self.sequences.lengths[self.rows(windows)] - 1
