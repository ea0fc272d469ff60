"""Lists of recommendations in a rank table: what is kept of them, and the figures that come from it, by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from iisan_core.data.split import Split
from iisan_core.errors import RefusedError
from iisan_core.evaluation.lists import (
    BEYOND,
    OF_USERS,
    UNITS,
    beyond_accuracy,
    known_interval,
    list_columns,
    user_values,
)

TABLE = pl.DataFrame(
    {
        "user_id": ["a", "b", "c", "d"],
        "test": [1, 3, 40, 2],
        "test_top": [[2, 1], [2, 3], [2], []],
        "test_novelty": [1.0, 3.0, 2.0, None],
        "test_popularity": [6.0, 2.0, 4.0, None],
        "test_history_popularity": [1.0, 3.0, 2.0, 9.0],
        "test_cold": [0.0, 0.5, 0.0, None],
        "test_diversity": [0.5, 0.7, None, None],
    }
)
"""User c's list has no pair, user d none at all."""

BY_HAND = {
    "Coverage@10": 100 * 3 / 5,
    "Gini@10": (-4 * 0 - 2 * 0 + 0 * 1 + 2 * 1 + 4 * 3) / (5 * 5),  # five items stand in 0, 0, 1, 1 and 3 places
    "Novelty@10": (1 + 3 + 2) / 3,
    "Popularity@10": (6 + 2 + 4) / 3,
    "PopRatio@10": (6 + 2 + 4) / (1 + 3 + 2),
    "Diversity@10": (0.5 + 0.7) / 2,
    "Cold@10": 100 * 0.5 / 3,
}


def test_figures_by_hand():
    found = beyond_accuracy(TABLE, items=5)
    assert list(found) == list(BEYOND) == list(UNITS)
    assert found == pytest.approx(BY_HAND)


def test_a_group_of_users_has_its_own_figures():
    found = beyond_accuracy(TABLE.filter(pl.col("user_id") == "b"), items=5)
    assert (found["Coverage@10"], found["Novelty@10"], found["Cold@10"]) == (40, 3, 50)


def test_what_nobody_has_is_no_figure():
    without_states = TABLE.with_columns(test_diversity=pl.lit(None, dtype=pl.Float64))
    found = beyond_accuracy(without_states, items=5)
    assert [name for name, value in found.items() if value is None] == ["Diversity@10"]
    nobody = beyond_accuracy(TABLE.filter(pl.col("user_id") == "d"), items=5)
    assert [name for name, value in nobody.items() if value is not None] == ["Coverage@10"]


@pytest.mark.parametrize("name", OF_USERS)
def test_values_user_by_user_have_the_figure_as_their_mean(name):
    values = user_values(TABLE, name)
    assert len(values) == TABLE.height
    assert np.nanmean(values) == pytest.approx(BY_HAND[name])
    around = known_interval(values)
    assert around.low <= BY_HAND[name] <= around.high
    assert known_interval(values[3:]) is None


def test_metrics_of_ranks_come_by_the_same_way():
    assert user_values(TABLE, "HR@2").tolist() == [100, 0, 0, 100]


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("Coverage@10", "Coverage@10 is one figure of all users' lists together .* those that have are Novelty@10"),
        ("Novelty@5", "no figure 'Novelty@5': lists of 10 are kept, so give one of Coverage@10, Gini@10"),
        ("AUC@10", "no metric 'AUC@10'; give one of HR"),
    ],
)
def test_what_has_no_value_for_a_user_is_refused(name, match):
    with pytest.raises(RefusedError, match=match):
        user_values(TABLE, name)


def test_tables_of_before_say_how_to_get_the_figures():
    old = TABLE.select("user_id", "test")
    for ask in (lambda: beyond_accuracy(old, items=5), lambda: user_values(old, "Cold@10")):
        with pytest.raises(
            RefusedError, match=r"before figures beside accuracy .* `iisan evaluate RUN --beyond --anew`"
        ):
            ask()


SPLIT = Split.of_sequences(
    np.array([[0, 1, 2, 2, 3, 4], [0, 0, 2, 1, 5, 1], [1, 1, 1, 2, 4, 3]]), item_ids=list("abcde"), max_history=3
)
"""Training items 1 2 2, 2 1 and 1 1 1 2: item 1 is trained on five times by three users, item 2 four times by three."""


def test_the_columns_of_lists_by_hand():
    top = np.array([[1, 5, 3], [2, 0, 0], [0, 0, 0]])
    columns = list_columns(SPLIT, top, diversities=np.array([0.5, np.nan, np.nan]))
    assert columns["test_top"].to_list() == [[1, 5, 3], [2], []]
    assert columns["test_popularity"].to_list() == pytest.approx([5 / 3, 4, None])
    cold = -np.log2(1 / 3)  # nobody of the three training users had items 3 and 5: they count as one had
    assert columns["test_novelty"].to_list() == pytest.approx([2 * cold / 3, 0, None])
    assert columns["test_cold"].to_list() == pytest.approx([2 / 3, 0, None])
    assert columns["test_diversity"].to_list() == [0.5, None, None]
    of_histories = [(5 + 4 + 4 + 0) / 4, (4 + 5 + 0) / 3, (3 * 5 + 4 + 0) / 5]
    assert columns["test_history_popularity"].to_list() == pytest.approx(of_histories)


def test_without_states_no_list_has_a_diversity():
    columns = list_columns(SPLIT, np.ones((3, 1), dtype=int))
    assert columns["test_diversity"].to_list() == [None] * 3
    assert columns["test_diversity"].dtype == pl.Float64


def test_items_that_are_not_ranked_are_left_out_of_histories():
    unranked = Split.of_sequences(np.array([[1, 2, 1, 3, 4]]), item_ids=list("abcd"), max_history=3)
    unranked.log.items[unranked.log.items == 2] = 0
    (of_history,) = list_columns(unranked, np.ones((1, 1), dtype=int))["test_history_popularity"]
    assert of_history == pytest.approx((2 + 2 + 0) / 3)
