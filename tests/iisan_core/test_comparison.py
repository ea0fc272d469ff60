import shutil

import numpy as np
import pytest

from iisan_core.comparison import Interval, leaderboard, paired_interval
from iisan_core.errors import RefusedError
from iisan_core.run_folder import RunFolder


def test_the_interval_is_that_of_the_mean_difference():
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


def test_the_leaderboard_shows_the_best_first(finished, tmp_path):
    better = RunFolder(shutil.copytree(finished.path, tmp_path / "better"))
    results = better.results()
    results["quality"]["test"]["HR@10"] += 1
    better.write_results(results)

    table = leaderboard([finished, better])

    assert table["run"].to_list() == ["better", "finished"]
    row = table.row(1, named=True)
    assert (row["dataset"], row["towers"], row["seed"]) == ("tiny world", "image + text + inter", 0)
    for part in ("valid", "test"):
        for metric in ("HR@10", "NDCG@10"):
            assert row[f"{part}_{metric}"] == finished.results()["quality"][part][metric]
    for cost in ("best_epoch", "seconds_per_epoch", "trainable_parameters", "peak_memory_bytes"):
        assert row[cost] == finished.results()["efficiency"][cost]


def test_a_run_without_results_is_refused(world, finished, tmp_path):
    begun = RunFolder.create(tmp_path / "begun", config=world.config(), command="")
    with pytest.raises(RefusedError, match="begun has no results yet"):
        leaderboard([finished, begun])
