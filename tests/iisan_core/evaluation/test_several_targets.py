"""Metrics of several relevant items per user: by hand, against slow forms that go down a list, and their bounds."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from iisan_core.evaluation.metrics import METRICS, OF_SEVERAL, RankLists, per_user, summary

LISTS = [[7, 1, 3], [2], [4, 90]]
RANKS = RankLists.of(pl.Series(LISTS))

BY_HAND = {
    "HR": [1, 1, 0],
    "NDCG": [(1 + 1 / math.log2(4)) / (1 + 1 / math.log2(3) + 1 / math.log2(4)), 1 / math.log2(3), 0],
    "MRR": [1, 1 / 2, 0],
    "Recall": [2 / 3, 1, 0],
    "Precision": [2 / 3, 1 / 3, 0],
    "MAP": [(1 / 1 + 2 / 3) / 3, 1 / 2, 0],
}
"""At k = 3, of the `LISTS`."""


@pytest.mark.parametrize("name", OF_SEVERAL)
def test_metrics_by_hand(name):
    assert per_user(RANKS, f"{name}@3").tolist() == pytest.approx([100 * value for value in BY_HAND[name]])


def going_down(ranks, *, k):
    """Every metric from one list of k places, each a hit or not, as its definition is told."""
    hits = [rank in ranks for rank in range(1, k + 1)]
    ideal = [place < len(ranks) for place in range(k)]
    gain = [1 / math.log2(rank + 1) for rank in range(1, k + 1)]
    precision_at = [sum(hits[:rank]) / rank for rank in range(1, k + 1)]
    return {
        "HR": float(any(hits)),
        "NDCG": sum(g for g, hit in zip(gain, hits, strict=True) if hit)
        / sum(g for g, hit in zip(gain, ideal, strict=True) if hit),
        "MRR": 1 / (1 + hits.index(True)) if any(hits) else 0.0,
        "Recall": sum(hits) / len(ranks),
        "Precision": sum(hits) / k,
        "MAP": sum(p for p, hit in zip(precision_at, hits, strict=True) if hit) / len(ranks),
    }


@pytest.mark.parametrize("k", [1, 5, 20])
def test_metrics_against_going_down_the_list(k):
    rng = np.random.default_rng(k)
    lists = [rng.choice(np.arange(1, 60), size=rng.integers(1, 30), replace=False).tolist() for _ in range(200)]
    slow = [going_down(ranks, k=k) for ranks in lists]
    for name in OF_SEVERAL:
        found = per_user(RankLists.of(pl.Series(lists)), f"{name}@{k}")
        assert found.tolist() == pytest.approx([100 * one[name] for one in slow]), name


def test_one_relevant_item_each_is_one_target_each():
    ranks = np.array([1, 2, 10, 11, 500])
    lists = RankLists.of(pl.Series([[rank] for rank in ranks]))
    for name in METRICS:
        assert per_user(lists, f"{name}@10").tolist() == per_user(ranks, f"{name}@10").tolist()
    same = {"Recall": "HR", "MAP": "MRR"}
    for ours, theirs in same.items():
        assert per_user(ranks, f"{ours}@10").tolist() == per_user(ranks, f"{theirs}@10").tolist()
    assert per_user(ranks, "Precision@10").tolist() == pytest.approx((per_user(ranks, "HR@10") / 10).tolist())


@pytest.mark.parametrize("name", OF_SEVERAL)
def test_all_at_the_top_is_one_and_no_metric_exceeds_it(name):
    assert per_user(RankLists.of(pl.Series([[3, 1, 2]])), f"{name}@3").tolist() == pytest.approx([100])


@pytest.mark.parametrize("name", OF_SEVERAL)
def test_ties_among_relevant_items_never_help(name):
    """Each of two items that score the same has rank 2, so no metric may count them as ranks 1 and 2 or as more."""
    tied, apart = (per_user(RankLists.of(pl.Series([ranks])), f"{name}@3")[0] for ranks in ([2, 2], [1, 2]))
    assert 0 < tied <= apart <= 100
    assert (tied == apart) == (name in {"HR", "Recall", "Precision"})


def test_the_summary_of_several_targets_has_every_metric():
    found = summary(RANKS, ks=(3,))
    assert list(found) == [f"{name}@3" for name in OF_SEVERAL]
    assert found["Recall@3"] == pytest.approx(100 * (2 / 3 + 1 + 0) / 3)
    assert list(summary(np.array([1, 2]), ks=(3,))) == [f"{name}@3" for name in METRICS]
