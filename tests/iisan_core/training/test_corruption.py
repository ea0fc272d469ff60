"""Corruption of states: whose, how much, and nothing else."""

import pytest
import torch

from iisan_core.config.schema import CorruptionConfig
from iisan_core.errors import RefusedError
from iisan_core.training.corruption import corrupted
from iisan_core.training.inputs import RunInputs
from iisan_core.training.states import ItemStates

ITEMS = 200


@pytest.fixture
def bank() -> ItemStates:
    torch.manual_seed(0)
    states = {name: torch.randn(ITEMS, 6) for name in ("image", "text")}
    present = {"image": torch.arange(ITEMS) % 4 > 0, "text": torch.ones(ITEMS, dtype=torch.bool)}
    return ItemStates(dict(states), present, {"image": [3, 3], "text": [3, 3]}, numbers=torch.arange(1, ITEMS + 1))


def after(bank: ItemStates, kind: str, share: float, *, name: str = "text", seed: int = 0) -> ItemStates:
    return corrupted(bank, {name: CorruptionConfig.model_validate({"kind": kind, "share": share, "seed": seed})})


def changed(bank: ItemStates, other: ItemStates, name: str = "text") -> torch.Tensor:
    return (bank.states[name] != other.states[name]).any(dim=1)


@pytest.mark.parametrize(("name", "having"), [("text", ITEMS), ("image", ITEMS * 3 // 4)])
def test_dropping_takes_the_share_of_those_who_have_it(bank, name, having) -> None:
    found = after(bank, "dropped", 0.5, name=name)
    assert int(found.present[name].sum()) == having - having // 2
    assert not bool((found.present[name] & ~bank.present[name]).any())
    assert torch.equal(found.states[name], bank.states[name])


def test_shuffling_swaps_states_among_the_chosen(bank) -> None:
    found = after(bank, "shuffled", 0.5)
    moved = changed(bank, found)
    assert ITEMS * 0.45 < int(moved.sum()) <= ITEMS // 2, "a few may fall on their own place"
    for now, before in ((found, bank), (bank, found)):
        assert all(bool((now.states["text"][row] == before.states["text"]).all(dim=1).any()) for row in range(ITEMS))


def test_noise_is_as_wide_as_the_states(bank) -> None:
    bank.states["text"] *= torch.tensor([1.0, 1, 1, 10, 10, 10])
    found = after(bank, "noise", 1.0)
    added = (found.states["text"] - bank.states["text"]).std(dim=0)
    assert torch.allclose(added, bank.states["text"].std(dim=0), rtol=0.3)
    assert int(changed(bank, after(bank, "noise", 0.25)).sum()) == ITEMS // 4


@pytest.mark.parametrize("kind", ["dropped", "shuffled", "noise"])
def test_no_corruption_of_nobody_and_the_other_modality_is_left_alone(bank, kind) -> None:
    nothing = after(bank, kind, 0.0)
    assert torch.equal(nothing.states["text"], bank.states["text"])
    assert torch.equal(nothing.present["text"], bank.present["text"])
    everything = after(bank, kind, 1.0)
    assert torch.equal(everything.states["image"], bank.states["image"])
    assert torch.equal(everything.present["image"], bank.present["image"])


def test_a_larger_share_contains_a_smaller_one_and_the_seed_chooses(bank) -> None:
    few, many = (~after(bank, "dropped", share).present["text"] for share in (0.2, 0.6))
    assert bool((many | ~few).all())
    assert not torch.equal(few, ~after(bank, "dropped", 0.2, seed=1).present["text"])


def test_what_cannot_be_corrupted_is_refused(world, bank) -> None:
    with pytest.raises(RefusedError, match=r"corruption.sound: there is no such modality, there are image, text"):
        after(bank, "noise", 0.5, name="sound")
    mapped = RunInputs.open(world.config()).states(where="mapped")
    with pytest.raises(RefusedError, match="read from the cache step by step and cannot be changed"):
        after(mapped, "noise", 0.5)
