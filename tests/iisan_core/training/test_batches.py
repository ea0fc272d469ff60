import numpy as np
import pytest
import torch

from iisan_core.training.fit import epoch_batches, make_batch

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


def rows_of(**options):
    batches = list(epoch_batches(SEQUENCES, **options))
    return [rebuilt(batch).tolist() for batch in batches]


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_every_user_comes_once_an_epoch(size):
    batches = rows_of(size=size, seed=0, epoch=1)
    assert sorted(row for rows in batches for row in rows) == sorted(SEQUENCES.tolist())
    full, rest = divmod(len(SEQUENCES), size)
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
