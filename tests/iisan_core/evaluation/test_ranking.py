"""Ranks in blocks against the obvious loop, with whole numbers so that ties are true ties; products against float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from iisan_core.data.sequences import Sequences
from iisan_core.errors import IisanError
from iisan_core.evaluation import ranking
from iisan_core.evaluation.ranking import Products, on_wide_cpu, rank_targets
from iisan_core.evaluation.ranks import nothing

pytestmark = pytest.mark.usefixtures("one_thread")

N, E = 12, 2
TABLE = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))


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


def rows(seen):
    """Item numbers [U, H] among zeros → the same as rows."""
    return Sequences.of_lists([[n for n in row if n] for row in seen.tolist()])


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
    found = rank_targets(states, table, seen=rows(seen), targets=targets)
    assert found.dtype == torch.int64
    assert found.tolist() == slow_ranks(states, table, seen, targets)


@pytest.mark.parametrize("users", [1, 5, 6, 7, 23])
def test_blocks_do_not_show(monkeypatch, users):
    monkeypatch.setattr(ranking, "BLOCK_BYTES", 1)
    monkeypatch.setattr(ranking, "MIN_USERS", 3)
    states, table, seen, targets = random_problem(users=users, seed=users)
    assert ranking.users_per_block(len(table)) == 3
    found = rank_targets(states, table, seen=rows(seen), targets=targets)
    assert found.tolist() == slow_ranks(states, table, seen, targets)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 20), st.integers(1, 14), st.integers(0, 1000))
def test_tiles_do_not_show(users, tile, seed):
    states, table, seen, targets = random_problem(users=users, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "TILE_ITEMS", tile)
        patch.setattr(ranking, "BLOCK_BYTES", 1)
        patch.setattr(ranking, "MIN_USERS", 4)
        found = rank_targets(states, table, seen=rows(seen), targets=targets)
    assert found.tolist() == slow_ranks(states, table, seen, targets)


def ranks_of_one(scores, *, seen, target):
    """One user whose score of item `n` is `scores[n]`."""
    table = torch.tensor(scores)[:, None]
    found = rank_targets(
        torch.ones(1, 1), table, seen=Sequences.of_lists([[n for n in seen if n]]), targets=torch.tensor([target])
    )
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
    found = rank_targets(users, items, seen=nothing(1), targets=torch.tensor([2]))
    assert found.tolist() == [1]


def test_ranks_beyond_the_whole_numbers_of_float32_are_exact():
    items = 2**24 + 3
    assert float(torch.tensor(items, dtype=torch.float32)) != items, "the case is chosen so that float32 would round"
    table = torch.zeros(items + 1, 1)
    found = rank_targets(torch.ones(1, 1), table, seen=nothing(1), targets=torch.tensor([1]))
    assert found.tolist() == [items]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("where", ["users", "items"])
def test_scores_that_are_not_finite_are_refused(value, where):
    states, table, seen, targets = random_problem(users=4, seed=0)
    (states if where == "users" else table)[2, 1] = value
    with pytest.raises(IisanError, match=r"not finite .*the training diverged; lower the learning rate"):
        rank_targets(states, table, seen=rows(seen), targets=targets)


def test_scores_that_overflow_are_refused():
    states, table, seen, targets = random_problem(users=4, seed=0)
    with pytest.raises(IisanError, match="not finite"):
        rank_targets(states * 1e20, table * 1e20, seen=rows(seen), targets=targets)


@pytest.mark.parametrize("wide", [True, False])
@settings(max_examples=30, deadline=None, derandomize=True)
@given(rows=st.integers(0, 40), items=st.integers(1, 300), width=st.sampled_from([1, 3, 16, 64]))
def test_both_ways_are_the_product(wide, rows, items, width):
    if wide and not on_wide_cpu(TABLE):
        pytest.skip("this processor, or this torch, knows one way only")
    draw = torch.Generator().manual_seed(rows + 41 * items)
    left, table = torch.randn(rows, width, generator=draw), torch.randn(items, width, generator=draw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "on_wide_cpu", lambda table: wide)
        found = Products(table)(left)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), left.double() @ table.double().T, rtol=1e-5, atol=1e-5)


def test_whole_numbers_are_exact():
    rows, table = torch.arange(-6.0, 6).view(4, 3), torch.arange(30.0).view(10, 3)
    assert torch.equal(Products(table)(rows), rows @ table.T)


def test_the_table_may_be_a_view():
    assert torch.allclose(Products(TABLE[::2])(TABLE), TABLE @ TABLE[::2].T)


def test_other_precisions_and_torches_go_the_plain_way(monkeypatch):
    assert not on_wide_cpu(TABLE.double())
    assert torch.equal(Products(TABLE.double())(TABLE.double()), TABLE.double() @ TABLE.double().T)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not on_wide_cpu(TABLE)
