"""Finished runs in one table: a row per run, or one per configuration over its seeds.

TPME: time, parameters and memory as one figure over a set of methods (method, section 7).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from iisan_core.errors import IisanError, RefusedError
from iisan_core.evaluation.lists import BEYOND, LOWER_IS_FAIRER, OF_USERS, has_lists, known_interval, user_values
from iisan_core.evaluation.rank_table import SUBSETS, protocol_name, read_rank_table
from iisan_core.runs.run_folder import RunFolder

METRICS_SHOWN = ("HR@10", "NDCG@10")

COSTS = ("best_epoch", "seconds_per_epoch", "trainable_parameters", "peak_memory_bytes")

LOWER_IS_BETTER = (*COSTS, "tpme", *(f"test_{name}" for name in LOWER_IS_FAIRER))

NAMES = ("run", "dataset", "towers", "device", "seed", "seeds", "batch_size", "protocol")


def leaderboard(
    runs: Sequence[RunFolder],
    *,
    metrics: Sequence[str] = METRICS_SHOWN,
    sort: str = "",
    intervals: bool = False,
) -> pl.DataFrame:
    """One row per finished run, the best first: quality × 100, cost, and what was trained.

    Args:
        runs: finished runs; `readable_runs` finds them among folders.
        metrics: such as `NDCG@20`, × 100; each has a column for `valid` and one for `test`. Figures beside accuracy,
            such as `Coverage@10`, have one for `test`; null for runs trained before they were measured.
        sort: the column to order by; unset: the first metric on test. Costs ascend, qualities descend.
        intervals: add the bounds of 95 % bootstrap intervals over users, `test_HR@10_low` and `test_HR@10_high`.

    Returns:
        Columns `run`, `dataset`, `towers`, `valid_…` and `test_…` of every metric, `best_epoch`, `seconds_per_epoch`
        (median, without validation), `trainable_parameters`, `peak_memory_bytes`, `device`, `batch_size`, `seed`,
        `protocol` (in words).

    Raises:
        RefusedError: there is no run, one has no results, or there is no column `sort`.

    Example:
        >>> table = leaderboard([run], metrics=["HR@10"])
        >>> table["test_HR@10"][0] == run.results()["quality"]["test"]["HR@10"]
        True
    """
    return _table([run_row(run, metrics=metrics, intervals=intervals) for run in runs], metrics, sort)


def seed_table(runs: Sequence[RunFolder], *, metrics: Sequence[str] = METRICS_SHOWN, sort: str = "") -> pl.DataFrame:
    """One row per configuration: mean over its seeds, and `…_deviation`, the sample's, null for one run.

    Columns otherwise as in `leaderboard`, with `runs`, their number, and `seeds`, in words; costs are means.
    Raises `RefusedError` where there is no run, one has no results, or there is no column `sort`.
    """
    return _table([_seed_row(group, metrics) for group in seed_groups(runs)], metrics, sort)


def seed_groups(runs: Sequence[RunFolder]) -> list[list[RunFolder]]:
    """Runs whose configurations are equal but for `training.seed`, together and in order of their seeds."""
    groups: dict[str, list[tuple[int, RunFolder]]] = {}
    for run in runs:
        config = run.config()
        seedless = config.model_copy(update={"training": config.training.model_copy(update={"seed": 0})})
        groups.setdefault(seedless.model_dump_json(), []).append((config.training.seed, run))
    return [[run for _, run in sorted(members, key=lambda member: member[0])] for members in groups.values()]


@dataclass(frozen=True)
class ReadableRuns:
    """Runs that can be compared, and why others cannot."""

    runs: list[RunFolder]
    left_out: dict[str, str]
    """Path → what is wrong there, as a sentence."""


def readable_runs(paths: Sequence[str | Path]) -> ReadableRuns:
    """Sort out the finished runs among `paths`: those whose configuration, results and ranks can be read."""
    runs: list[RunFolder] = []
    left_out: dict[str, str] = {}
    for path in dict.fromkeys(map(Path, paths)):
        try:
            run = RunFolder.open(path)
            run_row(run, metrics=METRICS_SHOWN, intervals=False)
            read_rank_table(run.ranks)
        except IisanError as fault:
            left_out[str(path)] = str(fault)
        else:
            runs.append(run)
    return ReadableRuns(runs, left_out)


def best_first(table: pl.DataFrame, column: str) -> pl.DataFrame:
    """Order a table of runs by a column, the best first and gaps last; raises `RefusedError` if it is absent."""
    if column not in table.columns:
        raise RefusedError(f"no column {column!r} to sort by; there are {', '.join(table.columns)}")
    ascending = column in (*LOWER_IS_BETTER, *NAMES)
    return table.sort(column, descending=not ascending, nulls_last=True, maintain_order=True)


def _table(rows: list[dict[str, Any]], metrics: Sequence[str], sort: str) -> pl.DataFrame:
    if not rows or not metrics:
        raise RefusedError("nothing to compare: give at least one finished run and one metric such as HR@10")
    return best_first(pl.DataFrame(rows, infer_schema_length=None), sort or f"test_{metrics[0]}")


def run_row(run: RunFolder, *, metrics: Sequence[str], intervals: bool) -> dict[str, Any]:
    """The run's row; metrics that `results.json` does not hold are computed from the ranks.

    Raises `RefusedError` where the run has no results, or they lack what a row needs.
    """
    config, results = run.config(), run.results()
    try:
        row = {
            "run": run.name,
            "dataset": results["data"]["dataset"],
            "towers": config.recommender,
            **_quality(run, results["quality"], [name for name in metrics if name not in BEYOND]),
            **{f"test_{name}": results.get("beyond", {}).get(name) for name in metrics if name in BEYOND},
            **(_intervals(run, metrics) if intervals else {}),
            **{name: results["efficiency"].get(name) for name in (*COSTS, "device")},
            "batch_size": config.training.batch_size,
            "seed": results["seed"],
            "protocol": protocol_name(results, subset="test", masked=True),
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise RefusedError(
            f"{run.path / 'results.json'} lacks {error}; it is of another version or was edited, train the run again"
        ) from None
    return row


def _quality(run: RunFolder, quality: dict[str, dict[str, float]], metrics: Sequence[str]) -> dict[str, float]:
    if all(metric in quality[subset] for subset in SUBSETS for metric in metrics):
        return {f"{subset}_{metric}": quality[subset][metric] for subset in SUBSETS for metric in metrics}
    ranks = read_rank_table(run.ranks)
    return {f"{p}_{m}": float(user_values(ranks.drop_nulls(p), m, subset=p).mean()) for p in SUBSETS for m in metrics}


def _intervals(run: RunFolder, metrics: Sequence[str]) -> dict[str, float | None]:
    """Bounds of what has a value user by user; None for figures that the run was trained before."""
    table = read_rank_table(run.ranks).drop_nulls("test")
    found: dict[str, float | None] = {}
    for metric in (name for name in metrics if name not in BEYOND or name in OF_USERS):
        around = None if metric in BEYOND and not has_lists(table) else known_interval(user_values(table, metric))
        found[f"test_{metric}_low"] = around.low if around else None
        found[f"test_{metric}_high"] = around.high if around else None
    return found


def _seed_row(group: list[RunFolder], metrics: Sequence[str]) -> dict[str, Any]:
    members = [run_row(run, metrics=metrics, intervals=False) for run in group]
    row: dict[str, Any] = {
        "run": group_name([run.name for run in group]),
        "dataset": members[0]["dataset"],
        "towers": members[0]["towers"],
        "runs": len(group),
        "seeds": ", ".join(str(member["seed"]) for member in members),
    }
    for column in (f"{subset}_{metric}" for subset in SUBSETS for metric in metrics):
        if column in members[0]:
            row |= mean_and_deviation(column, [member[column] for member in members])
    for cost in COSTS:
        known = [member[cost] for member in members if member[cost] is not None]
        row[cost] = _mean(known) if known else None
    return row | {name: _one_of(members, name) for name in ("device", "batch_size", "protocol")}


def mean_and_deviation(column: str, values: Sequence[float | None]) -> dict[str, float | None]:
    """A column of a table over seeds: their mean, and as `…_deviation` the sample's, None for one value.

    Both are None where a seed has no value.
    """
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return {column: None, f"{column}_deviation": None}
    deviation = float(np.std(known, ddof=1)) if len(known) > 1 else None
    return {column: float(np.mean(known)), f"{column}_deviation": deviation}


def _mean(values: list[float]) -> float:
    """A whole number where all are the same one, such as the number of parameters."""
    return values[0] if len(set(values)) == 1 else float(np.mean(values))


def group_name(names: Sequence[str]) -> str:
    """One name for runs: what their names begin with, or else the first one's."""
    first = names[0]
    shared = next((n for n in range(len(first), 0, -1) if all(name.startswith(first[:n]) for name in names)), 0)
    return first if len(names) == 1 else first[:shared].rstrip("-_. ") or first


