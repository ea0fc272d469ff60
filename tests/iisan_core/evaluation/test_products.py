"""Both ways of multiplying, against float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from iisan_core.evaluation import ranking as products
from iisan_core.evaluation.ranking import Products, on_wide_cpu

pytestmark = pytest.mark.usefixtures("one_thread")
TABLE = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("wide", [True, False])
@settings(max_examples=30, deadline=None, derandomize=True)
@given(rows=st.integers(0, 40), items=st.integers(1, 300), width=st.sampled_from([1, 3, 16, 64]))
def test_both_ways_are_the_product(wide, rows, items, width):
    if wide and not on_wide_cpu(TABLE):
        pytest.skip("this processor, or this torch, knows one way only")
    draw = torch.Generator().manual_seed(rows + 41 * items)
    left, table = torch.randn(rows, width, generator=draw), torch.randn(items, width, generator=draw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "on_wide_cpu", lambda table: wide)
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
