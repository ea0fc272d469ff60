"""Losses beyond the in-batch one, each against a loop that says it word by word, and against each other."""

import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from iisan_core.model import fused
from iisan_core.model.loss import full_softmax, gbce, in_batch_softmax, positive_shift, sampled_softmax
from iisan_core.training.batches import make_batch
from iisan_core.training.candidates import joined

S, E, N = 4, 3, 9

sequence = st.lists(st.integers(1, 7), min_size=2, max_size=S + 1)
sequences = st.lists(sequence, min_size=1, max_size=4)
draws = st.lists(st.integers(1, N), min_size=1, max_size=12)
"""Few items, so that repeats, overlaps and draws of a user's own items are common; 8 and 9 are in no sequence."""


class Case:
    """Sequences, and random states, vectors and shares: [B, S, E], [N + 1, E], [N + 1]."""

    def __init__(self, of_users, *, seed=0):
        self.sequences = torch.tensor([[0] * (S + 1 - len(s)) + list(s) for s in of_users])
        draw = torch.Generator().manual_seed(seed)
        self.states = torch.randn(len(of_users), S, E, generator=draw, dtype=torch.float64).requires_grad_()
        self.table = torch.randn(N + 1, E, generator=draw, dtype=torch.float64).requires_grad_()
        shares = torch.rand(N, generator=draw, dtype=torch.float64) + 0.1
        self.shares = torch.cat([torch.ones(1), shares / shares.sum()])  # of padding, and of items 1 … N
        self.batch = make_batch(self.sequences.numpy())

    def with_draws(self, pool):
        """Items [C], counts [C] and slots with the drawn `pool`."""
        distinct = Counter(pool)
        others = torch.tensor(sorted(distinct)).numpy()
        counts = torch.tensor([distinct[int(item)] for item in others]).numpy()
        return joined(self.batch.items, self.batch.slots, others, counts)

    def positions(self):
        """Of each real position: its state, its target, and the user's own items."""
        for user, row in enumerate(self.sequences.tolist()):
            for position in range(S):
                if row[position]:
                    yield self.states[user, position], row[position + 1], set(row) - {0}

    def slow(self, of_position):
        """The mean over real positions of `of_position(state, target, own)`."""
        return torch.stack([of_position(*known) for known in self.positions()]).mean()

    def agree(self, fast, slow):
        """Both have the same value and the same gradients on states and table."""
        found = [
            (value, *torch.autograd.grad(value, (self.states, self.table), materialize_grads=True))
            for value in (fast, slow)
        ]
        for one, other in zip(*found, strict=True):
            assert_close(one, other, rtol=1e-6, atol=1e-7)  # log counts are float32


def slow_softmax(case, pool, *, correct_positive):
    """`pool`: the item of every candidate. Uncorrected, `n` of them stand for all items that are not one's own."""

    def loss(state, target, own):
        others = [item for item in pool if item not in own]
        rest = 1 - sum(case.shares[item] for item in own)
        scale = 1 if correct_positive else len(others) / rest
        negatives = [state @ case.table[item] - (scale * case.shares[item]).log() for item in others]
        positive = state @ case.table[target] - (case.shares[target].log() if correct_positive else 0)
        return -torch.stack([positive, *negatives]).log_softmax(dim=0)[0]

    return case.slow(loss)


def in_batch(case, *, correct_positive, weights=None):
    batch = case.batch
    return in_batch_softmax(
        case.states,
        case.table[batch.items],
        slots=batch.slots,
        counts=batch.counts,
        log_popularity=case.shares[batch.items].log(),
        correct_positive=correct_positive,
        weights=weights,
    )


def sampled(case, pool, *, correct_positive, weights=None):
    items, counts, slots = case.with_draws(pool)
    return sampled_softmax(
        case.states,
        case.table[items],
        slots=slots,
        counts=counts,
        log_popularity=case.shares[items].log(),
        correct_positive=correct_positive,
        weights=weights,
    )


@pytest.mark.parametrize("form", ["fused", "plain"])
@settings(max_examples=40, deadline=None, derandomize=True)
@given(sequences, st.integers(0, 100))
def test_an_uncorrected_target_among_the_batchs_items(form, of_users, seed):
    case = Case(of_users, seed=seed)
    pool = [item for item in case.sequences.flatten().tolist() if item]
    fast = as_written(form, lambda: in_batch(case, correct_positive=False))
    case.agree(fast, slow_softmax(case, pool, correct_positive=False))


@pytest.mark.parametrize("form", ["fused", "plain"])
@pytest.mark.parametrize("correct_positive", [True, False])
@settings(max_examples=40, deadline=None, derandomize=True)
@given(sequences, draws, st.integers(0, 100))
def test_drawn_items(form, correct_positive, of_users, pool, seed):
    case = Case(of_users, seed=seed)
    fast = as_written(form, lambda: sampled(case, pool, correct_positive=correct_positive))
    case.agree(fast, slow_softmax(case, pool, correct_positive=correct_positive))


