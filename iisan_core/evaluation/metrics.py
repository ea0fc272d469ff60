"""Ranking metrics, as pure functions of ranks (1 is best), and how far their means may lie from the truth.

A user has one target, or several relevant items: then ranks come as `RankLists`. Metrics are reported × 100 (method,
section 6); intervals are the percentile bootstrap's over users.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl
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

MOST_DISTINCT = 2**12
"""Of more distinct values neighbours are resampled as one, their mean: what differs within so few is no matter."""


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
"""Of one target per user."""


@dataclass(frozen=True)
class RankLists:
    """Ranks of every user's relevant items, T in all: one user after the other, each with at least one."""

    flat: NDArray[np.int64]
    """[T], a user's best first."""
    lengths: NDArray[np.int64]
    """[U], how many each user has."""

    @classmethod
    def of(cls, column: pl.Series) -> RankLists:
        """From a list column of ranks, in any order."""
        flat = column.list.sort().explode(empty_as_null=False, keep_nulls=False)
        return cls(flat.cast(pl.Int64).to_numpy(), column.list.len().cast(pl.Int64).to_numpy())

    @classmethod
    def by_user(cls, users: NDArray[np.int64], ranks: Ranks) -> RankLists:
        """From ranks [T] and the number of the user whom each belongs to, [T]: 0 … U − 1, every one of them."""
        return cls(ranks[np.lexsort((ranks, users))], np.bincount(users))

    @property
    def column(self) -> pl.Series:
        """As a list column, [U]."""
        users = np.repeat(np.arange(len(self.lengths)), self.lengths)
        flat = pl.DataFrame({"user": users, "ranks": self.flat})
        return flat.group_by("user", maintain_order=True).agg("ranks")["ranks"]

    @property
    def best(self) -> Ranks:
        """Each user's best rank, [U]."""
        return self.flat[np.cumsum(self.lengths) - self.lengths]

    @property
    def places(self) -> NDArray[np.int64]:
        """Each rank's place among those of its user, 1, 2, …; [T]."""
        firsts = np.repeat(np.cumsum(self.lengths) - self.lengths, self.lengths)
        return np.arange(len(self.flat)) - firsts + 1

    def summed(self, values: NDArray[np.float64] | NDArray[np.bool_]) -> Values:
        """Sums over each user's ranks, [T] → [U]."""
        users = np.repeat(np.arange(len(self.lengths)), self.lengths)
        return np.bincount(users, weights=values, minlength=len(self.lengths)).astype(np.float64, copy=False)


def recall(ranks: RankLists, *, k: int) -> Values:
    """Share of a user's R relevant items that are among the first `k`; [U]."""
    return ranks.summed(ranks.flat <= k) / ranks.lengths


def precision(ranks: RankLists, *, k: int) -> Values:
    """Share of the first `k` items that are relevant; [U]. With fewer than `k` relevant items 1 is out of reach."""
    return ranks.summed(ranks.flat <= k) / k


def average_precision(ranks: RankLists, *, k: int) -> Values:
    """`Σⱼ (j / rⱼ) / R` over the relevant items whose rank `rⱼ`, the j-th best, is among the first `k`; [U]."""
    return ranks.summed(np.where(ranks.flat <= k, ranks.places / ranks.flat, 0.0)) / ranks.lengths


def any_hit(ranks: RankLists, *, k: int) -> Values:
    """1 where at least one relevant item is among the first `k`, else 0; [U]."""
    return np.minimum(1, ranks.summed(ranks.flat <= k))


def ideal_ndcg(ranks: RankLists, *, k: int) -> Values:
    """`Σⱼ 1 / log2(rⱼ + 1)` over ranks among the first `k`, divided by its largest value for R relevant items; [U]."""
    ideal = np.cumsum(1 / np.log2(np.arange(2, k + 2)))
    return ranks.summed(ndcg(ranks.flat, k=k)) / ideal[np.minimum(ranks.lengths, k) - 1]


def first_reciprocal_rank(ranks: RankLists, *, k: int) -> Values:
    """`1 / rank` of the best relevant item where that is among the first `k`, else 0; [U]."""
    return ranks.summed(reciprocal_rank(ranks.flat, k=k) * (ranks.places == 1))


OF_SEVERAL = {
    "HR": any_hit,
    "NDCG": ideal_ndcg,
    "MRR": first_reciprocal_rank,
    "Recall": recall,
    "Precision": precision,
    "MAP": average_precision,
}
"""Of several relevant items per user; for one each, the first three are those of `METRICS`."""


Found: TypeAlias = Ranks | RankLists
"""Ranks of one target per user, or of several relevant items."""


def summary(ranks: Found, *, ks: tuple[int, ...] = DEFAULT_KS) -> dict[str, float]:
    """Means over users × 100, by name: `HR@5`, `NDCG@5`, `MRR@5`, …; for several relevant items all `OF_SEVERAL`."""
    names = OF_SEVERAL if isinstance(ranks, RankLists) else METRICS
    return {f"{name}@{k}": float(per_user(ranks, f"{name}@{k}").mean()) for k in ks for name in names}


def per_user(ranks: Found, name: str) -> Values:
    """A metric by its name, such as `NDCG@10`, × 100 for each user; [U].

    Raises `RefusedError` for a name that is no metric with a cut-off.
    """
    kind, _, k = name.partition("@")
    if kind not in OF_SEVERAL or not k.isdecimal() or int(k) < 1:
        raise RefusedError(f"no metric {name!r}; give one of {', '.join(OF_SEVERAL)} with a cut-off, such as HR@10")
    if kind in METRICS and not isinstance(ranks, RankLists):
        return 100 * METRICS[kind](ranks, k=int(k))
    lists = ranks if isinstance(ranks, RankLists) else RankLists(ranks, np.ones_like(ranks))
    return 100 * OF_SEVERAL[kind](lists, k=int(k))


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

    Most metrics take few distinct values, so how often each is drawn (multinomial) says the same as who was drawn.
    """
    distinct, counts = _bundled(*np.unique(values, return_counts=True))
    shares = counts / len(values)
    at_once = max(1, COUNTS_AT_ONCE // len(distinct))
    sizes = [min(at_once, samples - done) for done in range(0, samples, at_once)]
    drawn = [rng.multinomial(len(values), shares, size=size) @ distinct for size in sizes]
    return np.concatenate(drawn) / len(values)


def _bundled(distinct: Values, counts: NDArray[np.int64]) -> tuple[Values, NDArray[np.int64]]:
    """At most `MOST_DISTINCT` rising values and how often each occurs, with the same mean."""
    if len(distinct) <= MOST_DISTINCT:
        return distinct, counts
    firsts = np.linspace(0, len(distinct), MOST_DISTINCT, endpoint=False).astype(np.int64)
    together = np.add.reduceat(counts, firsts)
    return np.add.reduceat(distinct * counts, firsts) / together, together
