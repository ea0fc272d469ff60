"""One run as one row: quality × 100, cost, and what was trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from iisan_core.bootstrap import interval
from iisan_core.errors import RefusedError
from iisan_core.evaluation.protocol import protocol_name
from iisan_core.evaluation.rank_table import PARTS, read_rank_table
from iisan_core.metrics import per_user
from iisan_core.run_folder import RunFolder

METRICS_SHOWN = ("HR@10", "NDCG@10")
EFFICIENCY = ("best_epoch", "seconds_per_epoch", "trainable_parameters", "peak_memory_bytes", "device")


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
            **_quality(run, results["quality"], metrics),
            **(_intervals(run, metrics) if intervals else {}),
            **{name: results["efficiency"].get(name) for name in EFFICIENCY},
            "batch_size": config.training.batch_size,
            "seed": results["seed"],
            "protocol": protocol_name(results, part="test", masked=True),
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise RefusedError(
            f"{run.path / 'results.json'} lacks {error}; it is of another version or was edited, train the run again"
        ) from None
    return row


def _quality(run: RunFolder, quality: dict[str, dict[str, float]], metrics: Sequence[str]) -> dict[str, float]:
    if all(metric in quality[part] for part in PARTS for metric in metrics):
        return {f"{part}_{metric}": quality[part][metric] for part in PARTS for metric in metrics}
    ranks = read_rank_table(run.ranks)
    return {f"{p}_{m}": float(per_user(ranks[p].to_numpy(), m).mean()) for p in PARTS for m in metrics}


def _intervals(run: RunFolder, metrics: Sequence[str]) -> dict[str, float]:
    ranks = read_rank_table(run.ranks)["test"].to_numpy()
    found: dict[str, float] = {}
    for metric in metrics:
        around = interval(per_user(ranks, metric))
        found |= {f"test_{metric}_low": around.low, f"test_{metric}_high": around.high}
    return found
