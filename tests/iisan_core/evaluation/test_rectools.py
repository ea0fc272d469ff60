"""Metrics number for number against RecTools, where it is installed: beside accuracy, and of several targets.

RecTools asks for an older numpy than this project, so it wants an environment of its own; what is asked of it here
stands, by hand and for good, in `test_beyond.py` and `test_several_targets.py`.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

rectools_metrics = pytest.importorskip("rectools.metrics", reason="pip install rectools, apart: it wants numpy 1")
pd = pytest.importorskip("pandas", reason="RecTools brings it")

from iisan_core.evaluation.beyond import cold_share, coverage, diversity, novelty, popularity  # noqa: E402
from iisan_core.evaluation.metrics import RankLists, per_user  # noqa: E402

USERS, ITEMS, K = 40, 60, 10


@pytest.fixture(scope="module")
def drawn():
    """Lists of 1 to K items per user, a log in which few items are popular and some cold, and relevant items."""
    rng = np.random.default_rng(3)
    top = np.stack([rng.permutation(np.arange(1, ITEMS + 1))[:K] for _ in range(USERS)])
    lengths = rng.integers(1, K + 1, size=USERS)
    top[np.arange(K) >= lengths[:, None]] = 0
    log = np.stack([rng.integers(0, USERS, 600), np.minimum(rng.geometric(0.08, 600), ITEMS)], axis=1)
    log = np.unique(log, axis=0)
    relevant = [rng.choice(np.arange(1, ITEMS + 1), size=rng.integers(1, 15), replace=False) for _ in range(USERS)]
    return top, log, relevant


def as_recommended(top):
    users, places = np.nonzero(top)
    return pd.DataFrame({"user_id": users, "item_id": top[users, places], "rank": places + 1})


def as_log(pairs):
    return pd.DataFrame(pairs, columns=["user_id", "item_id"])


def by_user(series):
    return series.sort_index().tolist()


def test_coverage(drawn):
    top, _, _ = drawn
    theirs = rectools_metrics.CatalogCoverage(k=K, normalize=True)
    assert coverage(top, items=ITEMS) == theirs.calc(as_recommended(top), range(1, ITEMS + 1))


def test_novelty(drawn):
    top, log, _ = drawn
    users_of = np.bincount(log[:, 1], minlength=ITEMS + 1)  # each pair stands in the log once
    theirs = rectools_metrics.MeanInvUserFreq(k=K).calc_per_user(as_recommended(top), as_log(log))
    found = novelty(top, users_of=users_of, users=len(np.unique(log[:, 0])))
    assert found.tolist() == pytest.approx(by_user(theirs), rel=1e-12)


def test_popularity_and_what_is_cold(drawn):
    top, log, _ = drawn
    counts = np.bincount(log[:, 1], minlength=ITEMS + 1)
    assert (counts[1:] == 0).any() and np.nanmean(cold_share(top, counts=counts)) > 0, "some items are cold"
    theirs = rectools_metrics.AvgRecPopularity(k=K).calc_per_user(as_recommended(top), as_log(log))
    assert popularity(top, counts=counts).tolist() == pytest.approx(by_user(theirs), rel=1e-12)


def test_diversity(drawn):
    top, _, _ = drawn
    vectors = np.random.default_rng(0).normal(size=(ITEMS + 1, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[0] = 0

    class Cosine(rectools_metrics.distances.PairwiseDistanceCalculator):
        def _get_distances_for_item_pairs(self, items_0, items_1):
            pairs = np.asarray(items_0, dtype=int), np.asarray(items_1, dtype=int)
            return 1 - (vectors[pairs[0]] * vectors[pairs[1]]).sum(axis=1)

    theirs = rectools_metrics.IntraListDiversity(k=K, distance_calculator=Cosine()).calc_per_user(as_recommended(top))
    found = diversity(vectors[top])
    of_pairs = (top > 0).sum(axis=1) > 1
    assert found[of_pairs].tolist() == pytest.approx(np.array(by_user(theirs))[of_pairs].tolist(), rel=1e-10)
    assert np.isnan(found[~of_pairs]).all(), "one item has no pair; RecTools says 0"


@pytest.mark.parametrize("k", [1, 5, K])
@pytest.mark.parametrize("name", ["Recall", "Precision", "MAP", "NDCG", "MRR", "HR"])
def test_metrics_of_several_targets(drawn, name, k):
    top, _, relevant = drawn
    theirs = {
        "Recall": rectools_metrics.Recall(k=k),
        "Precision": rectools_metrics.Precision(k=k),
        "MAP": rectools_metrics.MAP(k=k),
        "NDCG": rectools_metrics.NDCG(k=k, divide_by_achievable=True),
        "MRR": rectools_metrics.MRR(k=k),
        "HR": rectools_metrics.HitRate(k=k),
    }[name]
    wanted = as_log([(user, item) for user, items in enumerate(relevant) for item in items])
    places = [{item: place + 1 for place, item in enumerate(row) if item} for row in top.tolist()]
    ranks = [[place.get(item, ITEMS + 1) for item in items] for place, items in zip(places, relevant, strict=True)]
    found = per_user(RankLists.of(pl.Series(ranks)), f"{name}@{k}") / 100
    assert found.tolist() == pytest.approx(by_user(theirs.calc_per_user(as_recommended(top), wanted)), rel=1e-12)
