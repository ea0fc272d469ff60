"""Runs side by side: one table, and whether a difference is more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iisan_core.errors import RefusedError
from iisan_core.run_folder import RunFolder


@dataclass(frozen=True)
class Interval:
    """A mean difference and its interval."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the difference is there at the interval's level."""
        return self.low > 0 or self.high < 0


def paired_interval(
    a: NDArray[np.float64], b: NDArray[np.float64], *, level: float = 0.95, samples: int = 2000, seed: int = 0
) -> Interval:
    """Percentile bootstrap over users of the mean of `a − b`; both hold one value per user, [U], in one order."""
    if a.shape != b.shape or a.ndim != 1:
        raise RefusedError(f"paired values need one per user in one order; found shapes {a.shape} and {b.shape}")
    difference = a - b
    rng = np.random.default_rng(seed)
    means = [difference[rng.integers(len(a), size=len(a))].mean() for _ in range(samples)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(difference.mean()), float(low), float(high))


def leaderboard(runs: Sequence[RunFolder]) -> pl.DataFrame:
    """One row per finished run, best test HR@10 first: quality × 100, cost, and what was trained.

    Raises `RefusedError` where a run has no results.
    """
    return pl.DataFrame([_row(run, run.results()) for run in runs]).sort("test_HR@10", descending=True)


def _row(run: RunFolder, results: dict[str, Any]) -> dict[str, Any]:
    config, efficiency = run.config(), results["efficiency"]
    return {
        "run": run.name,
        "dataset": results["data"]["dataset"],
        "towers": config.recommender,
        **{f"{part}_{m}": results["quality"][part][m] for part in ("valid", "test") for m in ("HR@10", "NDCG@10")},
        "best_epoch": efficiency["best_epoch"],
        "seconds_per_epoch": efficiency["seconds_per_epoch"],
        "trainable_parameters": efficiency["trainable_parameters"],
        "peak_memory_bytes": efficiency["peak_memory_bytes"],
        "seed": results["seed"],
    }
