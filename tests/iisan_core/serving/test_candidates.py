import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from iisan_core.evaluation.top_k import GROUP, top_k
from iisan_core.serving.retrieval import Candidates, left_padded

TABLE = torch.tensor([[0.0], [1.0], [2.0], [3.0], [4.0]])
USER = torch.tensor([[1.0]])
NOTHING = torch.zeros(1, 1, dtype=torch.int64)


def test_left_padding_keeps_the_newest():
    assert left_padded([[1], [1, 2, 3, 4], []], length=3).tolist() == [[0, 0, 1], [2, 3, 4], [0, 0, 0]]
    assert left_padded([], length=3).shape == (0, 3)


def slow_top_k(scores, k):
    """Every column sorted; a stable sort leaves equal scores in the order of their columns."""
    order = scores.sort(dim=1, descending=True, stable=True).indices[:, :k]
    return scores.gather(1, order), order


@pytest.mark.parametrize("columns", [1, GROUP, 20 * GROUP, 20 * GROUP + 1, 30 * GROUP - 1])
@pytest.mark.parametrize("k", [1, 10])
def test_top_k_is_exact(columns, k):
    k = min(k, columns)
    scores = torch.randn(7, columns, generator=torch.Generator().manual_seed(columns))
    scores[3] = float("-inf")
    scores[3, -1] = 5
    scores[4, : columns // 2] = float("-inf")
    scores[5], scores[6] = scores[5] * 1e-42, scores[6] * 1e37  # too small to be normal, and near the largest
    for found, expected in zip(top_k(scores, k), slow_top_k(scores, k), strict=True):
        assert torch.equal(found, expected)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    columns=st.integers(1, 40 * GROUP),
    k=st.integers(1, 30),
    different=st.integers(1, 50),
    hidden=st.sampled_from([0, 0.1, 0.999]),
    seed=st.integers(0, 2**32),
)
def test_of_equal_scores_the_lower_column_comes_first(columns, k, different, hidden, seed):
    draw, k = torch.Generator().manual_seed(seed), min(k, columns)
    scores = torch.randint(-different, different, (3, columns), generator=draw) / 4
    scores[torch.rand(scores.shape, generator=draw) < hidden] = float("-inf")
    scores[(scores == 0) & (torch.arange(columns) % 3 == 0)] = -0.0  # which equals 0
    for found, expected in zip(top_k(scores, k), slow_top_k(scores, k), strict=True):
        assert torch.equal(found, expected)


def test_ties_of_a_whole_slate_do_not_depend_on_who_else_asks():
    table = torch.ones(50 * GROUP, 1)
    alone = Candidates.whole(table).best(torch.ones(1, 1), NOTHING, k=10)[1]
    together = Candidates.whole(table).best(torch.ones(9, 1), NOTHING.expand(9, -1), k=10)[1]
    assert alone.tolist() == [list(range(1, 11))]
    assert together.tolist() == 9 * alone.tolist()


def test_the_whole_slate_has_all_items_but_padding():
    values, numbers = Candidates.whole(TABLE).best(-USER, NOTHING, k=4)
    assert (values.tolist(), numbers.tolist()) == ([[-1, -2, -3, -4]], [[1, 2, 3, 4]])


def test_a_slate_of_some_items_knows_which_were_seen():
    slate = Candidates.of([4, 2, 4, 1], TABLE)
    assert slate.best(USER, NOTHING, k=3)[1].tolist() == [[4, 2, 1]]
    values, numbers = slate.best(USER, torch.tensor([[0, 4, 3]]), k=9)
    assert numbers[0, :2].tolist() == [2, 1]
    assert values.tolist() == [[2, 1, float("-inf")]]