def _one_of(members: list[dict[str, Any]], name: str) -> Any:
    """The value that all members share; seeds trained on unlike devices have none."""
    values = {member[name] for member in members}
    return values.pop() if len(values) == 1 else None


WEIGHTS = {"seconds_per_epoch": 0.45, "trainable_parameters": 0.10, "peak_memory_bytes": 0.45}

ONE_OF = ("dataset", "batch_size", "device")
"""Columns that must be the same for all methods of a set."""


def tpme(table: pl.DataFrame) -> pl.DataFrame:
    """Add the column `tpme`, lower is better, to a leaderboard or seed table; its raw figures stand beside it.

    Each of time per epoch, trainable parameters and peak memory is min-max normalised over the set; a column without
    spread counts 0. Rows that lack one of them are not in the set and get null.

    Raises:
        RefusedError: fewer than two methods have the figures, or they differ in dataset, batch size or device.
    """
    measured = pl.all_horizontal(pl.col(name).is_not_null() for name in WEIGHTS)
    inside = table.filter(measured)
    if inside.height < 2:
        raise RefusedError(
            f"TPME compares methods, and {inside.height} of {table.height} runs has time, parameters and memory; "
            "give at least two"
        )
    for column in ONE_OF:
        found = inside[column].unique(maintain_order=True).to_list()
        if len(found) > 1 or found == [None]:
            raise RefusedError(
                f"TPME holds within one {column.replace('_', ' ')}, these runs have {found}; compare fewer runs"
            )
    parts = [weight * _normalised(inside, name) for name, weight in WEIGHTS.items()]
    return table.with_columns(tpme=pl.when(measured).then(pl.sum_horizontal(parts)))


def _normalised(inside: pl.DataFrame, name: str) -> pl.Expr:
    values = inside[name].cast(pl.Float64).to_numpy()
    low, spread = float(values.min()), float(values.max() - values.min())
    return (pl.col(name) - low) / spread if spread else pl.lit(0.0)
