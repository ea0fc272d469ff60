import pytest
import torch
from torch import nn
from torch.testing import assert_close

from iisan_core.model.item_encoder import make_head

D, E = 16, 8


def test_a_stacked_head_is_its_two_linears_in_value_and_gradient():
    head = make_head("stacked", width=D, embedding=E)
    for parameter in head.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(7, D, requires_grad=True)
    weights = torch.randn(7, E)
    inputs = (x, *head.parameters())
    one, two = head(x), head.outer(head.inner(x))
    assert_close(one, two, rtol=1e-4, atol=1e-4)
    for fast, slow in zip(
        torch.autograd.grad((one * weights).sum(), inputs),
        torch.autograd.grad((two * weights).sum(), inputs),
        strict=True,
    ):
        assert_close(fast, slow, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("kind", "size"), [("linear", (D + 1) * E), ("stacked", (D + 1) * D + (D + 1) * E)])
def test_sizes_and_initial_values(kind, size):
    head = make_head(kind, width=D, embedding=E)
    assert sum(p.numel() for p in head.parameters()) == size
    assert not any(p.any() for n, p in head.named_parameters() if n.endswith("bias"))
    assert head(torch.randn(3, D)).shape == (3, E)


def test_weights_are_xavier_normal():
    wide = make_head("linear", width=500, embedding=300)
    assert wide.weight.std().item() == pytest.approx((2 / (500 + 300)) ** 0.5, rel=0.02)
