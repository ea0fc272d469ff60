import numpy as np
import pytest
from scipy import stats

from iisan_core.errors import RefusedError
from iisan_core.evaluation import metrics as bootstrap
from iisan_core.evaluation.metrics import Interval, interval, paired_interval, per_user


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
    monkeypatch.setattr(bootstrap, "COUNTS_AT_ONCE", 50 * 7)
    found = interval(values, samples=100)
    assert found.low < found.mean < found.high


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
