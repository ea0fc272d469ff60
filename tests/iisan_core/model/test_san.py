"""SAN blocks, intra and inter SANs against the method's formulas, item by item and block by block."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from iisan_core.errors import RefusedError
from iisan_core.model.san import SANB, InterSAN, IntraSAN

D, R, ITEMS = 16, 4, 5
SHAPE = {"bottleneck": R, "activation": "gelu"}

pytestmark = pytest.mark.usefixtures("either_form")


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


def random_weights(module):
    """Weights wide enough for every term to show."""
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module


def layers_of(widths):
    return [torch.randn(ITEMS, width) for width in widths]


def plain_block(weights, k, x):
    down = weights[f"block.{k}.down.weight"] @ x + weights[f"block.{k}.down.bias"]
    return x + weights[f"block.{k}.up.weight"] @ F.gelu(down) + weights[f"block.{k}.up.bias"]


def aligned(weights, name, x):
    """`x` through the linear called `name`, where there is one."""
    return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"] if f"{name}.weight" in weights else x


def plain_intra(weights, layers):
    state = torch.zeros_like(layers[-1])
    for k, hidden in enumerate(layers):
        share = torch.sigmoid(weights["gate"][k] / 0.1)
        state = plain_block(weights, k, share * aligned(weights, f"align.{k}", hidden) + (1 - share) * state)
    return state


def plain_inter(weights, layers):
    """`layers`: modality → hidden states of one item, lists of unequal length aligned at the top."""
    blocks = min(map(len, layers.values()))
    state = 0
    for k in range(blocks):
        free = [weights["gate"][k, m] / 0.1 for m in range(len(layers) - 1)]
        powers = torch.stack([*free, torch.zeros(())]).exp()
        for share, (name, hidden) in zip(powers / powers.sum(), layers.items(), strict=True):
            state = state + share * aligned(weights, f"dtl.{name}.{k}", hidden[k - blocks])
        state = plain_block(weights, k, state)
    return state


@pytest.mark.parametrize("widths", [[D], [D] * 4, [6, 10, D, D]])
def test_intra_is_the_plain_formula(widths):
    san = random_weights(IntraSAN(widths=widths, **SHAPE))
    layers = layers_of(widths)
    expected = [plain_intra(san.state_dict(), [layer[n] for layer in layers]) for n in range(ITEMS)]
    assert_close(san(layers), torch.stack(expected), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    "widths",
    [
        {"image": [D] * 3, "text": [D] * 3},
        {"image": [D] * 2, "text": [D] * 5},
        {"image": [D] * 3, "text": [24] * 3},
        {"image": [8, 24, 24], "text": [D] * 4},
        {"image": [D] * 3, "text": [24] * 2, "sound": [D, 20, 20]},
    ],
)
def test_inter_is_the_plain_formula(widths):
    san = random_weights(InterSAN(widths=widths, **SHAPE))
    layers = {name: layers_of(w) for name, w in widths.items()}
    assert san.width == min(w[-1] for w in widths.values())
    expected = [
        plain_inter(san.state_dict(), {name: [layer[n] for layer in rows] for name, rows in layers.items()})
        for n in range(ITEMS)
    ]
    assert_close(san(layers), torch.stack(expected), rtol=1e-5, atol=1e-4)


def test_gates_start_at_one_half():
    image, text = torch.randn(2, ITEMS, D)
    intra = IntraSAN(widths=[D], **SHAPE)
    inter = InterSAN(widths={"image": [D], "text": [D]}, **SHAPE)
    # Fresh blocks are almost the identity, so the gate alone is seen.
    assert_close(intra([image]), image / 2, rtol=0, atol=0.01)
    assert_close(inter({"image": [image], "text": [text]}), (image + text) / 2, rtol=0, atol=0.01)


def test_an_open_gate_lets_only_the_image_through():
    inter = random_weights(InterSAN(widths={"image": [D], "text": [D]}, **SHAPE))
    inter.gate.data.fill_(10)
    image = torch.randn(ITEMS, D)
    one, other = (inter({"image": [image], "text": [torch.randn(ITEMS, D)]}) for _ in range(2))
    assert_close(one, other)


def test_layers_below_the_shorter_list_do_not_enter_inter():
    widths = {"image": [D] * 2, "text": [D] * 4}
    san = random_weights(InterSAN(widths=widths, **SHAPE))
    image, text = layers_of([D] * 2), layers_of([D] * 4)
    lower = [torch.randn(ITEMS, D) for _ in range(2)]
    assert_close(san({"image": image, "text": [*lower, *text[2:]]}), san({"image": image, "text": text}))
    changed = san({"image": image, "text": [*text[:2], torch.randn(ITEMS, D), text[3]]})
    assert not torch.allclose(changed, san({"image": image, "text": text}))


def test_a_third_modality_without_weight_leaves_the_two():
    two = random_weights(InterSAN(widths={"image": [D] * 3, "text": [D] * 3}, **SHAPE))
    three = InterSAN(widths={"sound": [D] * 3, "image": [D] * 3, "text": [D] * 3}, **SHAPE)
    silent = torch.full((3, 1), -100.0)
    three.load_state_dict({**two.state_dict(), "gate": torch.cat([silent, two.gate.data], dim=1)})
    layers = {name: layers_of([D] * 3) for name in ("sound", "image", "text")}
    assert_close(three(layers), two({name: layers[name] for name in ("image", "text")}))


def test_only_layers_of_another_width_have_a_linear():
    intra = IntraSAN(widths=[8, D, D], **SHAPE)
    assert [n for n, _ in intra.align.named_parameters()] == ["0.weight", "0.bias"]
    inter = InterSAN(widths={"image": [D] * 2, "text": [24] * 3}, **SHAPE)
    assert sorted({name.split(".")[0] for name, _ in inter.dtl.named_parameters()}) == ["text"]
    assert sum(p.numel() for p in inter.dtl.parameters()) == 2 * (24 + 1) * D


def test_a_shared_transformation_is_the_same_linear_in_every_block():
    widths = {"image": [D] * 3, "text": [24] * 3}
    shared = random_weights(InterSAN(widths=widths, transformation="shared", **SHAPE))
    per_block = InterSAN(widths=widths, **SHAPE)
    weights = shared.state_dict()
    spread = {
        name: weights[name.replace(name.split(".")[2], "0", 1)] for name in per_block.state_dict() if "dtl" in name
    }
    per_block.load_state_dict(weights | spread)
    layers = {name: layers_of(w) for name, w in widths.items()}
    assert_close(shared(layers), per_block(layers))
    saved = sum(p.numel() for p in per_block.parameters()) - sum(p.numel() for p in shared.parameters())
    assert saved == 2 * (24 * D + D)


def test_a_shared_transformation_needs_layers_of_one_width():
    with pytest.raises(RefusedError, match=r"the text layers have the widths \[24, 32\]"):
        InterSAN(widths={"image": [D] * 2, "text": [24, 32]}, transformation="shared", **SHAPE)


def test_a_frozen_transformation_learns_nothing_but_lets_the_blocks_learn():
    widths = {"image": [D] * 2, "text": [24] * 2}
    san = InterSAN(widths=widths, transformation="frozen", **SHAPE)
    san({name: layers_of(w) for name, w in widths.items()}).sum().backward()
    assert all(p.grad is None for p in san.dtl.parameters())
    assert all(p.grad is not None for p in san.block.parameters())
