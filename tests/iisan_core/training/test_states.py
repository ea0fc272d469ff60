import pytest
import torch

from iisan_core.training.states import ItemStates


@pytest.fixture
def bank():
    states = {"image": torch.arange(10.0).reshape(5, 2).half(), "text": torch.arange(15.0).reshape(5, 3)}
    present = {"image": torch.tensor([True, False, True, True, True]), "text": torch.ones(5, dtype=torch.bool)}
    numbers = torch.tensor([1, 2, 3, 4, 0])
    return ItemStates(states, present, {"image": [1, 1], "text": [3]}, numbers=numbers)


def test_item_n_is_row_n_minus_one(bank):
    states, present = bank.gather(torch.tensor([5, 2]))
    assert states["image"].tolist() == [[8, 9], [2, 3]]
    assert states["image"].dtype == torch.float16
    assert states["text"].tolist() == [[12, 13, 14], [3, 4, 5]]
    assert present["image"].tolist() == [True, False]
    assert states["ids"].tolist() == [0, 2], "the last row stands for an item that training did not know"


def test_gaps_size_and_blocks(bank):
    assert bank.missing == ["image"]
    assert bank.nbytes == 5 * 2 * 2 + 5 * 3 * 4
    assert [block.tolist() for block in bank.blocks(2)] == [[1, 2], [3, 4], [5]]
    assert bank.to(torch.device("meta")).states["text"].device.type == "meta"
