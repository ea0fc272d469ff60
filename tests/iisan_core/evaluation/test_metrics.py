"""Metrics against their formulas; intervals against drawing users one by one, and against scipy."""

import math

import numpy as np
import pytest
from scipy import stats

from iisan_core.errors import RefusedError
from iisan_core.evaluation import metrics
from iisan_core.evaluation.metrics import (
    METRICS,
    Interval,
    hit,
    interval,
    ndcg,
    paired_interval,
    per_user,
    reciprocal_rank,
    summary,
)

RANKS = np.array([1, 2, 10, 11, 500])


def test_metrics_are_functions_of_ranks():
    assert hit(RANKS, k=10).tolist() == [1, 1, 1, 0, 0]
    assert ndcg(RANKS, k=10).tolist() == pytest.approx([1, 1 / math.log2(3), 1 / math.log2(11), 0, 0])
    assert reciprocal_rank(RANKS, k=10).tolist() == pytest.approx([1, 1 / 2, 1 / 10, 0, 0])


@pytest.mark.parametrize("name", METRICS)
def test_metrics_are_one_at_the_top_and_never_gain_from_a_worse_rank(name):
    values = METRICS[name](np.arange(1, 30), k=20)
    assert values[0] == 1
    assert (np.diff(values) <= 0).all()
    assert values[20:].tolist() == [0] * 9


def test_summary_is_a_mean_over_users_times_100():
    found = summary(RANKS, ks=(2, 10))
    assert found == pytest.approx(
        {
            "HR@2": 100 * 2 / 5,
            "NDCG@2": 100 * (1 + 1 / math.log2(3)) / 5,
            "MRR@2": 100 * (1 + 1 / 2) / 5,
            "HR@10": 100 * 3 / 5,
            "NDCG@10": 100 * (1 + 1 / math.log2(3) + 1 / math.log2(11)) / 5,
            "MRR@10": 100 * (1 + 1 / 2 + 1 / 10) / 5,
        }
    )


def slow_interval(values, *, samples=4000):
    rng = np.random.default_rng(7)
    means = [rng.choice(values, size=len(values)).mean() for _ in range(samples)]
    return np.quantile(means, [0.025, 0.975])


def test_the_interval_is_that_of_drawing_users_one_by_one():
    hits = 100 * (np.random.default_rng(0).random(300) < 0.2)
    found = interval(hits.astype(float), samples=4000)
    low, high = slow_interval(hits)
    assert found.mean == hits.mean()
    assert (found.low, found.high) == (pytest.approx(low, abs=0.4), pytest.approx(high, abs=0.4))


@pytest.mark.parametrize("metric", ["HR@10", "NDCG@10"])
def test_the_interval_is_that_of_scipy(metric):
    values = per_user(np.random.default_rng(0).integers(1, 60, size=400), metric)
    found = interval(values, level=0.9, samples=4000)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=4000, confidence_level=0.9, method="percentile", rng=1)
    error = values.std() / np.sqrt(len(values))
    expected = theirs.confidence_interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.15 * error)


def test_memory_is_bounded_by_drawing_in_turns(monkeypatch):
    values = np.random.default_rng(0).normal(size=50)
    monkeypatch.setattr(metrics, "COUNTS_AT_ONCE", 50 * 7)
    found = interval(values, samples=100)
    assert found.low < found.mean < found.high


def test_many_distinct_values_are_drawn_with_their_neighbours(monkeypatch):
    values = np.random.default_rng(0).gamma(2, size=3000)
    one_by_one = interval(values, samples=4000)
    monkeypatch.setattr(metrics, "MOST_DISTINCT", 200)
    found = interval(values, samples=4000)
    assert found.mean == one_by_one.mean
    error = values.std() / np.sqrt(len(values))
    assert (found.low, found.high) == pytest.approx((one_by_one.low, one_by_one.high), abs=0.15 * error)


def test_the_paired_interval_is_that_of_the_mean_difference():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.5, 1, size=400), rng.normal(0, 1, size=400)
    found = paired_interval(a, b)
    error = (a - b).std() / np.sqrt(len(a))
    assert found.mean == pytest.approx((a - b).mean())
    assert found.low == pytest.approx(found.mean - 1.96 * error, abs=0.2 * error)
    assert found.high == pytest.approx(found.mean + 1.96 * error, abs=0.2 * error)
    assert paired_interval(a, b, level=0.5).low > found.low
    assert paired_interval(a, b) == found, "the seed decides"
    assert paired_interval(a, b, seed=1) != found


def test_pairing_removes_what_both_share():
    rng = np.random.default_rng(0)
    users = rng.normal(0, 10, size=100)
    a, b = users + 0.1, users
    assert paired_interval(a, b) == Interval(*[pytest.approx(0.1)] * 3)


def test_excluding_zero():
    assert Interval(1, 0.5, 1.5).excludes_zero
    assert Interval(-1, -1.5, -0.5).excludes_zero
    assert not Interval(1, -0.5, 2.5).excludes_zero
    same = np.ones(5)
    assert not paired_interval(same, same).excludes_zero


@pytest.mark.parametrize(("a", "b"), [((3,), (4,)), ((3, 2), (3, 2))])
def test_unpaired_values_are_refused(a, b):
    with pytest.raises(RefusedError, match="one per user in one order; found shapes"):
        paired_interval(np.zeros(a), np.zeros(b))


def test_what_has_no_interval_is_refused():
    with pytest.raises(RefusedError, match="at least one; found shape"):
        interval(np.zeros(0))
    with pytest.raises(RefusedError, match="level 95 of an interval: give a share between 0 and 1"):
        interval(np.zeros(3), level=95)
