"""Ranking metrics, as pure functions of ranks (1 is best), and how far their means may lie from the truth.

Metrics are reported × 100 (method, section 6); intervals are the percentile bootstrap's over users.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from iisan_core.errors import RefusedError

Ranks: TypeAlias = NDArray[np.int64]
"""One rank per user, [U]."""

Values: TypeAlias = NDArray[np.float64]
"""One value per user, [U]."""

DEFAULT_KS = (5, 10, 20, 50)
"""Cut-offs at which a run is measured."""

COUNTS_AT_ONCE = 2**21
"""Counts of resampled values that are held in memory at once."""


def hit(ranks: Ranks, *, k: int) -> Values:
    """1 where the target is among the first `k`, else 0; [U] → [U]."""
    return (ranks <= k).astype(np.float64)


def ndcg(ranks: Ranks, *, k: int) -> Values:
    """`1 / log2(rank + 1)` where the target is among the first `k`, else 0; [U] → [U]."""
    return np.where(ranks <= k, 1 / np.log2(ranks + 1.0), 0.0)


def reciprocal_rank(ranks: Ranks, *, k: int) -> Values:
    """`1 / rank` where the target is among the first `k`, else 0; [U] → [U]."""
    return np.where(ranks <= k, 1.0 / ranks, 0.0)


METRICS = {"HR": hit, "NDCG": ndcg, "MRR": reciprocal_rank}


def summary(ranks: Ranks, *, ks: tuple[int, ...] = DEFAULT_KS) -> dict[str, float]:
    """Means over users × 100, by name: `HR@5`, `NDCG@5`, `MRR@5`, …"""
    return {f"{name}@{k}": float(100 * metric(ranks, k=k).mean()) for k in ks for name, metric in METRICS.items()}


def per_user(ranks: Ranks, name: str) -> Values:
    """A metric by its name, such as `NDCG@10`, × 100 for each user; [U] → [U].

    Raises `RefusedError` for a name that is no metric with a cut-off.
    """
    kind, _, k = name.partition("@")
    if kind not in METRICS or not k.isdecimal() or int(k) < 1:
        raise RefusedError(f"no metric {name!r}; give one of {', '.join(METRICS)} with a cut-off, such as HR@10")
    return 100 * METRICS[kind](ranks, k=int(k))


@dataclass(frozen=True)
class Interval:
    """A mean and its interval."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference is there at the interval's level."""
        return self.low > 0 or self.high < 0


def interval(values: Values, *, level: float = 0.95, samples: int = 2000, seed: int = 0) -> Interval:
    """Percentile bootstrap of the mean of one value per user, [U].

    Raises `RefusedError` if there is no user, or a level that is no share.
    """
    if values.ndim != 1 or not len(values):
        raise RefusedError(f"an interval needs one value per user, at least one; found shape {values.shape}")
    if not 0 < level < 1:
        raise RefusedError(f"level {level} of an interval: give a share between 0 and 1, such as 0.95")
    means = _resampled_means(values, samples=samples, rng=np.random.default_rng(seed))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high))


def paired_interval(a: Values, b: Values, *, level: float = 0.95, samples: int = 2000, seed: int = 0) -> Interval:
    """Percentile bootstrap over users of the mean of `a − b`; both hold one value per user, [U], in one order."""
    if a.shape != b.shape or a.ndim != 1:
        raise RefusedError(f"paired values need one per user in one order; found shapes {a.shape} and {b.shape}")
    return interval(a - b, level=level, samples=samples, seed=seed)


def _resampled_means(values: Values, *, samples: int, rng: np.random.Generator) -> Values:
    """Means of `samples` draws of U users with replacement.

    Metrics take few distinct values, so how often each is drawn (multinomial) says the same as who was drawn.
    """
    distinct, counts = np.unique(values, return_counts=True)
    shares = counts / len(values)
    at_once = max(1, COUNTS_AT_ONCE // len(distinct))
    sizes = [min(at_once, samples - done) for done in range(0, samples, at_once)]
    drawn = [rng.multinomial(len(values), shares, size=size) @ distinct for size in sizes]
    return np.concatenate(drawn) / len(values)
