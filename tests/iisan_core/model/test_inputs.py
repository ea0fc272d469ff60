"""States at one scale, learned vectors for missing modalities, and the dropout that trains them."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from iisan_core.model.inputs import ROWS_AT_ONCE, MissingEmbedding, Standardize, drop_modalities, widened


def fitted(states: torch.Tensor, present: torch.Tensor) -> Standardize:
    module = Standardize(width=states.shape[1])
    module.fit(states, present)
    return module


def test_present_rows_get_mean_0_and_deviation_1() -> None:
    n = ROWS_AT_ONCE + 100
    states = torch.randn(n, 6) * torch.tensor([0.01, 1, 5, 20, 1, 1]) + torch.tensor([3.0, 0, -40, 7, 0, 1])
    present = torch.arange(n) % 5 > 0
    states[~present] = 1e4
    out = fitted(states, present)(states)[present]
    assert_close(out.mean(dim=0), torch.zeros(6), atol=1e-3, rtol=0)
    assert_close(out.std(dim=0, correction=0), torch.ones(6), atol=1e-3, rtol=0)


def test_a_constant_number_becomes_zero() -> None:
    states = torch.randn(50, 3)
    states[:, 1] = 12.3
    out = fitted(states.half(), torch.ones(50, dtype=torch.bool))(states.half().float())
    assert_close(out[:, 1], torch.zeros(50))


def test_the_measured_scale_is_saved_with_the_model() -> None:
    module = fitted(torch.randn(20, 4) * 3, torch.ones(20, dtype=torch.bool))
    assert set(module.state_dict()) == {"shift", "scale"}


def test_absent_rows_become_the_learned_vector_and_others_stay():
    missing = MissingEmbedding(width=3)
    states = torch.randn(4, 3)
    present = torch.tensor([True, False, True, False])
    found = missing(states, present)
    assert_close(found[present], states[present])
    assert_close(found[~present], missing.vector.expand(2, 3))
    assert missing(states.half(), present).dtype == torch.float16


def test_only_absent_rows_teach_the_vector():
    missing = MissingEmbedding(width=3)
    missing(torch.randn(4, 3), torch.tensor([True, False, True, False])).sum().backward()
    assert_close(missing.vector.grad, torch.full((3,), 2.0))


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


def test_widening_by_float32_is_widening():
    half = torch.randn(50, 7).half()
    assert torch.equal(widened(half, torch.bfloat16), half.to(torch.bfloat16))
