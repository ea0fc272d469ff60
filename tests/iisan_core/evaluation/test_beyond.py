"""Figures beside accuracy: small cases by hand, and slow forms that say the definition word for word."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from iisan_core.evaluation.beyond import (
    cold_share,
    coverage,
    diversity,
    gini,
    novelty,
    popularity,
    popularity_ratio,
)

ITEMS = 5
TOP = np.array([[1, 2, 3], [2, 5, 0], [2, 0, 0]])
"""Item 2 stands in three lists, 4 in none; two lists are shorter than k."""
COUNTS = np.array([0, 3, 9, 1, 2, 0])
"""Training interactions by item number: item 5 is cold."""
USERS_OF = np.array([0, 2, 4, 1, 2, 0])
USERS = 4


def test_coverage_is_the_share_of_items_in_any_list():
    assert coverage(TOP, items=ITEMS) == 4 / 5
    assert coverage(TOP[:, :1], items=ITEMS) == 2 / 5
    assert coverage(np.zeros((2, 3), dtype=int), items=ITEMS) == 0


def slow_gini(times):
    """Half the mean absolute difference of two items' shares, relative to the mean."""
    return np.mean([[abs(a - b) for a in times] for b in times]) / (2 * np.mean(times))


def test_gini_says_how_unequally_items_are_recommended():
    assert gini(TOP, items=ITEMS) == pytest.approx(slow_gini([1, 3, 1, 0, 1]))
    assert gini(np.array([[1, 2], [3, 4]]), items=4) == pytest.approx(0)
    assert gini(np.array([[3], [3], [3]]), items=4) == pytest.approx(1 - 1 / 4)
    assert np.isnan(gini(np.zeros((2, 3), dtype=int), items=ITEMS))


def test_gini_is_half_the_relative_mean_difference():
    rng = np.random.default_rng(0)
    top = np.minimum(rng.geometric(0.1, size=(50, 10)), 40)
    times = np.bincount(top.ravel(), minlength=41)[1:]
    assert gini(top, items=40) == pytest.approx(slow_gini(times))


def test_novelty_is_mean_self_information_and_cold_items_count_as_one_user():
    bits = {1: 1, 2: 0, 3: 2, 5: 2}  # −log2 of 2/4, 4/4, 1/4 and, cold, 1/4
    expected = [(bits[1] + bits[2] + bits[3]) / 3, (bits[2] + bits[5]) / 2, bits[2]]
    assert novelty(TOP, users_of=USERS_OF, users=USERS).tolist() == pytest.approx(expected)


def test_popularity_is_the_mean_number_of_training_interactions():
    assert popularity(TOP, counts=COUNTS).tolist() == pytest.approx([(3 + 9 + 1) / 3, (9 + 0) / 2, 9])


def test_the_popularity_ratio_holds_lists_against_the_same_users_histories():
    lists, histories = np.array([6.0, 2.0]), np.array([1.0, 3.0])
    assert popularity_ratio(lists, of_histories=histories) == (6 + 2) / (1 + 3)
    assert popularity_ratio(lists, of_histories=np.array([1, np.nan])) == 6 / 1
    assert np.isnan(popularity_ratio(lists, of_histories=np.array([0.0, 0.0])))


def test_the_cold_share_counts_places_without_a_training_interaction():
    assert cold_share(TOP, counts=COUNTS).tolist() == [0, 1 / 2, 0]


@pytest.mark.parametrize(
    "measure",
    [
        lambda top: novelty(top, users_of=USERS_OF, users=USERS),
        lambda top: popularity(top, counts=COUNTS),
        lambda top: cold_share(top, counts=COUNTS),
    ],
)
def test_padding_changes_nothing_and_an_empty_list_has_no_value(measure):
    padded = np.pad(TOP, ((0, 1), (0, 2)))
    assert measure(padded)[:3].tolist() == measure(TOP).tolist()
    assert np.isnan(measure(padded)[3])


def test_diversity_is_the_mean_cosine_distance_of_pairs():
    right, up, left, none = [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, 0.0]
    lists = {
        "two of one direction": ([right, right, none], 0),
        "orthogonal": ([right, none, up], 1),
        "opposite": ([right, left, none], 2),
        "three": ([right, up, left], (1 + 2 + 1) / 3),
    }
    found = diversity(np.array([vectors for vectors, _ in lists.values()], dtype=np.float32))
    assert dict(zip(lists, found, strict=True)) == pytest.approx({name: value for name, (_, value) in lists.items()})


def test_a_list_without_a_pair_has_no_diversity():
    assert np.isnan(diversity(np.array([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]))).all()


def slow_diversity(vectors):
    return np.mean([1 - a @ b for a, b in combinations(vectors, 2)])


def test_diversity_without_a_product_per_pair_is_that_of_pairs():
    vectors = np.random.default_rng(0).normal(size=(20, 10, 16))
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    assert diversity(vectors.astype(np.float32)).tolist() == pytest.approx([slow_diversity(v) for v in vectors])
    assert (diversity(np.repeat(vectors[:, :1], 10, axis=1).astype(np.float32)) >= 0).all()
