"""Gradients of a whole batch's loss, computed piece by piece (gradient caching, arXiv 2101.06983).

The loss compares every position with every item of the batch, so it cannot be summed over smaller batches. But it needs
only vectors: those are computed piece by piece without a graph, the loss on all of them tells what each vector's
gradient is, and then each piece is computed again, with its graph, to send that gradient on to the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from iisan_core.model.inference import ItemInputs
from iisan_core.model.inputs import arithmetic
from iisan_core.model.recommender import RecommenderModel


def backward_in_pieces(
    model: RecommenderModel,
    states: ItemInputs,
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    items: Tensor,
    slots: Tensor,
    users: int,
    precision: str,
) -> Tensor:
    """Add the gradients of a batch's loss to the model's; returns the loss [].

    Args:
        model: in training mode; dropout draws the same in both computations of a piece.
        states: where the states of `items` come from, piece by piece.
        loss: of user states [B, S, E] and item vectors [C, E].
        items: [C], numbers of the distinct items.
        slots: [B, S + 1], index into `items`; −1 where padded.
        users: how many are computed at a time, with their share of the items.
        precision: arithmetic of the item encoder.
    """

    def vectors_of(some: Tensor) -> Tensor:
        with arithmetic(slots.device, precision):
            return model.item_vectors(*states.gather(some))

    pieces = items.split(max(1, -(-len(items) * users // len(slots))))
    first = [_Piece(vectors_of, some) for some in pieces]
    vectors = torch.cat([piece.value for piece in first]).requires_grad_()
    second = [_Piece(lambda some: model.user_states(vectors, some), some) for some in slots[:, :-1].split(users)]
    user_states = torch.cat([piece.value for piece in second]).requires_grad_()
    value = loss(user_states, vectors)
    value.backward()
    for piece, gradient in zip(second, _gradient(user_states).split(users), strict=True):
        piece.send(gradient)  # to the user encoder, and on to the item vectors
    for piece, gradient in zip(first, _gradient(vectors).split([len(some) for some in pieces]), strict=True):
        piece.send(gradient)
    return value.detach()


class _Piece:
    """What a computation gave for some of its input, and the random state with which it can be done again."""

    def __init__(self, compute: Callable[[Tensor], Tensor], some: Tensor) -> None:
        self._compute, self._some = compute, some
        self._device = some.device
        self._random = torch.get_rng_state()
        self._random_there = torch.cuda.get_rng_state(some.device) if some.is_cuda else None
        with torch.no_grad():
            self.value = compute(some)

    def send(self, gradient: Tensor) -> None:
        """Compute again, and send the gradient of the value back through it."""
        with self._drawing_again():
            self._compute(self._some).backward(gradient)

    @contextmanager
    def _drawing_again(self) -> Iterator[None]:
        there = [] if self._random_there is None else [self._device]
        with torch.random.fork_rng(devices=there):
            torch.set_rng_state(self._random)
            if self._random_there is not None:
                torch.cuda.set_rng_state(self._random_there, self._device)
            yield


def _gradient(leaf: Tensor) -> Tensor:
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
