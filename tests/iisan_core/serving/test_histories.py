"""What is known of users, now and as the evaluation saw them."""

from __future__ import annotations

import polars as pl
import pytest

from iisan_core.config.schema import ProtocolConfig
from iisan_core.errors import RefusedError
from iisan_core.evaluation.rank_table import read_rank_table
from iisan_core.serving.histories import Histories
from iisan_core.serving.recommender import Recommender

pytestmark = pytest.mark.usefixtures("one_thread")


def plain_log(dataset) -> dict[str, list[str]]:
    log: dict[str, list[str]] = {}
    for user, item, _ in dataset.interactions.iter_rows():
        log.setdefault(user, []).append(item)
    return log


def test_now_is_all_that_the_log_has(world) -> None:
    histories = Histories(world.dataset)
    assert {user: histories.now(user) for user in histories.users} == plain_log(world.dataset)


def test_the_evaluation_held_the_last_item_back(world) -> None:
    histories = Histories(world.dataset, ProtocolConfig())
    for user, items in plain_log(world.dataset).items():
        held = histories.held_back(user)
        assert (held.history, held.target) == (items[:-1], items[-1])


def test_in_the_papers_form_as_much_is_known_as_is_masked(world) -> None:
    histories = Histories(world.dataset, ProtocolConfig(training="last", masked="kept", max_history=3))
    for user, items in plain_log(world.dataset).items():
        assert histories.held_back(user).history == items[:-1][-5:]


def test_strangers_and_users_who_were_not_measured_are_named(world) -> None:
    histories = Histories(world.dataset, ProtocolConfig(min_interactions=8))
    short = next(user for user, items in plain_log(world.dataset).items() if len(items) < 8)
    with pytest.raises(RefusedError, match=f"user '{short}' was not measured: leave-one-out holds nothing out"):
        histories.held_back(short)
    with pytest.raises(RefusedError, match=r"no user 'nobody' .* users look like u00, u01, u02"):
        histories.now("nobody")
    with pytest.raises(RefusedError, match="load the recommender from a run"):
        Histories(world.dataset).held_back(short)


def test_what_is_recommended_after_it_ranks_as_the_metrics_say(finished) -> None:
    recommender = Recommender.load(finished.path)
    for row in read_rank_table(finished.ranks).head(20).iter_rows(named=True):
        held = recommender.held_back(row["user_id"])
        assert held.target == row["test_target"]
        (answer,) = recommender.recommend(histories=[held.history], k=len(recommender.item_ids) - len(held.history))
        places = {item.item_id: place for place, item in enumerate(answer, start=1)}
        assert row["test"] == places.get(held.target, len(recommender.item_ids) + 1)


def test_over_all_users_nothing_recommended_was_had_before(finished, world) -> None:
    recommender, log = Recommender.load(finished.path), plain_log(world.dataset)
    for answer, items in zip(recommender.recommend(users=list(log), k=10), log.values(), strict=True):
        assert answer
        assert not {item.item_id for item in answer} & set(items)


def test_every_item_of_the_catalogue_can_be_recommended(finished, world) -> None:
    assert Recommender.load(finished.path).item_ids == world.dataset.items["item_id"].to_list()
    assert set(pl.read_parquet(finished.item_ids)["item_id"]) == set(world.dataset.items["item_id"])
