"""Ranking metrics, as pure functions of ranks (1 is best). Reported × 100 (method, section 6)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from iisan_core.errors import RefusedError

Ranks = NDArray[np.int64]
DEFAULT_KS = (5, 10, 20, 50)
"""Cut-offs at which a run is measured."""


def hit(ranks: Ranks, *, k: int) -> NDArray[np.float64]:
    """1 where the target is among the first `k`, else 0; [U] → [U]."""
    return (ranks <= k).astype(np.float64)


def ndcg(ranks: Ranks, *, k: int) -> NDArray[np.float64]:
    """`1 / log2(rank + 1)` where the target is among the first `k`, else 0; [U] → [U]."""
    return np.where(ranks <= k, 1 / np.log2(ranks + 1.0), 0.0)


def reciprocal_rank(ranks: Ranks, *, k: int) -> NDArray[np.float64]:
    """`1 / rank` where the target is among the first `k`, else 0; [U] → [U]."""
    return np.where(ranks <= k, 1.0 / ranks, 0.0)


METRICS = {"HR": hit, "NDCG": ndcg, "MRR": reciprocal_rank}


def summary(ranks: Ranks, *, ks: tuple[int, ...] = DEFAULT_KS) -> dict[str, float]:
    """Means over users × 100, by name: `HR@5`, `NDCG@5`, `MRR@5`, …"""
    return {f"{name}@{k}": float(100 * metric(ranks, k=k).mean()) for k in ks for name, metric in METRICS.items()}


def per_user(ranks: Ranks, name: str) -> NDArray[np.float64]:
    """A metric by its name, such as `NDCG@10`, × 100 for each user; [U] → [U].

    Raises `RefusedError` for a name that is no metric with a cut-off.
    """
    kind, _, k = name.partition("@")
    if kind not in METRICS or not k.isdecimal() or int(k) < 1:
        raise RefusedError(f"no metric {name!r}; give one of {', '.join(METRICS)} with a cut-off, such as HR@10")
    return 100 * METRICS[kind](ranks, k=int(k))
