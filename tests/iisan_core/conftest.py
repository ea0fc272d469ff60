from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from iisan_core.model import fused


@pytest.fixture(params=["fused", "plain"])
def either_form(request: pytest.FixtureRequest) -> Iterator[str]:
    """The test runs twice: with the fused forms of SAN blocks and loss, and in plain torch."""
    with nullcontext() if request.param == "fused" else fused.off():
        assert fused.enabled() == (request.param == "fused")
        yield request.param
