"""What a finished run recommends, and what that is like: against scores, logs and counts in plain Python."""

from __future__ import annotations

import shutil
from collections import Counter

import polars as pl
import pytest

from iisan_core.data.split import split
from iisan_core.errors import RefusedError
from iisan_core.evaluation.lists import BEYOND, OF_USERS
from iisan_core.evaluation.rank_table import read_rank_table
from iisan_core.runs.evaluate import evaluate
from iisan_core.runs.results import rank_anew
from iisan_core.runs.run_folder import RunFolder
from iisan_core.serving.recommender import Recommender


@pytest.fixture(scope="module")
def log(world):
    """user → item ids, oldest first."""
    found = {}
    for user, item, _ in world.dataset.interactions.iter_rows():
        found.setdefault(user, []).append(item)
    return found


def test_every_test_user_has_ten_items_none_of_the_history_and_the_target_at_its_rank(finished, log):
    item_ids = pl.read_parquet(finished.item_ids)["item_id"].to_list()
    hits = 0
    for row in read_rank_table(finished.ranks).rows(named=True):
        items = [item_ids[number - 1] for number in row["test_top"]]
        assert len(set(items)) == 10
        assert not set(items) & set(log[row["user_id"]][:-1])
        place = items.index(row["test_target"]) + 1 if row["test_target"] in items else None
        assert place == (row["test"] if row["test"] <= 10 else None)
        hits += place is not None
    assert hits > 0


def test_the_recommender_gives_the_lists_that_are_kept(finished):
    recommender = Recommender.load(finished.path)
    table = read_rank_table(finished.ranks)
    histories = [recommender.held_back(user).history for user in table["user_id"]]
    item_ids = pl.read_parquet(finished.item_ids)["item_id"].to_list()
    kept = [[item_ids[number - 1] for number in numbers] for numbers in table["test_top"]]
    served = recommender.recommend(histories=histories, k=10)
    assert [[item.item_id for item in items] for items in served] == kept


def test_the_items_of_a_run_say_how_often_they_were_trained_on(finished, world, log):
    items = pl.read_parquet(finished.item_ids)
    counted = Counter(item for history in log.values() for item in history[:-2])
    assert items["item_id"].to_list() == split(world.dataset, finished.config().protocol).item_ids
    assert items["interactions"].to_list() == [counted[item] for item in items["item_id"]]


def test_the_figures_are_those_of_plain_counting(finished, log):
    items = pl.read_parquet(finished.item_ids)
    counts = dict(enumerate(items["interactions"], start=1))
    table = read_rank_table(finished.ranks)
    lists = table["test_top"].to_list()
    (row,) = evaluate(finished, beyond=True).rows(named=True)
    recommended = Counter(number for numbers in lists for number in numbers)
    assert row["Coverage@10"] == pytest.approx(100 * len(recommended) / items.height)
    places = [(number, numbers) for numbers in lists for number in numbers]
    popularity = sum(counts[number] for number, _ in places) / len(places)
    assert row["Popularity@10"] == pytest.approx(popularity)
    assert row["Cold@10"] == pytest.approx(100 * sum(counts[number] == 0 for number, _ in places) / len(places))
    of_item = dict(items.iter_rows())
    histories = [log[user][:-1] for user in table["user_id"]]
    of_histories = [sum(of_item[item] for item in history) / len(history) for history in histories]
    assert row["PopRatio@10"] == pytest.approx(popularity / (sum(of_histories) / len(of_histories)))
    assert 0 < row["Gini@10"] < 1
    assert 0 < row["Diversity@10"] < 2


def test_the_results_hold_the_figures_of_the_evaluation(finished):
    (row,) = evaluate(finished, beyond=True).rows(named=True)
    assert finished.results()["beyond"] == {name: row[name] for name in BEYOND}
    assert not set(BEYOND) & set(evaluate(finished).columns), "only where they are asked for"


def test_groups_have_figures_of_their_own_with_intervals(finished):
    found = evaluate(finished, ks=(10,), by="popularity", groups=2, beyond=True, intervals=True)
    for name in OF_USERS:
        everybody, *groups = found.select("users", name).iter_rows()
        assert sum(users * value for users, value in groups) / everybody[0] == pytest.approx(everybody[1])
    assert (found["Novelty@10_low"] <= found["Novelty@10"]).all()
    assert (found["Coverage@10"][1:] <= found["Coverage@10"][0]).all()


@pytest.mark.usefixtures("by_hand")
def test_a_run_of_before_says_so_and_is_measured_anew(finished, tmp_path):
    old = RunFolder(shutil.copytree(finished.path, tmp_path / "old"))
    kept = [name for name in read_rank_table(old.ranks).columns if name.startswith(("user", "valid"))]
    read_rank_table(old.ranks).select(*kept, "test").write_parquet(old.ranks)
    with pytest.raises(RefusedError, match="`iisan evaluate RUN --beyond --anew`"):
        evaluate(old, beyond=True)
    found = evaluate(old, beyond=True, ranks=rank_anew(old))
    assert found.drop("run").equals(evaluate(finished, beyond=True).drop("run"))


@pytest.mark.parametrize("options", [{"subset": "valid"}, {"repeats": True}])
def test_other_lists_are_not_kept(finished, options):
    with pytest.raises(RefusedError, match="without --repeats and with --subset test"):
        evaluate(finished, beyond=True, **options)
