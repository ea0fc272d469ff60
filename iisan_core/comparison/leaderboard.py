"""Finished runs in one table."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from iisan_core.comparison.rows import METRICS_SHOWN, run_row
from iisan_core.errors import RefusedError
from iisan_core.run_folder import RunFolder

LOWER_IS_BETTER = ("seconds_per_epoch", "trainable_parameters", "peak_memory_bytes", "tpme", "best_epoch")
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
        metrics: such as `NDCG@20`; each has a column for `valid` and one for `test`.
        sort: the column to order by; unset: the first metric on test. Costs ascend, qualities descend.
        intervals: add the bounds of 95 % bootstrap intervals over users, `test_HR@10_low` and `test_HR@10_high`.

    Raises:
        RefusedError: there is no run, one has no results, or there is no column `sort`.
    """
    if not runs or not metrics:
        raise RefusedError("nothing to compare: give at least one finished run and one metric such as HR@10")
    rows = [run_row(run, metrics=metrics, intervals=intervals) for run in runs]
    return best_first(pl.DataFrame(rows, infer_schema_length=None), sort or f"test_{metrics[0]}")


def best_first(table: pl.DataFrame, column: str) -> pl.DataFrame:
    """Order a table of runs by a column, the best first and gaps last; raises `RefusedError` if it is absent."""
    if column not in table.columns:
        raise RefusedError(f"no column {column!r} to sort by; there are {', '.join(table.columns)}")
    ascending = column in (*LOWER_IS_BETTER, *NAMES)
    return table.sort(column, descending=not ascending, nulls_last=True, maintain_order=True)
