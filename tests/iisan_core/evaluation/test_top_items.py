"""Best items in tiles and blocks against the obvious sort, with whole numbers so that ties are true ties."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from iisan_core.data.sequences import Sequences
from iisan_core.errors import IisanError
from iisan_core.evaluation import ranking
from iisan_core.evaluation.ranking import rank_targets, top_items, top_of_scores

pytestmark = pytest.mark.usefixtures("one_thread")

N, E = 40, 2


def problem(*, users, seed, values=3):
    draw = torch.Generator().manual_seed(seed)
    states = torch.randint(-values, values + 1, (users, E), generator=draw).float()
    table = torch.randint(-values, values + 1, (N + 1, E), generator=draw).float()
    seen = torch.randint(1, N + 1, (users, 3), generator=draw)
    return states, table, seen


def slow_top(users, items, seen, *, k):
    """By score, and by number where scores are equal; 0 where there is no more."""
    lists = []
    for user, hidden in zip(users, seen.tolist(), strict=True):
        allowed = [n for n in range(1, len(items)) if n not in hidden]
        best = sorted(allowed, key=lambda n: (-float(user @ items[n]), n))[:k]
        lists.append(best + [0] * (k - len(best)))
    return lists


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 20), st.sampled_from([1, 5, 13, 100]), st.sampled_from([1, 4, 10, N, N + 7]), st.integers(0, 999))
def test_the_best_items_are_those_of_the_sort(users, tile, k, seed):
    states, table, seen = problem(users=users, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "TILE_ITEMS", tile)
        patch.setattr(ranking, "BLOCK_BYTES", 1)
        patch.setattr(ranking, "MIN_USERS", 4)
        found = top_items(states, table, seen=Sequences.of_lists(seen.tolist()), k=k)
    assert found.tolist() == slow_top(states, table, seen, k=k)


@pytest.mark.parametrize("k", [1, 10, N, N + 7])
def test_scores_at_once_give_the_same_lists(k):
    states, table, seen = problem(users=9, seed=1)
    found = top_of_scores(states @ table.T, seen=seen, k=k)
    assert found.tolist() == slow_top(states, table, seen, k=k)


def test_the_lists_are_the_order_that_targets_are_ranked_in():
    states, table = torch.randn(30, 8), torch.randn(N + 1, 8)
    seen = Sequences.of_lists([[n % N + 1] for n in range(30)])
    top = top_items(states, table, seen=seen, k=10)
    for place in range(10):
        assert (rank_targets(states, table, seen=seen, targets=top[:, place]) == place + 1).all()


def test_scores_that_are_not_finite_are_refused():
    states, table, seen = problem(users=4, seed=0)
    table[3, 0] = float("nan")
    with pytest.raises(IisanError, match="not finite"):
        top_items(states, table, seen=Sequences.of_lists(seen.tolist()), k=3)
