"""What lists of recommendations are like, beside how often they hit: pure functions of each user's first k items.

Axes: V users, k places of a list, N items, D numbers of a frozen state. Lists are compared with what was learned from:
training interactions alone are counted. Functions that give one value per user give NaN where a list has nothing to
measure, and means leave that user out.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from iisan_core.data.sequences import PADDING
from iisan_core.evaluation.metrics import Values

Top: TypeAlias = NDArray[np.int64]
"""Each user's first k item numbers, the best first, [V, k]; 0 where a list is shorter."""

Counts: TypeAlias = NDArray[np.int64]
"""One count per item number, [N + 1]; what stands at 0, the padding, is not read."""


def coverage(top: Top, *, items: int) -> float:
    """Coverage of the catalogue: `|∪ᵤ Lᵤ| / N`, the share of all items that stand in at least one list.

    V lists of k places reach `V · k` items at most, so only figures over as many users can be compared.
    """
    return len(np.unique(top[top != PADDING])) / items


def gini(top: Top, *, items: int) -> float:
    """Gini coefficient of how often each of the N items is recommended: `Σᵢ (2i − N − 1) xᵢ / (N Σᵢ xᵢ)`, xᵢ ascending.

    0: all equally often; 1 − 1/N: always the same one. Items that stand in no list count with xᵢ = 0.
    """
    times = np.sort(np.bincount(top[top != PADDING], minlength=items + 1)[1:])
    places = times.sum()
    return float((2 * np.arange(1, items + 1) - items - 1) @ times / (items * places)) if places else float("nan")


def novelty(top: Top, *, users_of: Counts, users: int) -> Values:
    """Mean self-information in bits, [V]: `Σᵢ −log2(uᵢ / U) / |L|`, uᵢ of the U training users having had item i.

    The mean inverse user frequency of RecTools. A cold item counts as if one user had had it.
    """
    bits = -np.log2(np.maximum(users_of, 1) / users)
    return _mean_of_list(top, bits)


def popularity(top: Top, *, counts: Counts) -> Values:
    """Mean number of training interactions of a list's items, [V]: `Σᵢ nᵢ / |L|` (RecTools: average popularity)."""
    return _mean_of_list(top, counts)


def popularity_ratio(popularity: Values, *, of_histories: Values) -> float:
    """Popularity bias: mean `popularity` of the lists over that of the same users' histories, both [V].

    1: as popular as what these users chose themselves; 2: twice. One less is the popularity lift of Abdollahpouri et
    al. (2019). NaN where no history has an item that was trained on.
    """
    known = ~np.isnan(popularity) & ~np.isnan(of_histories)
    theirs = of_histories[known].sum()
    return float(popularity[known].sum() / theirs) if theirs else float("nan")


def cold_share(top: Top, *, counts: Counts) -> Values:
    """Share of a list's items that have no training interaction, [V]."""
    return _mean_of_list(top, counts == 0)


def _mean_of_list(top: Top, of_item: NDArray[np.int64] | NDArray[np.float64] | NDArray[np.bool_]) -> Values:
    """Means over the real places of each list of a value per item number, [V, k] and [N + 1] → [V]."""
    real = top != PADDING
    return _divided((of_item[top] * real).sum(axis=1), real.sum(axis=1))


def diversity(vectors: NDArray[np.float32]) -> Values:
    """Intra-list diversity, [V]: mean cosine distance of all pairs of a list, `Σᵢ Σⱼ≠ᵢ (1 − ⟨vᵢ, vⱼ⟩) / (m (m − 1))`.

    vectors  [V, k, D], each of unit length, or zero where there is none: then the item is in no pair

    0: all of one direction; 1: as unlike as chance, where vectors are centred. NaN for fewer than two vectors.
    """
    m = (vectors != 0).any(axis=2).sum(axis=1)
    of_sum = np.square(vectors.sum(axis=1, dtype=np.float64)).sum(axis=1)
    similar = of_sum - np.square(vectors).sum(axis=(1, 2), dtype=np.float64)  # Σᵢ Σⱼ≠ᵢ ⟨vᵢ, vⱼ⟩
    return np.maximum(0, 1 - _divided(similar, m * (m - 1)))


def _divided(a: NDArray[np.float64], b: NDArray[np.int64]) -> Values:
    return np.divide(a, b, out=np.full(len(b), np.nan), where=b > 0)
