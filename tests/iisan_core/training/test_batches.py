import numpy as np
import pytest
import torch

from iisan_core.config.schema import TrainingConfig
from iisan_core.data.sequences import Sequences, Windows
from iisan_core.training.batches import epoch_batches, make_batch

SEQUENCES = np.array([[0, 0, 3, 1], [2, 2, 3, 9], [0, 5, 5, 5], [4, 1, 1, 2], [0, 0, 0, 8]])


def rebuilt(batch):
    """The sequences that a batch was made from."""
    return torch.where(batch.slots >= 0, batch.items[batch.slots.clamp(min=0)], 0)


@pytest.mark.parametrize("rows", [[0], [1], [0, 1, 2, 3, 4]])
def test_distinct_items_and_slots_are_the_sequences(rows):
    sequences = SEQUENCES[rows]
    batch = make_batch(sequences)
    assert rebuilt(batch).tolist() == sequences.tolist()
    assert batch.items.tolist() == sorted(set(sequences.ravel().tolist()) - {0})
    assert batch.counts.tolist() == [(sequences == item).sum() for item in batch.items.tolist()]


WINDOWS = Windows(Sequences.from_padded(SEQUENCES[:-1]), 3)


def rows_of(*, size, seed, epoch):
    batches = list(epoch_batches(WINDOWS, TrainingConfig(batch_size=size, seed=seed), epoch=epoch))
    return [rebuilt(batch).tolist() for batch in batches]


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_every_window_comes_once_an_epoch(size):
    batches = rows_of(size=size, seed=0, epoch=1)
    assert sorted(row for rows in batches for row in rows) == sorted(SEQUENCES[:-1].tolist())
    full, rest = divmod(len(WINDOWS), size)
    assert [len(rows) for rows in batches] == [size] * full + [rest] * (rest > 0)


def test_seed_and_epoch_alone_decide_the_order():
    np.random.seed(1)
    torch.manual_seed(1)
    one = rows_of(size=2, seed=3, epoch=4)
    np.random.seed(2)
    torch.manual_seed(2)
    assert rows_of(size=2, seed=3, epoch=4) == one
    assert rows_of(size=2, seed=3, epoch=5) != one
    assert rows_of(size=2, seed=4, epoch=4) != one


def test_a_batch_moves_whole():
    batch = make_batch(SEQUENCES)
    moved = batch.to(torch.device("meta"))
    assert {t.device.type for t in (moved.items, moved.counts, moved.slots)} == {"meta"}


def test_users_may_weigh_alike():
    windows = Windows(Sequences.of_lists([[1, 2, 3, 4, 5, 6, 7], [8, 9]]), 3)
    (batch,) = epoch_batches(windows, TrainingConfig(batch_size=10, user_weight="user"), epoch=1)
    targets = (batch.slots[:, :-1] >= 0).sum(dim=1)
    ones = {int(n): float(w) for n, w in zip(rebuilt(batch)[:, -1], batch.weights, strict=True)}
    assert ones == pytest.approx({7: 1 / 6, 4: 1 / 6, 9: 1})
    assert float((targets * batch.weights).sum()) == pytest.approx(2), "one for each user"
    (batch,) = epoch_batches(windows, TrainingConfig(batch_size=10), epoch=1)
    assert batch.weights is None
