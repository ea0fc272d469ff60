import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from iisan_core.model.san import SANB

D, R = 16, 4


@pytest.mark.parametrize(("name", "act"), [("gelu", F.gelu), ("relu", F.relu)])
def test_a_block_is_a_bottleneck_with_a_shortcut(name, act):
    block = SANB(width=D, bottleneck=R, activation=name)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(5, D)
    w = block.state_dict()
    for row, found in zip(x, block(x), strict=True):
        inner = act(w["down.weight"] @ row + w["down.bias"])
        assert_close(found, row + w["up.weight"] @ inner + w["up.bias"])


def test_it_starts_almost_as_the_identity():
    x = torch.randn(100, D)
    block = SANB(width=D, bottleneck=R, activation="gelu")
    assert (block(x) - x).abs().max() < 0.01
    assert (block(x) - x).abs().max() > 0
    weights, biases = (
        torch.cat([p.flatten() for n, p in block.named_parameters() if n.endswith(kind)]) for kind in ("weight", "bias")
    )
    assert weights.std().item() == pytest.approx(0.01, rel=0.3)
    assert not biases.any()


def test_its_size_is_two_linears():
    block = SANB(width=D, bottleneck=R, activation="gelu")
    assert sum(p.numel() for p in block.parameters()) == (D + 1) * R + (R + 1) * D


def rough(activation):
    """A block far from the identity, in double precision, for gradients by differences."""
    block = SANB(width=D, bottleneck=R, activation=activation).double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)
    return block


@pytest.mark.parametrize(
    "learns", [(True, True, True), (True, False, True), (True, False, False), (False, True, False)]
)
def test_mixing_within_the_block_has_the_gradients_of_mixing_before_it(learns):
    block = rough("gelu")
    inputs = [torch.randn(5, D).double(), torch.randn(5, D).double(), torch.tensor(0.3).double()]
    for tensor, yes in zip(inputs, learns, strict=True):
        tensor.requires_grad_(yes)
    upstream = torch.randn(5, D).double()
    wanted = [*(t for t in inputs if t.requires_grad), *block.parameters()]
    expected, found = block(torch.lerp(*inputs)), block.mixing(*inputs)
    assert_close(found, expected)
    for one, other in zip(*(torch.autograd.grad(out, wanted, upstream) for out in (found, expected)), strict=True):
        assert_close(one, other)


@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_gradients_are_those_of_differences(activation):
    block = rough(activation)
    inputs = torch.randn(3, D).double(), torch.randn(3, D).double(), torch.tensor(0.7).double()
    assert torch.autograd.gradcheck(block, inputs[0].requires_grad_())
    assert torch.autograd.gradcheck(block.mixing, [tensor.requires_grad_() for tensor in inputs])


def test_mixing_leaves_what_it_was_given_as_it_was():
    block = rough("gelu")
    given = [torch.randn(3, D).double(), torch.randn(3, D).double(), torch.tensor(0.7).double()]
    before = [tensor.clone() for tensor in given]
    block.mixing(given[0].requires_grad_(), given[1], given[2]).sum().backward()
    assert all(torch.equal(one, other) for one, other in zip(given, before, strict=True))


def test_mixing_in_bfloat16_stays_in_it():
    block = SANB(width=D, bottleneck=R, activation="gelu")
    state, hidden = (torch.randn(3, D, dtype=torch.bfloat16).requires_grad_() for _ in range(2))
    share = torch.tensor(0.4, requires_grad=True)
    found = block.mixing(state, hidden, share)
    found.float().sum().backward()
    assert found.dtype == state.grad.dtype == hidden.grad.dtype == torch.bfloat16
    assert share.grad.dtype == torch.float32
