"""Batches of users as distinct items and slots: a step touches each item once, and never padding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """One training batch, ready for the device."""

    items: Tensor
    """[C] numbers of the distinct items, ascending."""
    counts: Tensor
    """[C] in how many slots of the batch each stands."""
    slots: Tensor
    """[B, S + 1] index into `items`; −1 where padded."""

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`."""
        return Batch(*(t.to(device, non_blocking=True) for t in (self.items, self.counts, self.slots)))


def make_batch(sequences: NDArray[np.int64]) -> Batch:
    """Left-padded item numbers [B, S + 1] → their distinct items and slots."""
    distinct, slots, counts = np.unique(sequences, return_inverse=True, return_counts=True)
    padded = int(distinct[0] == 0)
    return Batch(
        items=torch.from_numpy(distinct[padded:]),
        counts=torch.from_numpy(counts[padded:]),
        slots=torch.from_numpy(slots.reshape(sequences.shape) - padded),
    )


def epoch_batches(sequences: NDArray[np.int64], *, size: int, seed: int, epoch: int) -> Iterator[Batch]:
    """All users once, `size` at a time, in an order that only `seed` and `epoch` decide."""
    order = np.random.default_rng([seed, epoch]).permutation(len(sequences))
    for start in range(0, len(order), size):
        yield make_batch(sequences[order[start : start + size]])
