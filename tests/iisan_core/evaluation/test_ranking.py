"""Ranks in blocks against the obvious loop; scores are whole numbers, so ties are true ties."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from iisan_core.errors import IisanError
from iisan_core.evaluation import ranking
from iisan_core.evaluation.ranking import rank_targets

N, E = 12, 2


def slow_ranks(users, items, seen, targets):
    ranks = []
    for user, hidden, target in zip(users, seen.tolist(), targets.tolist(), strict=True):
        allowed = [n for n in range(1, len(items)) if n not in hidden]
        if target not in allowed:
            ranks.append(len(items))
            continue
        better = [n for n in allowed if n != target and user @ items[n] >= user @ items[target]]
        ranks.append(1 + len(better))
    return ranks


def random_problem(*, users, seed, items=N):
    draw = torch.Generator().manual_seed(seed)
    states = torch.randint(-2, 3, (users, E), generator=draw).float()
    table = torch.randint(-2, 3, (items + 1, E), generator=draw).float()
    seen = torch.randint(0, items + 1, (users, 3), generator=draw)
    targets = torch.randint(1, items + 1, (users,), generator=draw)
    return states, table, seen, targets


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(1, 20), st.integers(0, 1000))
def test_ranks_are_those_of_the_slow_loop(users, seed):
    states, table, seen, targets = random_problem(users=users, seed=seed)
    found = rank_targets(states, table, seen=seen, targets=targets)
    assert found.dtype == torch.int64
    assert found.tolist() == slow_ranks(states, table, seen, targets)


@pytest.mark.parametrize("users", [1, 5, 6, 7, 23])
def test_blocks_do_not_show(monkeypatch, users):
    monkeypatch.setattr(ranking, "BLOCK_BYTES", 1)
    monkeypatch.setattr(ranking, "MIN_USERS", 3)
    states, table, seen, targets = random_problem(users=users, seed=users)
    assert ranking.users_per_block(len(table)) == 3
    found = rank_targets(states, table, seen=seen, targets=targets)
    assert found.tolist() == slow_ranks(states, table, seen, targets)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 20), st.integers(1, 14), st.integers(0, 1000))
def test_tiles_do_not_show(users, tile, seed):
    states, table, seen, targets = random_problem(users=users, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "TILE_ITEMS", tile)
        patch.setattr(ranking, "BLOCK_BYTES", 1)
        patch.setattr(ranking, "MIN_USERS", 4)
        found = rank_targets(states, table, seen=seen, targets=targets)
    assert found.tolist() == slow_ranks(states, table, seen, targets)


def ranks_of_one(scores, *, seen, target):
    """One user whose score of item `n` is `scores[n]`."""
    table = torch.tensor(scores)[:, None]
    found = rank_targets(torch.ones(1, 1), table, seen=torch.tensor([seen]), targets=torch.tensor([target]))
    return found.item()


def test_ties_never_help():
    assert ranks_of_one([0.0, 5, 5, 5, 1], seen=[0], target=2) == 1 + 2
    assert ranks_of_one([0.0] * (N + 1), seen=[0], target=1) == N


def test_padding_is_never_ranked():
    assert ranks_of_one([9.0, 1, 2], seen=[0], target=2) == 1


def test_seen_items_are_never_ranked():
    assert ranks_of_one([0.0, 9, 9, 1], seen=[1, 2], target=3) == 1


def test_a_seen_target_has_the_last_rank_and_one():
    assert ranks_of_one([0.0, 9, 1, 1], seen=[0, 1], target=1) == 3 + 1


def test_half_precision_vectors_are_ranked_in_float32():
    items = torch.tensor([[0.0], [1.0], [1.0 + 2**-10]], dtype=torch.float16)
    users = torch.tensor([[1.0 + 2**-10]], dtype=torch.float16)
    found = rank_targets(users, items, seen=torch.zeros(1, 1, dtype=torch.int64), targets=torch.tensor([2]))
    assert found.tolist() == [1]


def test_ranks_beyond_the_whole_numbers_of_float32_are_exact():
    items = 2**24 + 3
    assert float(torch.tensor(items, dtype=torch.float32)) != items, "the case is chosen so that float32 would round"
    table = torch.zeros(items + 1, 1)
    found = rank_targets(torch.ones(1, 1), table, seen=torch.zeros(1, 1, dtype=torch.int64), targets=torch.tensor([1]))
    assert found.tolist() == [items]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("where", ["users", "items"])
def test_scores_that_are_not_finite_are_refused(value, where):
    states, table, seen, targets = random_problem(users=4, seed=0)
    (states if where == "users" else table)[2, 1] = value
    with pytest.raises(IisanError, match=r"not finite .*the training diverged; lower the learning rate"):
        rank_targets(states, table, seen=seen, targets=targets)


def test_scores_that_overflow_are_refused():
    states, table, seen, targets = random_problem(users=4, seed=0)
    with pytest.raises(IisanError, match="not finite"):
        rank_targets(states * 1e20, table * 1e20, seen=seen, targets=targets)
