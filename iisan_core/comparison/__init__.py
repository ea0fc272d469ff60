"""Runs side by side: one table, its uncertainty, its cost, and what distinguishes the runs."""

from iisan_core.bootstrap import Interval, paired_interval
from iisan_core.comparison.differences import config_differences
from iisan_core.comparison.export import as_markdown, with_spread
from iisan_core.comparison.leaderboard import leaderboard
from iisan_core.comparison.paired import paired_differences
from iisan_core.comparison.readable import ReadableRuns, readable_runs
from iisan_core.comparison.seeds import seed_table
from iisan_core.comparison.tpme import tpme

__all__ = [
    "Interval",
    "ReadableRuns",
    "as_markdown",
    "config_differences",
    "leaderboard",
    "paired_differences",
    "paired_interval",
    "readable_runs",
    "seed_table",
    "tpme",
    "with_spread",
]
