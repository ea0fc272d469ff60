"""Ranking metrics, as pure functions of ranks (1 is best). Reported × 100 (method, section 6)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ranks = NDArray[np.int64]


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


def summary(ranks: Ranks, *, ks: tuple[int, ...] = (10, 20)) -> dict[str, float]:
    """Means over users × 100, by name: `HR@10`, `NDCG@10`, `MRR@10`, …"""
    return {f"{name}@{k}": float(100 * metric(ranks, k=k).mean()) for k in ks for name, metric in METRICS.items()}
