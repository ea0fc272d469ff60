"""Where each user's training ends and what is held out for validation and test: by last items, by time, as given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iisan_core.config.schema import ProtocolConfig, SplitKind
from iisan_core.data.sequences import Numbers
from iisan_core.errors import RefusedError

SUBSET = "subset"
"""Column of `interactions.parquet` that says `train`, `valid` or `test`, for the split as given."""

SUBSETS = ("train", "valid", "test")

SECONDS_PER_UNIT = ((1e11, 1), (1e14, 1_000), (1e17, 1_000_000))
"""Timestamps below the first number are seconds, below the next milliseconds, below the last microseconds."""


@dataclass(frozen=True)
class Parts:
    """Rows of users in a log: `starts` to `train_ends` trains, up to `valid_ends` validates, up to `ends` tests."""

    log: pl.DataFrame
    """In the order of the rows; only a split as given changes it."""
    user_ids: pl.Series
    starts: Numbers
    train_ends: Numbers
    valid_ends: Numbers
    ends: Numbers
    measured: dict[str, Numbers]
    """`valid` and `test` → rows, rising."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Why users take no part, in words → how many."""


def held_out(log: pl.DataFrame, protocol: ProtocolConfig, *, where: object) -> Parts:
    """Cut a log, grouped by user and oldest first, as the protocol says; `where` names it in errors.

    Raises `RefusedError` if nobody can be measured, or the log lacks the times or labels that the split goes by.
    """
    parts = SPLITS[protocol.split](log, protocol, where)
    for subset in ("valid", "test"):
        if not len(parts.measured[subset]):
            reasons = "; ".join(f"{count:,} {why}" for why, count in parts.left_out.items() if count)
            raise RefusedError(
                f"no user of {where} can be measured in the {subset} part of the split {protocol.split}"
                + (f" ({reasons})" if reasons else "")
                + "; lower protocol.min_interactions, move the cuts, or bring a longer log"
            )
    return parts


def _leave_one_out(log: pl.DataFrame, protocol: ProtocolConfig, where: object) -> Parts:
    """Last for the test, second last for validation; who is too short for that is not measured, but trains."""
    user_ids, starts, ends = user_rows(log)
    enough = ends - starts >= protocol.min_interactions
    if protocol.training == "last":
        user_ids, starts, ends, left_out = user_ids.filter(pl.Series(enough)), starts[enough], ends[enough], ~enough
        enough = enough[enough]
    else:
        left_out = ~enough
    rows = np.flatnonzero(enough)
    return Parts(
        log=log,
        user_ids=user_ids,
        starts=starts,
        train_ends=ends - np.where(enough, 2, 0),
        valid_ends=ends - np.where(enough, 1, 0),
        ends=ends,
        measured={"valid": rows, "test": rows},
        left_out={f"users with fewer than {protocol.min_interactions} interactions": int(left_out.sum())},
    )


def _by_time(log: pl.DataFrame, protocol: ProtocolConfig, where: object) -> Parts:
    """Training sees nothing from the first cut on; the test begins at the second."""
    if timestamps_are_positions(log):
        raise RefusedError(
            f"{where} has no times, only an order of each user's items, so it cannot be split by time; "
            "set protocol.split=leave-one-out, or import a log with times"
        )
    user_ids, starts, ends = user_rows(log)
    stamps = log["timestamp"].to_numpy()
    first, second = (_cut(stamps, cut) for cut in (protocol.valid_from, protocol.test_from))
    if first >= second:
        raise RefusedError(
            f"protocol.valid_from ({protocol.valid_from}) is not before protocol.test_from ({protocol.test_from}) in "
            f"the times of {where}; move them apart"
        )
    train_ends, valid_ends = (starts + _counted(stamps < cut, starts, ends) for cut in (first, second))
    return _measured_by_cuts(log, user_ids, starts, train_ends, valid_ends, ends, protocol)


