import pytest
import torch

from iisan_core.serving.histories import left_padded
from iisan_core.serving.slate import GROUP, Slate, top_k

TABLE = torch.tensor([[0.0], [1.0], [2.0], [3.0], [4.0]])
USER = torch.tensor([[1.0]])
NOTHING = torch.zeros(1, 1, dtype=torch.int64)


def test_left_padding_keeps_the_newest():
    assert left_padded([[1], [1, 2, 3, 4]], length=3).tolist() == [[0, 0, 1], [2, 3, 4]]


@pytest.mark.parametrize("columns", [1, GROUP, 20 * GROUP, 20 * GROUP + 1, 30 * GROUP - 1])
@pytest.mark.parametrize("k", [1, 10])
def test_top_k_is_exact(columns, k):
    k = min(k, columns)
    scores = torch.randn(7, columns, generator=torch.Generator().manual_seed(columns))
    scores[3] = float("-inf")
    scores[3, -1] = 5
    scores[4, : columns // 2] = float("-inf")
    values, places = top_k(scores, k)
    assert torch.equal(values, scores.topk(k, dim=1).values)
    assert torch.equal(values, scores.gather(1, places))
    assert all(len(set(row)) == k for row in places.tolist())


def test_ties_are_counted_as_often_as_they_occur():
    values, places = top_k(torch.ones(1, 50 * GROUP), 10)
    assert values.tolist() == [[1.0] * 10]
    assert len(set(places[0].tolist())) == 10


def test_the_whole_slate_has_all_items_but_padding():
    values, numbers = Slate.whole(TABLE).best(-USER, NOTHING, k=4)
    assert (values.tolist(), numbers.tolist()) == ([[-1, -2, -3, -4]], [[1, 2, 3, 4]])


def test_a_slate_of_some_items_knows_which_were_seen():
    slate = Slate.of([4, 2, 4, 1], TABLE)
    assert slate.best(USER, NOTHING, k=3)[1].tolist() == [[4, 2, 1]]
    values, numbers = slate.best(USER, torch.tensor([[0, 4, 3]]), k=9)
    assert numbers[0, :2].tolist() == [2, 1]
    assert values.tolist() == [[2, 1, float("-inf")]]
