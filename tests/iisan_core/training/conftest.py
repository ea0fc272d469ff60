from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def seeded(one_thread: None) -> None:
    """The same numbers in every run of the tests."""
    torch.manual_seed(0)
