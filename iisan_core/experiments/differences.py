"""In what runs differ: what they measure, user by user, and how they are configured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iisan_core.config.schema import flat_settings
from iisan_core.errors import RefusedError
from iisan_core.evaluation.lists import user_values
from iisan_core.evaluation.metrics import paired_interval
from iisan_core.evaluation.rank_table import read_rank_table
from iisan_core.experiments.leaderboard import METRICS_SHOWN, group_name
from iisan_core.runs.run_folder import RunFolder

Runs: TypeAlias = RunFolder | Sequence[RunFolder]
"""A run, or the seeds of one configuration: then every user's value is the mean over them."""


def paired_differences(
    runs: Sequence[Runs], *, against: Runs, metrics: Sequence[str] = METRICS_SHOWN, level: float = 0.95
) -> pl.DataFrame:
    """Test metrics × 100 of each of `runs` minus those of `against`, with bootstrap intervals over users.

    Of figures beside accuracy, such as `Novelty@10`, those that a user's own list has; users without one are left out.

    Returns:
        Columns `run`, `against`, `metric`, `users`, `difference`, `low`, `high`, `beyond_chance`; the last four are
        null where no user has a value under both, such as a diversity without frozen states.

    Raises:
        RefusedError: two runs were not measured on the same users and targets; a figure is not measured user by user.
    """
    rows = []
    for one in runs:
        for metric in metrics:
            a, b = _paired_values(_listed(one), _listed(against), metric)
            around = paired_interval(a, b, level=level) if len(a) else None
            rows.append(
                {
                    "run": _name(one),
                    "against": _name(against),
                    "metric": f"test_{metric}",
                    "users": len(a),
                    "difference": around.mean if around else None,
                    "low": around.low if around else None,
                    "high": around.high if around else None,
                    "beyond_chance": around.excludes_zero if around else None,
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def _paired_values(
    ours: list[RunFolder], theirs: list[RunFolder], metric: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    tables = [read_rank_table(run.ranks).drop_nulls("test").sort("user_id") for run in (*ours, *theirs)]
    for run, table in zip((*ours, *theirs), tables, strict=True):
        _refuse_other_users(tables[0], table, ours[0], run)
    values = np.stack([user_values(table, metric) for table in tables])
    values = values[:, ~np.isnan(values).any(axis=0)]
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


def config_differences(runs: Sequence[RunFolder]) -> pl.DataFrame:
    """One row per setting in which some of the runs differ, and one column per run.

    Column `setting` holds the dotted key, such as `model.bottleneck`; values are as YAML writes them, null where
    a run has no such setting. Where two runs share a name, columns are named by their paths.
    Raises `RefusedError` if a configuration cannot be read.
    """
    flat = [flat_settings(run.config()) for run in runs]
    settings = list(dict.fromkeys(key for one in flat for key in one))
    differing = [key for key in settings if len({one.get(key) for one in flat}) > 1]
    columns: dict[str, list[str | None]] = {"setting": [*differing]}
    columns |= {name: [one.get(key) for key in differing] for name, one in zip(_names(runs), flat, strict=True)}
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


def _names(runs: Sequence[RunFolder]) -> list[str]:
    names = [run.name for run in runs]
    if len(set(names)) == len(names):
        return names
    return [str(run.path) for run in runs]
