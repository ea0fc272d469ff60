import pytest
import torch
from torch.testing import assert_close

from iisan_core.model.inputs import MissingEmbedding, drop_modalities


def test_absent_rows_become_the_learned_vector_and_others_stay():
    stand_in = MissingEmbedding(width=3)
    states = torch.randn(4, 3)
    present = torch.tensor([True, False, True, False])
    found = stand_in(states, present)
    assert_close(found[present], states[present])
    assert_close(found[~present], stand_in.vector.expand(2, 3))
    assert stand_in(states.half(), present).dtype == torch.float16


def test_only_absent_rows_teach_the_vector():
    stand_in = MissingEmbedding(width=3)
    stand_in(torch.randn(4, 3), torch.tensor([True, False, True, False])).sum().backward()
    assert_close(stand_in.vector.grad, torch.full((3,), 2.0))


def random_presence(items, modalities):
    present = {f"m{n}": torch.rand(items) < 0.7 for n in range(modalities)}
    present["m0"] |= ~torch.stack(list(present.values())).any(dim=0)  # no item lacks everything
    return present


@pytest.mark.parametrize("modalities", [1, 2, 3])
@pytest.mark.parametrize("rate", [0.1, 0.9])
def test_no_item_loses_its_last_modality_and_none_gains_one(modalities, rate):
    present = random_presence(500, modalities)
    kept = drop_modalities(present, rate=rate)
    assert list(kept) == list(present)
    assert torch.stack(list(kept.values())).any(dim=0).all()
    for name in present:
        assert not (kept[name] & ~present[name]).any()


def test_the_rate_is_kept():
    items, rate = 100_000, 0.1
    whole = {name: torch.ones(items, dtype=torch.bool) for name in ("image", "text")}
    torch.manual_seed(0)
    kept = drop_modalities(whole, rate=rate)
    for name in whole:
        # Both hidden at once is taken back.
        assert (~kept[name]).float().mean().item() == pytest.approx(rate * (1 - rate), rel=0.05)


def test_rate_zero_hides_nothing():
    present = random_presence(100, 2)
    for name, kept in drop_modalities(present, rate=0.0).items():
        assert torch.equal(kept, present[name])
