"""Standardized states: mean 0, deviation 1, whatever the scale, and nothing from what is constant."""

from __future__ import annotations

import torch
from torch.testing import assert_close

from iisan_core.model.inputs import ROWS_AT_ONCE, Standardize


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