def _as_given(log: pl.DataFrame, protocol: ProtocolConfig, where: object) -> Parts:
    """By the label of each interaction; a user's training items come before what is held out of that user."""
    if SUBSET not in log.columns:
        raise RefusedError(
            f"the log of {where} has no column {SUBSET!r} with {', '.join(SUBSETS)}, so it cannot be split as given; "
            "make it with `iisan data split`, or choose protocol.split=leave-one-out or time"
        )
    labels = log[SUBSET].cast(pl.Enum(SUBSETS), strict=False)
    if labels.null_count():
        wrong = log[SUBSET].filter(labels.is_null())[0]
        raise RefusedError(
            f"the column {SUBSET!r} of {where} says {wrong!r}; allowed are {', '.join(SUBSETS)}, for every interaction"
        )
    log = log.with_columns(_label=labels.to_physical(), _user=pl.col("user_id").rle_id())
    log = log.sort("_user", "_label", maintain_order=True)
    user_ids, starts, ends = user_rows(log)
    label = log["_label"].to_numpy()
    train_ends, valid_ends = (starts + _counted(label < n, starts, ends) for n in (1, 2))
    return _measured_by_cuts(log, user_ids, starts, train_ends, valid_ends, ends, protocol)


SPLITS: dict[SplitKind, Callable[[pl.DataFrame, ProtocolConfig, object], Parts]] = {
    "leave-one-out": _leave_one_out,
    "time": _by_time,
    "given": _as_given,
}


def _measured_by_cuts(
    log: pl.DataFrame,
    user_ids: pl.Series,
    starts: Numbers,
    train_ends: Numbers,
    valid_ends: Numbers,
    ends: Numbers,
    protocol: ProtocolConfig,
) -> Parts:
    """Who is long enough, has a target in a part, and a history before it."""
    enough = ends - starts >= protocol.min_interactions
    held = {"valid": (train_ends, valid_ends), "test": (valid_ends, ends)}
    measured = {s: np.flatnonzero(enough & (a > starts) & (b > a)) for s, (a, b) in held.items()}
    new = (valid_ends == starts) & enough
    idle = enough & ~new & (ends == valid_ends)
    left_out = {
        f"users with fewer than {protocol.min_interactions} interactions": int((~enough).sum()),
        "users who have no history before the test": int(new.sum()),
        "users who have nothing in the test": int(idle.sum()),
    }
    return Parts(log, user_ids, starts, train_ends, valid_ends, ends, measured, left_out)


def user_rows(log: pl.DataFrame) -> tuple[pl.Series, Numbers, Numbers]:
    """Users of a log that is grouped by them, and where the rows of each begin and end."""
    runs = log["user_id"].rle().struct.unnest()
    ends = runs["len"].cast(pl.Int64).to_numpy().cumsum()
    return runs["value"].alias("user_id"), ends - runs["len"].cast(pl.Int64).to_numpy(), ends


def timestamps_are_positions(log: pl.DataFrame) -> bool:
    """Whether every user's timestamps are 0, 1, 2 …: the order is known, the time is not."""
    position = pl.int_range(pl.len(), dtype=pl.Int64).over("user_id")
    return bool(log.select((pl.col("timestamp") == position).all()).item())


def _counted(which: NDArray[np.bool_], starts: Numbers, ends: Numbers) -> Numbers:
    """How many of each row are so."""
    before = np.concatenate([[0], which.cumsum()])
    return before[ends] - before[starts]


def _cut(stamps: NDArray[np.int64], cut: float | str) -> int:
    """The timestamp of a cut: a share of the log's interactions, oldest first, or a date."""
    if isinstance(cut, str):
        seconds = datetime.fromisoformat(cut).replace(tzinfo=UTC).timestamp()
        largest = float(np.abs(stamps).max(initial=0))
        unit = next((factor for below, factor in SECONDS_PER_UNIT if largest < below), 1_000_000_000)
        return int(seconds * unit)
    return int(np.partition(stamps, place := min(len(stamps) - 1, int(cut * len(stamps))))[place])
