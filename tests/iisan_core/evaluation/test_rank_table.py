from itertools import pairwise

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from iisan_core.evaluation.rank_table import COLD, grouped, quantile_labels


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=80), st.integers(2, 6))
def test_groups_are_ordered_whole_and_hold_everybody(values, groups):
    number, labels = quantile_labels(np.array(values), groups=groups)
    assert 1 <= len(labels) <= groups
    members = [[v for v, n in zip(values, number, strict=True) if n == g] for g in range(len(labels))]
    assert sorted(v for own in members for v in own) == sorted(values)
    assert all(members), "no group is empty"
    for below, above in pairwise(members):
        assert max(below) < min(above), "equal values stay together"


def test_without_ties_groups_are_of_equal_size():
    number, labels = quantile_labels(np.arange(1, 101), groups=5)
    assert np.bincount(number).tolist() == [20] * 5
    assert labels == ["1–20", "21–40", "41–60", "61–80", "81–100"]


def test_many_equal_values_make_fewer_groups():
    number, labels = quantile_labels(np.array([1] * 70 + [2] * 20 + [1_500] * 10), groups=5)
    assert labels == ["1", "2", "1,500"]
    assert np.bincount(number).tolist() == [70, 20, 10]


def test_cold_targets_are_apart_and_first():
    ranks = pl.DataFrame({"test_interactions": [5, 0, 1, 0, 9, 2]})
    found = grouped(ranks, subset="test", by="popularity", groups=2)
    assert [label for label, _ in found] == [COLD, "1–2 training interactions", "5–9 training interactions"]
    assert [members["test_interactions"].to_list() for _, members in found] == [[0, 0], [1, 2], [5, 9]]


def test_only_cold_targets_make_one_group():
    ranks = pl.DataFrame({"test_interactions": [0, 0]})
    assert [label for label, _ in grouped(ranks, subset="test", by="popularity", groups=5)] == [COLD]
