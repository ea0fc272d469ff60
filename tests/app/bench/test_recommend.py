import pytest

from app.bench.measure import COPIED
from app.bench.random_work import Size
from app.bench.serving import BATCH, bench_recommend, random_recommender

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = Size(items=500, users=40, max_history=4)


def test_figures_of_a_small_catalogue():
    figures = bench_recommend(SMALL, k=3, repeats=5, warmup=1)
    assert figures["size"] == {"items": 500, "users": 40, "max_history": 4}
    assert 0 < figures["one_user"]["p50_ms"] <= figures["one_user"]["p95_ms"]
    batch = figures["batch"]
    assert batch["users_per_second"] == pytest.approx(BATCH / batch["median_s"])
    beyond = figures["peak_beyond_loaded_bytes"]
    assert 0 <= beyond["one_user"] <= beyond["batch"] < COPIED["cpu"], "the probes' own tensors are not counted"


def test_random_work_is_served_as_real_work_is():
    recommender = random_recommender(SMALL)
    assert len(recommender.item_ids) == SMALL.items
    history = recommender.history("7")
    (answer,) = recommender.recommend(users=["7"], k=SMALL.items)
    assert {item.item_id for item in answer} == set(recommender.item_ids) - set(history)
