"""Groups of users to evaluate apart: by their target's popularity, their history's length, or repetition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

By: TypeAlias = Literal["popularity", "length", "repeat"]
BYS: tuple[By, ...] = get_args(By)
COLD = "cold: never in training"


def quantile_labels(values: NDArray[np.int64], *, groups: int) -> tuple[NDArray[np.int64], list[str]]:
    """Cut whole numbers [U] into at most `groups` groups of about equal size; equal values stay together.

    Returns the group number of each value, [U], and each group's label: the range of its values, such as `3–7`.
    """
    edges = np.unique(np.quantile(values, np.arange(1, groups + 1) / groups, method="inverted_cdf"))
    number = np.searchsorted(edges, values)
    members = [values[number == n] for n in range(len(edges))]
    return number, [_span(int(own.min()), int(own.max())) for own in members]


def grouped(ranks: pl.DataFrame, *, subset: str, by: By, groups: int) -> list[tuple[str, pl.DataFrame]]:
    """The rows of a rank table in labelled groups, in ascending order; what is cold comes first."""
    return GROUPINGS[by](ranks, subset, groups)


def _by_popularity(ranks: pl.DataFrame, subset: str, groups: int) -> list[tuple[str, pl.DataFrame]]:
    times = pl.col(f"{subset}_interactions")
    cold, warm = ranks.filter(times == 0), ranks.filter(times > 0)
    found = [(COLD, cold)] if cold.height else []
    return found + _quantile_groups(warm, f"{subset}_interactions", groups, unit="training interactions")


def _by_length(ranks: pl.DataFrame, subset: str, groups: int) -> list[tuple[str, pl.DataFrame]]:
    return _quantile_groups(ranks, f"{subset}_history", groups, unit="items before the target")


def _by_repeat(ranks: pl.DataFrame, subset: str, groups: int) -> list[tuple[str, pl.DataFrame]]:
    repeated = pl.col(f"{subset}_repeated")
    halves = [("target new to the user", ~repeated), ("target in the history", repeated)]
    found = [(label, ranks.filter(which)) for label, which in halves]
    return [(label, members) for label, members in found if members.height]


GROUPINGS: dict[By, Callable[[pl.DataFrame, str, int], list[tuple[str, pl.DataFrame]]]] = {
    "popularity": _by_popularity,
    "length": _by_length,
    "repeat": _by_repeat,
}


def _quantile_groups(ranks: pl.DataFrame, column: str, groups: int, *, unit: str) -> list[tuple[str, pl.DataFrame]]:
    if ranks.is_empty():
        return []
    number, labels = quantile_labels(ranks[column].cast(pl.Int64).to_numpy(), groups=groups)
    return [(f"{label} {unit}", ranks.filter(pl.Series(number == n))) for n, label in enumerate(labels)]


def _span(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"
