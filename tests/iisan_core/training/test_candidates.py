import numpy as np
import pytest
import torch

from iisan_core.config.schema import TrainingConfig
from iisan_core.model.recommender import RecommenderModel
from iisan_core.training.batches import make_batch
from iisan_core.training.candidates import Candidates, joined
from iisan_core.training.inputs import RunInputs
from iisan_core.training.step import Stepper

CPU = torch.device("cpu")
SEQUENCES = np.array([[0, 2, 4], [4, 4, 7]])


@pytest.fixture
def split(world):
    return RunInputs.open(world.config()).split


def candidates(split, **training):
    return Candidates(split, TrainingConfig(**training), device=CPU)


def drawn(made, *, epoch=1, times=1):
    """Counts [N + 1] of what an epoch's first batches draw."""
    batch, added = make_batch(SEQUENCES), made.of_epoch(epoch)
    total = np.zeros(made.items + 1, dtype=int)
    for _ in range(times):
        items, counts, _ = added(batch.items, batch.counts, batch.slots)
        total[items.numpy()] += counts.numpy()
    return total


def test_joined_items_keep_the_sequences():
    batch = make_batch(SEQUENCES)
    items, counts, slots = joined(batch.items, batch.slots, np.array([1, 4, 9]), np.array([2, 1, 3]))
    assert items.tolist() == [1, 2, 4, 7, 9]
    assert counts.tolist() == [2, 0, 1, 0, 3]
    assert torch.where(slots >= 0, items[slots.clamp(min=0)], 0).tolist() == SEQUENCES.tolist()


def test_the_batchs_own_items_are_left_as_they_are(split):
    batch = make_batch(SEQUENCES)
    found = candidates(split).of_epoch(1)(batch.items, batch.counts, batch.slots)
    assert all(a is b for a, b in zip(found, (batch.items, batch.counts, batch.slots), strict=True))


def test_the_full_catalogue_is_every_item_once(split):
    batch = make_batch(SEQUENCES)
    items, counts, slots = candidates(split, loss="full").of_epoch(1)(batch.items, batch.counts, batch.slots)
    assert items.tolist() == list(range(1, len(split.item_ids) + 1))
    assert set(counts.tolist()) == {1}
    assert (slots + 1).tolist() == SEQUENCES.tolist()


@pytest.mark.parametrize("loss", ["sampled", "gbce"])
def test_uniform_draws_fall_on_every_item_alike(split, loss):
    found = drawn(candidates(split, loss=loss, negatives=500), times=200)
    assert found.sum() == 500 * 200
    expected = 500 * 200 / len(split.item_ids)
    assert found[0] == 0
    assert np.abs(found[1:] - expected).max() < 6 * expected**0.5


def test_popular_draws_fall_by_the_share_of_training_interactions(split):
    made = candidates(split, loss="sampled", sampling="popular", negatives=500)
    found = drawn(made, times=200)
    shares = split.training_counts() / split.training_counts().sum()
    expected = 500 * 200 * shares
    assert found.sum() == 500 * 200
    assert (found[shares == 0] == 0).all()
    assert (np.abs(found - expected) < 6 * expected**0.5 + 1e-9).all()


@pytest.mark.parametrize(("sampling", "of"), [("uniform", "items"), ("popular", "interactions")])
def test_the_correction_is_by_what_is_drawn_from(split, sampling, of):
    made = candidates(split, loss="sampled", sampling=sampling)
    expected = split.popularity()[1:] if of == "interactions" else np.full(len(split.item_ids), 1 / len(split.item_ids))
    np.testing.assert_allclose(made.log_shares[1:].exp().numpy(), expected, rtol=1e-6)


def test_seed_and_epoch_decide_the_draws(split):
    def first(seed, epoch):
        return drawn(candidates(split, loss="sampled", negatives=20, seed=seed), epoch=epoch).tolist()

    assert first(1, 2) == first(1, 2)
    assert first(1, 2) != first(1, 3)
    assert first(1, 2) != first(2, 2)
    made = candidates(split, loss="sampled", negatives=20, seed=1)
    added, batch = made.of_epoch(2), make_batch(SEQUENCES)
    one, two = (added(batch.items, batch.counts, batch.slots)[1].tolist() for _ in range(2))
    assert one != two, "every step draws anew"


def test_a_step_adds_what_its_batch_lacks(world):
    config = world.config(training={"loss": "full"})
    inputs = RunInputs.open(config)
    states = inputs.states()
    stepper = Stepper(RecommenderModel(inputs.shape(config, states)), states, inputs.split, config.training)
    batch = make_batch(inputs.split.windows.take(np.arange(3)))
    whole = stepper.with_candidates(batch)
    assert len(whole.items) == len(inputs.split.item_ids) > len(batch.items)
    assert stepper.with_candidates(whole) is whole
    assert stepper.step(batch) > 0
