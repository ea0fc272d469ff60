"""The fused forms of SAN blocks and loss against the plain ones, in value and gradient; and the switch between them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from iisan_core.config.schema import ModelConfig
from iisan_core.model import fused
from iisan_core.model.loss import in_batch_softmax
from iisan_core.model.recommender import ModelShape, RecommenderModel
from iisan_core.model.san import SANB, InterSAN, IntraSAN
from iisan_core.training.batches import make_batch

TOLERANCE = {
    torch.float64: {"rtol": 1e-10, "atol": 1e-10},
    torch.float32: {"rtol": 1e-4, "atol": 1e-4},
}
"""By the inputs' dtype: sums go in another order."""

LARGEST_DISTANCE = 0.05
"""Between results in bfloat16, all of them as one vector, against its length. Number by number would not do: where a
bottleneck lies within rounding of ReLU's kink, one form passes a gradient that the other stops, and a gate's gradient
is a sum whose terms all but cancel. Against float64 neither form is the better one."""


def assert_all_near(fast, plain, *, dtype):
    """The same tensors, as close as the dtype lets sums in another order be."""
    assert [t.dtype for t in fast] == [t.dtype for t in plain]
    if dtype == torch.bfloat16:
        one, other = (torch.cat([t.float().flatten() for t in tensors]) for tensors in (fast, plain))
        assert (one - other).norm() <= LARGEST_DISTANCE * other.norm()
        return
    for one, other in zip(fast, plain, strict=True):
        assert_close(one, other, **TOLERANCE[dtype])


def rough(module):
    """The module with weights far from the identity."""
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module


def assert_same(compute, learning, *, dtype):
    """`compute()` gives the same in both forms, and so do its gradients on the tensors that learn."""
    with fused.off():
        out = compute()
        upstream = torch.randn_like(out)
        plain = [out, *torch.autograd.grad(out, learning, upstream)]
    out = compute()
    assert_all_near([out, *torch.autograd.grad(out, learning, upstream)], plain, dtype=dtype)


@pytest.mark.parametrize("activation", ["gelu", "relu"])
@pytest.mark.parametrize("dtype", [*TOLERANCE, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("n", "width", "bottleneck"), [(1, 1, 1), (5, 16, 4), (33, 8, 24), (0, 6, 2)])
def test_a_block(n, width, bottleneck, dtype, activation):
    block = rough(SANB(width=width, bottleneck=bottleneck, activation=activation))
    block = block.double() if dtype == torch.float64 else block  # in bfloat16 the weights keep float32
    state, hidden = (torch.randn(n, width).to(dtype).requires_grad_() for _ in range(2))
    share = torch.tensor(0.3, dtype=torch.float64 if dtype == torch.float64 else torch.float32).requires_grad_()
    assert_same(lambda: block(state), [state, *block.parameters()], dtype=dtype)
    learning = [state, hidden, share, *block.parameters()]
    assert_same(lambda: block.mixing(state, hidden, share), learning, dtype=dtype)


@pytest.mark.parametrize("activation", ["gelu", "relu"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_networks(dtype, activation):
    shape = {"bottleneck": 4, "activation": activation}
    widths = {"image": [8, 16, 16], "text": [24, 24]}
    layers = {name: [torch.randn(7, w).to(dtype).requires_grad_() for w in of] for name, of in widths.items()}
    intra, inter = rough(IntraSAN(widths=widths["image"], **shape)), rough(InterSAN(widths=widths, **shape))
    intra, inter = intra.to(dtype), inter.to(dtype)
    assert_same(lambda: intra(layers["image"]), [*layers["image"], *intra.parameters()], dtype=dtype)
    read = [*layers["image"][1:], *layers["text"]]  # aligned at the top
    assert_same(lambda: inter(layers), [*read, *inter.parameters()], dtype=dtype)


def loss_inputs(sequences, dtype, *, length=5, width=3):
    padded = torch.tensor([[0] * (length - len(s)) + list(s) for s in sequences])
    batch = make_batch(padded.numpy())
    states = torch.randn(len(sequences), length - 1, width).to(dtype).requires_grad_()
    vectors = torch.randn(len(batch.items), width).to(dtype).requires_grad_()
    rest = {
        "slots": batch.slots,
        "counts": batch.counts,
        "log_popularity": torch.rand(len(batch.items)).add(0.01).log().to(dtype),
    }
    return states, vectors, rest


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    sequences=st.lists(st.lists(st.integers(1, 7), min_size=2, max_size=5), min_size=1, max_size=4),
    dtype=st.sampled_from([torch.float64, torch.float32]),
)
def test_the_loss(sequences, dtype):
    states, vectors, rest = loss_inputs(sequences, dtype)
    assert_same(lambda: in_batch_softmax(states, vectors, **rest), [states, vectors], dtype=dtype)


def test_the_loss_has_the_gradients_of_differences(either_form):
    states, vectors, rest = loss_inputs([[1, 2, 3, 4, 5], [6, 7], [2, 2, 6, 1, 7]], torch.float64)
    assert torch.autograd.gradcheck(lambda *tensors: in_batch_softmax(*tensors, **rest), (states, vectors))


def test_a_batch_without_real_positions_has_no_loss(either_form):
    vectors = torch.randn(2, 3, requires_grad=True)
    states, slots = torch.randn(1, 4, 3, requires_grad=True), torch.full((1, 5), -1)
    rest = {"counts": torch.ones(2, dtype=torch.int64), "log_popularity": torch.zeros(2)}
    loss = in_batch_softmax(states, vectors, slots=slots, **rest)
    loss.backward()
    assert loss == 0
    assert not states.grad.any() and not vectors.grad.any()


def step(model, precision):
    """Loss and gradients of one batch, in eval mode, so that no dropout is drawn."""
    draw = torch.Generator().manual_seed(3)
    sequences = torch.randint(1, 20, (6, 5), generator=draw)
    batch = make_batch(sequences.numpy())
    states = {m: torch.randn(len(batch.items), sum(w), generator=draw) for m, w in model.shape.widths.items()}
    present = {m: torch.rand(len(batch.items), generator=draw) < 0.8 for m in states}
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == torch.bfloat16):
        users, items = model(states, present, batch.slots[:, :-1])
    popularity = torch.full((len(items),), -3.0)
    loss = in_batch_softmax(users, items, slots=batch.slots, counts=batch.counts, log_popularity=popularity)
    loss.backward()
    return [loss.detach(), *(p.grad for p in model.parameters())]


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=str)
def test_a_training_step_of_the_whole_model(precision):
    config = ModelConfig(bottleneck=4, embedding=8, head="stacked")
    shape = ModelShape(
        widths={"image": (16,) * 3, "text": (24,) * 4}, missing=("image", "text"), max_history=4, config=config
    )
    model = RecommenderModel(shape).eval()
    fast = step(model, precision)
    with fused.off():
        plain = step(model, precision)
    assert_all_near(fast, plain, dtype=precision)


