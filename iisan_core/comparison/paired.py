"""Whether one run is better than another, user by user."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iisan_core.bootstrap import paired_interval
from iisan_core.comparison.rows import METRICS_SHOWN
from iisan_core.comparison.seeds import group_name
from iisan_core.errors import RefusedError
from iisan_core.evaluation.rank_table import read_rank_table
from iisan_core.metrics import per_user
from iisan_core.run_folder import RunFolder

Runs = RunFolder | Sequence[RunFolder]
"""A run, or the seeds of one configuration: then every user's value is the mean over them."""


def paired_differences(
    runs: Sequence[Runs], *, against: Runs, metrics: Sequence[str] = METRICS_SHOWN, level: float = 0.95
) -> pl.DataFrame:
    """Test metrics × 100 of each of `runs` minus those of `against`, with bootstrap intervals over users.

    Returns:
        Columns `run`, `against`, `metric`, `users`, `difference`, `low`, `high`, `beyond_chance`.

    Raises:
        RefusedError: two runs were not measured on the same users and targets.
    """
    rows = []
    for one in runs:
        for metric in metrics:
            a, b = _paired_values(_listed(one), _listed(against), metric)
            around = paired_interval(a, b, level=level)
            rows.append(
                {
                    "run": _name(one),
                    "against": _name(against),
                    "metric": f"test_{metric}",
                    "users": len(a),
                    "difference": around.mean,
                    "low": around.low,
                    "high": around.high,
                    "beyond_chance": around.excludes_zero,
                }
            )
    return pl.DataFrame(rows)


def _paired_values(
    ours: list[RunFolder], theirs: list[RunFolder], metric: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    tables = [read_rank_table(run.ranks).sort("user_id") for run in (*ours, *theirs)]
    for run, table in zip((*ours, *theirs), tables, strict=True):
        _refuse_other_users(tables[0], table, ours[0], run)
    values = [per_user(table["test"].to_numpy(), metric) for table in tables]
    return np.mean(values[: len(ours)], axis=0), np.mean(values[len(ours) :], axis=0)


def _refuse_other_users(first: pl.DataFrame, second: pl.DataFrame, run: RunFolder, other: RunFolder) -> None:
    remedy = "pair runs of one dataset and one protocol only"
    if not first["user_id"].equals(second["user_id"]):
        raise RefusedError(
            f"{run.name} was measured on {first.height:,} users, {other.name} on {second.height:,}, and they are not "
            f"the same; {remedy}"
        )
    items = run.results()["data"]["items"], other.results()["data"]["items"]
    if items[0] != items[1]:
        raise RefusedError(f"{run.name} ranks {items[0]:,} items, {other.name} {items[1]:,}; {remedy}")
    target = "test_target"
    if target in first.columns and target in second.columns and not first[target].equals(second[target]):
        raise RefusedError(f"{run.name} and {other.name} have other test targets for the same users; {remedy}")


def _listed(runs: Runs) -> list[RunFolder]:
    return [runs] if isinstance(runs, RunFolder) else list(runs)


def _name(runs: Runs) -> str:
    return group_name([run.name for run in _listed(runs)])
