"""What a run recommends to every test user, beside how often it hits: columns of a rank table, and figures from them.

The columns hold all that the figures need, so that groups of users have their own, without data or model.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iisan_core.data.split import Split
from iisan_core.errors import RefusedError
from iisan_core.evaluation.beyond import Top, cold_share, coverage, gini, novelty, popularity, popularity_ratio
from iisan_core.evaluation.metrics import Interval, Values, interval, per_user
from iisan_core.evaluation.rank_table import ranks_in

K = 10
"""Places of the lists that are kept."""

TOP = "test_top"
NOVELTY, POPULARITY, COLD, DIVERSITY = "test_novelty", "test_popularity", "test_cold", "test_diversity"
OF_HISTORY = "test_history_popularity"

OF_USERS = {f"Novelty@{K}": NOVELTY, f"Popularity@{K}": POPULARITY, f"Diversity@{K}": DIVERSITY, f"Cold@{K}": COLD}
"""Figures that are means over users → the column of their values."""

BEYOND = {
    f"Coverage@{K}": "share of the catalogue that stands in at least one user's list, × 100; more users reach more",
    f"Gini@{K}": "how unequally items are recommended: 0 all equally often, 1 always the same ones",
    f"Novelty@{K}": "how surprising the items are, in bits: one more where half as many users had them in training",
    f"Popularity@{K}": "training interactions of a recommended item, on average",
    f"PopRatio@{K}": "popularity of the lists over that of the same users' histories: above 1, lists are more popular",
    f"Diversity@{K}": "how unlike the items of one list are by their frozen states: 0 all alike, 1 as by chance",
    f"Cold@{K}": "share of recommended items that nobody had in training, × 100",
}
"""Figures beside accuracy, over each test user's first ten items → what they say."""

UNITS = dict.fromkeys(BEYOND, "") | {
    f"Coverage@{K}": " × 100",
    f"Novelty@{K}": " in bits",
    f"Popularity@{K}": " in interactions",
    f"Cold@{K}": " × 100",
}
"""What stands behind a figure's name where it has a unit."""

KINDS = {name.partition("@")[0] for name in BEYOND}

LOWER_IS_FAIRER = (f"Gini@{K}", f"Popularity@{K}", f"PopRatio@{K}")


def list_columns(split: Split, top: Top, *, diversities: Values | None = None) -> dict[str, pl.Series]:
    """Columns for the users who are measured in the test, [V], from the item numbers of their lists [V, k].

    `test_top` lists item numbers, the best first. Novelty is in bits, popularity in training interactions; cold and
    diversity are shares and distances. Null: nothing to measure, as an empty list, or no frozen states.
    """
    counts = split.training_counts()
    users_of, users = _training_users(split)
    values = {
        NOVELTY: novelty(top, users_of=users_of, users=users),
        POPULARITY: popularity(top, counts=counts),
        OF_HISTORY: _history_popularity(split, counts),
        COLD: cold_share(top, counts=counts),
        DIVERSITY: np.full(len(top), np.nan) if diversities is None else diversities,
    }
    lists = pl.Series(TOP, top.astype(np.int32), dtype=pl.Array(pl.Int32, top.shape[1])).cast(pl.List(pl.Int32))
    columns = {TOP: lists.list.eval(pl.element().filter(pl.element() > 0))}
    return columns | {name: pl.Series(name, of_users).fill_nan(None) for name, of_users in values.items()}


def _training_users(split: Split) -> tuple[NDArray[np.int64], int]:
    """How many different users had each item in training, [N + 1], and how many users train."""
    rows, items = split.train.flat()
    size = len(split.item_ids) + 1
    pairs = np.unique(rows * size + items)
    return np.bincount(pairs % size, minlength=size), len(np.unique(rows))


def _history_popularity(split: Split, counts: NDArray[np.int64]) -> Values:
    """Mean training interactions of the items before each test user's target, [V]."""
    rows, items = split.history("test").flat()
    ranked = items > 0
    rows, items = rows[ranked], items[ranked]
    users = len(split.measured["test"])
    known = np.bincount(rows, minlength=users)
    sums = np.bincount(rows, weights=counts[items], minlength=users)
    return np.divide(sums, known, out=np.full(users, np.nan), where=known > 0)


def beyond_accuracy(table: pl.DataFrame, *, items: int) -> dict[str, float | None]:
    """Figures beside accuracy over the users of a rank table, by name and in the order of `BEYOND`; None: no figure.

    items  N, of which could be recommended

    Raises `RefusedError` where the table has no lists.
    """
    _refuse_without_lists(table)
    every_place = table[TOP].explode(empty_as_null=False, keep_nulls=False).to_numpy().astype(np.int64)[:, None]
    of_histories = _values(table, OF_HISTORY)
    found = {
        f"Coverage@{K}": 100 * coverage(every_place, items=items),
        f"Gini@{K}": gini(every_place, items=items),
        f"PopRatio@{K}": popularity_ratio(_values(table, POPULARITY), of_histories=of_histories),
    }
    for name in OF_USERS:
        values = user_values(table, name)
        found[name] = float(np.nanmean(values)) if not np.isnan(values).all() else np.nan
    return {name: None if np.isnan(found[name]) else found[name] for name in BEYOND}


def user_values(table: pl.DataFrame, name: str, *, subset: str = "test") -> Values:
    """A metric such as `NDCG@10`, × 100, or a figure of `OF_USERS`, for each row of a rank table; NaN: none for a user.

    Raises `RefusedError` for a name that is neither, a figure that only all users together have, or a table that has
    no lists.
    """
    if name.partition("@")[0] not in KINDS:
        return per_user(ranks_in(table, subset), name)
    if name not in BEYOND:
        raise RefusedError(f"no figure {name!r}: lists of {K} are kept, so give one of {', '.join(BEYOND)}")
    if name not in OF_USERS:
        raise RefusedError(
            f"{name} is one figure of all users' lists together and has no value for each of them; "
            f"those that have are {', '.join(OF_USERS)}"
        )
    _refuse_without_lists(table)
    return _values(table, OF_USERS[name]) * (100 if OF_USERS[name] == COLD else 1)


def known_interval(values: Values) -> Interval | None:
    """A 95 % interval of the mean over the users who have a value, [U]; None where nobody has."""
    known = values[~np.isnan(values)]
    return interval(known) if len(known) else None


def has_lists(table: pl.DataFrame) -> bool:
    """Whether a rank table has the columns of `list_columns`."""
    return TOP in table.columns


def _refuse_without_lists(table: pl.DataFrame) -> None:
    if not has_lists(table):
        raise RefusedError(
            "what is recommended to each user was not kept by runs trained before figures beside accuracy were "
            "measured; rank the run's users anew with `iisan evaluate RUN --beyond --anew`, or train it again"
        )


def _values(table: pl.DataFrame, column: str) -> Values:
    return table[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()
