"""Metrics of a finished run, over all users or groups of them; no model and no data are opened."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from iisan_core.errors import RefusedError
from iisan_core.evaluation.lists import OF_USERS, beyond_accuracy, known_interval, user_values
from iisan_core.evaluation.metrics import DEFAULT_KS, Found, interval, per_user, summary
from iisan_core.evaluation.rank_table import (
    BYS,
    SUBSETS,
    UNMASKED,
    By,
    Subset,
    grouped,
    protocol_name,
    ranks_in,
    read_rank_table,
)
from iisan_core.runs.run_folder import RunFolder


def evaluate(
    run: RunFolder,
    *,
    ks: Sequence[int] = DEFAULT_KS,
    by: By | None = None,
    groups: int = 5,
    subset: Subset = "test",
    repeats: bool = False,
    intervals: bool = False,
    beyond: bool = False,
    ranks: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """HR, NDCG and MRR × 100 of a run, one row for all users and one for each group.

    Args:
        run: a finished run.
        ks: cut-offs of the metrics.
        by: `popularity` of the target (quantiles of its training interactions, cold apart), `length` of the
            history (quantiles), `repeat` (target in the history or not); None: all users only.
        groups: how many quantiles; where many values are equal there are fewer.
        subset: `valid` or `test`.
        repeats: rank items of the history like all others, so that a repeated target can be hit.
        intervals: add the bounds of a 95 % bootstrap interval, `HR@10_low` and `HR@10_high`, for every metric.
        beyond: add figures beside accuracy, over every test user's first ten items: coverage of the catalogue, Gini,
            novelty, popularity and its ratio to the users' own histories, diversity, share of cold items.
        ranks: a rank table to use instead of the run's own.

    Returns:
        Columns `run`, `part` (valid or test), `protocol`, `group`, `users`, one per metric and cut-off, and with
        `beyond` those of `iisan_core.evaluation.lists.BEYOND`, null where there is nothing to measure.

    Raises:
        RefusedError: the run has no ranks, or they are of a run too old for what is asked.

    Example:
        >>> evaluate(run, ks=(10,), by="popularity", groups=2).columns[3:6]
        ['group', 'users', 'HR@10']
    """
    _refuse_nonsense(ks, by, groups, subset)
    if beyond:
        _refuse_other_lists(subset, repeats)
    table = read_rank_table(run.ranks) if ranks is None else ranks
    column = subset + UNMASKED if repeats else subset
    _require(table, [column, *_needed(subset, by)], run)
    table = table.drop_nulls(column)
    groups_of = [("all", table), *(grouped(table, subset=subset, by=by, groups=groups) if by else ())]
    items = run.results()["data"]["items"]
    named = {
        "run": run.name,
        "part": subset,
        "protocol": protocol_name(run.results(), subset=subset, masked=not repeats),
    }
    rows = [
        named
        | {"group": label, "users": members.height}
        | _measured(ranks_in(members, column), ks, intervals)
        | (_beyond(members, items, intervals) if beyond else {})
        for label, members in groups_of
    ]
    return pl.DataFrame(rows)


def _measured(ranks: Found, ks: Sequence[int], intervals: bool) -> dict[str, float]:
    found = summary(ranks, ks=tuple(ks))
    if not intervals:
        return found
    bounds: dict[str, float] = {}
    for name in found:
        around = interval(per_user(ranks, name))
        bounds |= {f"{name}_low": around.low, f"{name}_high": around.high}
    return found | bounds


def _beyond(members: pl.DataFrame, items: int, intervals: bool) -> dict[str, float | None]:
    found = beyond_accuracy(members, items=items)
    if not intervals:
        return found
    around = {name: known_interval(user_values(members, name)) for name in OF_USERS}
    low = {f"{name}_low": known.low if known else None for name, known in around.items()}
    high = {f"{name}_high": known.high if known else None for name, known in around.items()}
    return found | low | high


def _refuse_other_lists(subset: str, repeats: bool) -> None:
    if subset != "test" or repeats:
        raise RefusedError(
            "figures beside accuracy are of the lists that test users get, items of their history left out: ask for "
            "them without --repeats and with --subset test"
        )


def _needed(subset: str, by: By | None) -> list[str]:
    columns = {"popularity": "interactions", "length": "history", "repeat": "repeated"}
    return [f"{subset}_{columns[by]}"] if by else []


def _require(table: pl.DataFrame, columns: list[str], run: RunFolder) -> None:
    absent = [c for c in columns if c not in table.columns]
    if absent:
        raise RefusedError(
            f"{run.ranks} lacks {absent}: the run was trained before these were kept; rank its users anew with "
            f"`iisan evaluate {run.path} --anew`, or train it again"
        )


def _refuse_nonsense(ks: Sequence[int], by: str | None, groups: int, subset: str) -> None:
    if not ks or min(ks) < 1:
        raise RefusedError(f"cut-offs k = {list(ks)}: give whole numbers from 1 up, such as 10")
    if by is not None and by not in BYS:
        raise RefusedError(f"groups by {by!r}: there are {', '.join(BYS)}")
    if groups < 2:
        raise RefusedError(f"{groups} groups: give at least 2")
    if subset not in SUBSETS:
        raise RefusedError(f"subset {subset!r}: there are {', '.join(SUBSETS)}")