def taking(name, form, taken):
    return lambda *given, **named: taken.append(name) or form(*given, **named)


def forms_taken(monkeypatch):
    """Names of the fused forms that are called from here on."""
    taken = []
    for name in ("sanb", "mixing_sanb", "in_batch_softmax"):
        form = getattr(fused, name)
        monkeypatch.setattr(fused, name, taking(name, form, taken))
    return taken


def compute_everything():
    IntraSAN(widths=[8, 8], bottleneck=2, activation="gelu")([torch.randn(3, 8)] * 2)
    states, vectors, rest = loss_inputs([[1, 2, 3], [4, 5]], torch.float32)
    in_batch_softmax(states, vectors, **rest)


def test_the_switch_is_on_and_turns_all_of_it_off(monkeypatch):
    taken = forms_taken(monkeypatch)
    compute_everything()
    assert taken == ["sanb", "mixing_sanb", "in_batch_softmax"]
    taken.clear()
    with fused.off():
        compute_everything()
        with fused.off():
            pass
        compute_everything()
    assert taken == []


def test_what_torch_compiles_is_plain(monkeypatch):
    taken = forms_taken(monkeypatch)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    compute_everything()
    assert taken == []


def test_the_switch_goes_back_after_an_error_and_is_this_threads_own():
    elsewhere = []
    with pytest.raises(ZeroDivisionError), fused.off():
        thread = threading.Thread(target=lambda: elsewhere.append(fused.enabled()))
        thread.start()
        thread.join()
        assert not fused.enabled()
        1 / 0  # noqa: B018
    assert fused.enabled()
    assert elsewhere == [True]


@pytest.mark.parametrize(("value", "on"), [("0", False), ("1", True), (None, True)])
def test_the_environment_turns_it_off_for_a_whole_process(value, on):
    environment = {name: setting for name, setting in os.environ.items() if name != "IISAN_FUSED"}
    program = f"from iisan_core.model import fused; assert fused.enabled() is {on}"
    if value is not None:
        environment["IISAN_FUSED"] = value
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
