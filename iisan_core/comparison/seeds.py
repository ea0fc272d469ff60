"""Runs that differ in nothing but their seed, as one row: mean ± deviation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from iisan_core.comparison.leaderboard import best_first
from iisan_core.comparison.rows import METRICS_SHOWN, run_row
from iisan_core.errors import RefusedError
from iisan_core.evaluation.rank_table import PARTS
from iisan_core.run_folder import RunFolder

COSTS = ("best_epoch", "seconds_per_epoch", "trainable_parameters", "peak_memory_bytes")


def seed_groups(runs: Sequence[RunFolder]) -> list[list[RunFolder]]:
    """Runs whose configurations are equal but for `training.seed`, together and in order of their seeds."""
    groups: dict[str, list[tuple[int, RunFolder]]] = {}
    for run in runs:
        config = run.config()
        seedless = config.model_copy(update={"training": config.training.model_copy(update={"seed": 0})})
        groups.setdefault(seedless.model_dump_json(), []).append((config.training.seed, run))
    return [[run for _, run in sorted(members, key=lambda member: member[0])] for members in groups.values()]


def seed_table(runs: Sequence[RunFolder], *, metrics: Sequence[str] = METRICS_SHOWN, sort: str = "") -> pl.DataFrame:
    """One row per configuration: mean over its seeds, and `…_deviation`, the sample's, null for one run.

    Columns otherwise as in `leaderboard`, with `runs`, their number, and `seeds`, in words; costs are means.
    Raises `RefusedError` where there is no run, one has no results, or there is no column `sort`.
    """
    if not runs or not metrics:
        raise RefusedError("nothing to compare: give at least one finished run and one metric such as HR@10")
    rows = [_seed_row(group, metrics) for group in seed_groups(runs)]
    return best_first(pl.DataFrame(rows, infer_schema_length=None), sort or f"test_{metrics[0]}")


def _seed_row(group: list[RunFolder], metrics: Sequence[str]) -> dict[str, Any]:
    members = [run_row(run, metrics=metrics, intervals=False) for run in group]
    row: dict[str, Any] = {
        "run": group_name([run.name for run in group]),
        "dataset": members[0]["dataset"],
        "towers": members[0]["towers"],
        "runs": len(group),
        "seeds": ", ".join(str(member["seed"]) for member in members),
    }
    for column in (f"{part}_{metric}" for part in PARTS for metric in metrics):
        values = [member[column] for member in members]
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
        row |= {column: float(np.mean(values)), f"{column}_deviation": deviation}
    for cost in COSTS:
        known = [member[cost] for member in members if member[cost] is not None]
        row[cost] = _mean(known) if known else None
    return row | {name: _one_of(members, name) for name in ("device", "batch_size", "protocol")}


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
