"""A batch in pieces against the whole batch, and against autograd through the pieces."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from iisan_core.model.recommender import RecommenderModel
from iisan_core.training.batches import make_batch
from iisan_core.training.gradient_cache import _Piece
from iisan_core.training.inputs import RunInputs
from iisan_core.training.step import Stepper

LOSSES = [
    {}, {"correct_positive": False}, {"loss": "sampled", "negatives": 20}, {"loss": "gbce", "negatives": 20},
    {"loss": "full"},
]  # fmt: skip

CLOSE = 1e-3
"""Of a gradient's length: sums of float32 in another order."""


@pytest.fixture
def stepper(world):
    def make(model=None, **training):
        config = world.config(model=model, training=training)
        inputs = RunInputs.open(config)
        torch.manual_seed(0)
        states = inputs.states()
        made = Stepper(RecommenderModel(inputs.shape(config, states)), states, inputs.split, config.training)
        return made, make_batch(inputs.split.windows.take(np.arange(16)))

    return make


def gradients(stepper, batch):
    stepper.model.zero_grad()
    loss = stepper.backward(batch)
    return loss, {name: p.grad for name, p in stepper.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("users", [1, 5, 16])
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_pieces_have_the_gradients_of_the_whole(stepper, loss, users):
    whole, batch = stepper({"dropout": 0.0, "modality_dropout": 0.0}, **loss)
    pieces, _ = stepper({"dropout": 0.0, "modality_dropout": 0.0}, micro_batch=users, **loss)
    batch = whole.with_candidates(batch)
    assert pieces.in_pieces(batch) == (users < 16)
    (value, expected), (found_value, found) = gradients(whole, batch), gradients(pieces, batch)
    assert_close(found_value, value)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert (found[name] - gradient).norm() < CLOSE * gradient.norm() + 1e-6, name


def test_dropout_draws_the_same_again(stepper, monkeypatch):
    """Pieces whose graphs are all kept, as autograd alone would do it, have the same loss and gradients."""
    pieces, batch = stepper({"dropout": 0.5, "modality_dropout": 0.5}, micro_batch=5)
    pieces.model.train()
    torch.manual_seed(1)
    value, found = gradients(pieces, batch)
    after = torch.rand(1)
    torch.manual_seed(1)
    pieces.model.zero_grad()
    some_items = batch.items.split(-(-len(batch.items) * 5 // 16))
    vectors = torch.cat([pieces.model.item_vectors(*pieces.states.gather(some)) for some in some_items])
    users = torch.cat([pieces.model.user_states(vectors, some) for some in batch.slots[:, :-1].split(5)])
    plain = pieces._compared(batch, users, vectors)
    plain.backward()
    assert_close(value, plain.detach())
    for name, parameter in pieces.model.named_parameters():
        if parameter.grad is not None:
            assert (found[name] - parameter.grad).norm() < CLOSE * parameter.grad.norm() + 1e-6, name
    assert torch.equal(torch.rand(1), after), "computing again draws nothing from what comes next"


def test_no_graph_outlives_a_piece():
    weight = torch.ones(2, requires_grad=True)
    piece = _Piece(lambda some: some * weight, torch.tensor([3.0, 4.0]))
    assert not piece.value.requires_grad
    piece.send(torch.tensor([1.0, 10.0]))
    assert weight.grad.tolist() == [3.0, 40.0]


def test_bfloat16_pieces_learn(stepper):
    pieces, batch = stepper(micro_batch=4, precision="bfloat16")
    first = pieces.step(batch).item()
    for _ in range(20):
        last = pieces.step(batch).item()
    assert last < first