@pytest.mark.parametrize("form", ["fused", "plain"])
@settings(max_examples=30, deadline=None, derandomize=True)
@given(sequences, st.integers(0, 100))
def test_the_full_catalogue(form, of_users, seed):
    case = Case(of_users, seed=seed)

    def slow(state, target, own):
        others = [item for item in range(1, N + 1) if item not in own]
        return -(case.table[[target, *others]] @ state).log_softmax(dim=0)[0]

    slots = case.sequences - 1
    fast = as_written(form, lambda: full_softmax(case.states, case.table[1:], slots=slots))
    case.agree(fast, case.slow(slow))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(sequences, draws, st.floats(0, 1), st.integers(0, 100))
def test_gbce(of_users, pool, t, seed):
    case = Case(of_users, seed=seed)
    alpha = min(1, len(pool) / (N - 1))
    beta = alpha * (t * (1 - 1 / alpha) + 1 / alpha)

    def slow(state, target, own):
        others = [item for item in pool if item not in own]
        terms = [-beta * torch.log(torch.sigmoid(state @ case.table[target]))]
        terms += [-torch.log(1 - torch.sigmoid(state @ case.table[item])) for item in others]
        return torch.stack(terms).mean()

    items, counts, slots = case.with_draws(pool)
    fast = gbce(case.states, case.table[items], slots=slots, counts=counts, catalogue=N, calibration=t)
    case.agree(fast, case.slow(slow))


@pytest.mark.parametrize(("t", "beta"), [(0, 1), (1, 3 / (N - 1))])
def test_gbces_power_goes_from_one_to_the_share_that_is_drawn(t, beta):
    case = Case([[1, 2]])
    items, counts, slots = case.with_draws([7, 8, 9])
    far = torch.zeros_like(case.table[items])  # σ(0) for all
    loss = gbce(case.states, far, slots=slots, counts=counts, catalogue=N, calibration=t)
    assert_close(loss.item(), (beta + 3) * math.log(2) / 4)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(sequences, st.lists(st.integers(1, 4), min_size=N, max_size=N))
def test_candidates_by_their_shares_are_as_good_as_all(of_users, times):
    """Where every item is a candidate as often as its share says, nothing is left to chance: it is the full loss."""
    case = Case(of_users)
    pool = [item for item in range(1, N + 1) for _ in range(times[item - 1])]
    case.shares[1:] = torch.tensor(times) / len(pool)
    full = full_softmax(case.states, case.table[1:], slots=case.sequences - 1)
    case.agree(sampled(case, pool, correct_positive=False), full)


def test_the_uncorrected_target_has_the_papers_gradient():
    """arXiv 2507.09331: `(1 − P) · (log Σ_negatives − s)`, with the chance `P` of the target held fixed."""
    case = Case([[1, 2, 3], [4, 5]])
    pool = [1, 4, 6, 6, 7, 9]

    def weighted(state, target, own):
        others = [item for item in pool if item not in own]
        rest = 1 - sum(case.shares[item] for item in own)
        negatives = torch.stack([state @ case.table[i] - (case.shares[i] / rest).log() for i in others])
        total, score = negatives.logsumexp(dim=0), state @ case.table[target]
        chance = score.exp() / (score.exp() + total.exp() / len(others))
        return (1 - chance).detach() * (total - score)

    ours = torch.autograd.grad(sampled(case, pool, correct_positive=False), (case.states, case.table))
    theirs = torch.autograd.grad(case.slow(weighted), (case.states, case.table))
    for one, other in zip(ours, theirs, strict=True):
        assert_close(one, other, rtol=1e-6, atol=1e-7)


def test_a_user_without_candidates_shifts_nothing():
    batch = make_batch(torch.tensor([[1, 2, 3]]).numpy())
    assert positive_shift(batch.slots, batch.counts, torch.tensor([0.5, 0.3, 0.2]).log()).tolist() == [0]


def as_written(form, compute):
    if form == "fused":
        assert fused.enabled()
        return compute()
    with fused.off():
        return compute()


LOSSES = {
    "in batch": lambda case, weights: in_batch(case, correct_positive=False, weights=weights),
    "sampled": lambda case, weights: sampled(case, [2, 6, 8, 8], correct_positive=True, weights=weights),
    "full": lambda case, weights: full_softmax(case.states, case.table[1:], slots=case.sequences - 1, weights=weights),
    "gbce": lambda case, weights: gbce(
        case.states,
        case.table[1:],
        slots=case.sequences - 1,
        counts=torch.tensor([0, 0, 1, 0, 0, 0, 2, 0, 1]),
        catalogue=N,
        calibration=0.5,
        weights=weights,
    ),
}


@pytest.mark.parametrize("form", ["fused", "plain"])
@pytest.mark.parametrize("loss", LOSSES)
def test_sequences_count_by_their_weights(form, loss):
    """Weights change the mean, not the losses: of positions that are told apart by weighing all others with nothing."""
    case = Case([[1, 2, 3], [4, 5], [3, 4, 6, 7]])
    positions = torch.tensor([2.0, 1.0, 3.0], dtype=torch.float64)
    for weights in (torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64), None):
        shares = positions * (1 if weights is None else weights)
        alone = [LOSSES[loss](case, only) for only in torch.eye(3, dtype=torch.float64)]
        case.agree(
            as_written(form, lambda w=weights: LOSSES[loss](case, w)), torch.stack(alone) @ shares / shares.sum()
        )
