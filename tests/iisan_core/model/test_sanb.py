import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from iisan_core.model.sanb import SANB

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
