"""The loss over distinct items against the obvious loop over slots."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from iisan_core.model import fused
from iisan_core.model.loss import denominator_weights, in_batch_softmax
from iisan_core.training.batches import make_batch

S, E = 4, 3

sequence = st.lists(st.integers(1, 7), min_size=2, max_size=S + 1)
"""Few items, so that repeats within a user and overlaps between users are common."""


def padded(sequences):
    return torch.tensor([[0] * (S + 1 - len(s)) + list(s) for s in sequences])


def slow_loss(states, vectors, sequences, popularity):
    """Method, section 5, word by word. `vectors` [N + 1, E] and `popularity` [N + 1] by item number."""
    users, slots = range(len(sequences)), range(S + 1)
    losses = []
    for user in users:
        own = set(sequences[user].tolist())
        for position in range(S):
            if sequences[user, position] == 0:
                continue

            def logit(item, state=states[user, position]):
                return state @ vectors[item] - popularity[item].log()

            target = sequences[user, position + 1]
            others = [sequences[u, s] for u in users for s in slots if sequences[u, s].item() not in own | {0}]
            logits = torch.stack([logit(target)] + [logit(item) for item in others])
            losses.append(-logits.log_softmax(dim=0)[0])
    return torch.stack(losses).mean()


def both_losses(sequences, *, seed=0):
    """Our loss and the slow one, with their gradients on user states at real positions and on the item table."""
    sequences = padded(sequences)
    draw = torch.Generator().manual_seed(seed)
    states = torch.randn(len(sequences), S, E, generator=draw, dtype=torch.float64)
    table = torch.randn(8, E, generator=draw, dtype=torch.float64)
    popularity = torch.rand(8, generator=draw, dtype=torch.float64) + 0.01
    batch = make_batch(sequences.numpy())
    found = []
    for fast in (True, False):
        s, t = states.clone().requires_grad_(), table.clone().requires_grad_()
        if fast:
            loss = in_batch_softmax(
                s, t[batch.items], slots=batch.slots, counts=batch.counts, log_popularity=popularity[batch.items].log()
            )
        else:
            loss = slow_loss(s, t, sequences, popularity)
        found.append((loss, *torch.autograd.grad(loss, (s, t))))
    return found


def assert_equal_losses(sequences, *, seed=0):
    fast, slow = both_losses(sequences, seed=seed)
    with fused.off():
        plain, _ = both_losses(sequences, seed=seed)
    for found in (fast, plain):
        for one, other in zip(found, slow, strict=True):
            assert_close(one, other, rtol=1e-6, atol=1e-7)  # log counts are float32


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(sequence, min_size=1, max_size=4), st.integers(0, 100))
def test_the_fast_loss_is_the_slow_loop(sequences, seed):
    assert_equal_losses(sequences, seed=seed)


def test_blocks_of_positions_do_not_show(monkeypatch):
    monkeypatch.setattr(fused, "CPU_BLOCK_BYTES", 4 * 7 * 2)  # two positions of seven items
    assert_equal_losses([[1, 2, 3, 4, 5], [6, 7], [2, 2, 6, 1, 7]])


def test_repeated_items_of_a_sequence():
    assert_equal_losses([[1, 1, 2, 1, 1], [3, 4, 3]])


def test_users_who_share_one_item():
    assert_equal_losses([[1, 2, 3], [3, 4, 5]])


def test_users_with_equal_sequences():
    assert_equal_losses([[1, 2, 3], [1, 2, 3], [3, 2, 1]])


def test_items_in_many_slots_count_as_often():
    assert_equal_losses([[1, 2], [3, 3, 3, 3, 3], [3, 4]])


def test_one_user_alone_has_no_loss_and_no_gradient(either_form):
    fast, slow = both_losses([[1, 2, 3, 2]])
    for value in fast:
        assert_close(value, torch.zeros_like(value), rtol=0, atol=0)
    assert_close(fast[0], slow[0])


def test_padding_positions_get_no_gradient(either_form):
    (_, gradient, _), _ = both_losses([[1, 2], [3, 4, 5, 6, 7]])
    assert gradient[0, :-1].abs().sum() == 0
    assert gradient[0, -1].abs().sum() > 0


def test_large_scores_stay_finite(either_form):
    batch = make_batch(padded([[1, 2, 3], [4, 5, 6]]).numpy())
    states = torch.full((2, S, E), 200.0, requires_grad=True)
    vectors = torch.linspace(-200, 200, 6)[:, None].repeat(1, E).requires_grad_()
    loss = in_batch_softmax(states, vectors, slots=batch.slots, counts=batch.counts, log_popularity=torch.zeros(6))
    loss.backward()
    assert all(torch.isfinite(value).all() for value in (loss, states.grad, vectors.grad))
    assert loss > 0


@given(st.lists(sequence, min_size=1, max_size=4))
@settings(deadline=None, max_examples=50)
def test_the_denominators_weights_are_those_of_the_loss(sequences):
    batch = make_batch(padded(sequences).numpy())
    draw = torch.Generator().manual_seed(0)
    states = torch.randn(len(sequences), S, E, generator=draw, dtype=torch.float64)
    items = torch.randn(len(batch.items), E, generator=draw, dtype=torch.float64)
    weights = denominator_weights(batch.slots, batch.counts)
    real = batch.slots[:, :-1] >= 0
    assert bool((weights[~real] == 0).all())
    logits = states[real] @ items.T
    denominators = (weights[real] * logits.exp()).sum(dim=1).log()
    positives = logits.gather(1, batch.slots[:, 1:][real].unsqueeze(1)).squeeze(1)
    zeros = torch.zeros(len(batch.items), dtype=torch.float64)
    loss = in_batch_softmax(states, items, slots=batch.slots, counts=batch.counts, log_popularity=zeros)
    assert_close((denominators - positives).mean(), loss)
