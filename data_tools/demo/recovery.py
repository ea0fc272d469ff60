"""How much of the demo world's truth a run has found out: quality by what a user's taste hangs on."""

from __future__ import annotations

import polars as pl

from data_tools.demo.parameters import KINDS
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError
from iisan_core.evaluation.metrics import per_user
from iisan_core.runs.run_folder import RunFolder

EVERYBODY = "all users"


def by_taste(run: RunFolder, dataset: Dataset, *, metrics: tuple[str, ...] = ("HR@10", "NDCG@10")) -> pl.DataFrame:
    """Test metrics × 100 of all users, and by kind of taste: `users`, `count`, and a column per metric.

    Raises `RefusedError` for a dataset of which no truth is known.
    """
    truth = dataset.folder / "truth" / "users.parquet"
    if not truth.is_file():
        raise RefusedError(f"nobody knows the truth about {dataset.folder}: only the demo world has {truth.name}")
    users = pl.read_parquet(truth).select("user_id", "kind")
    ranks = pl.read_parquet(run.ranks).join(users, on="user_id")
    groups = {EVERYBODY: ranks} | {f"taste in the {kind}": ranks.filter(kind=kind) for kind in KINDS}
    rows = [
        {"users": name, "count": group.height}
        | {metric: float(per_user(group["test"].to_numpy(), metric).mean()) for metric in metrics}
        for name, group in groups.items()
    ]
    return pl.DataFrame(rows)
