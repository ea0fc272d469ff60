from .differences import config_differences, paired_differences
from .leaderboard import leaderboard, readable_runs, seed_table, tpme

__all__ = [
    "config_differences",
    "leaderboard",
    "paired_differences",
    "readable_runs",
    "seed_table",
    "tpme",
]
