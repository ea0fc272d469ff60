"""Batches: windows of users' sequences as distinct items and slots, in an order that seed and epoch decide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iisan_core.computing.processes import ProcessGroup
from iisan_core.config.schema import TrainingConfig
from iisan_core.data.sequences import Numbers, Windows


@dataclass(frozen=True)
class Batch:
    """One training batch, ready for the device."""

    items: Tensor
    """[C] numbers of the distinct items, ascending."""
    counts: Tensor
    """[C] in how many slots of the batch each stands."""
    slots: Tensor
    """[B, S + 1] index into `items`; −1 where padded."""
    weights: Tensor | None = None
    """[B] what each sequence's positions count; None: all alike."""
    has_candidates: bool = False
    """Whether `items` and `counts` hold what the loss asks for beyond the batch's own items."""

    def part(self, processes: ProcessGroup) -> tuple[Batch, float | Tensor]:
        """One process's users, and their share of what the whole batch's mean is taken over."""
        if processes.group is None:
            return self, 1.0
        users = processes.part(len(self.slots))
        weights = None if self.weights is None else self.weights[users]
        mine = replace(self, slots=self.slots[users], weights=weights)
        return mine, mine.counting() / self.counting()

    def counting(self) -> Tensor:
        """What its positions count together, []."""
        real = (self.slots[:, :-1] >= 0).sum(dim=1)
        return (real if self.weights is None else real * self.weights).sum()

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`."""
        items, counts, slots = (t.to(device, non_blocking=True) for t in (self.items, self.counts, self.slots))
        weights = None if self.weights is None else self.weights.to(device, non_blocking=True)
        return Batch(items, counts, slots, weights, self.has_candidates)


def make_batch(sequences: Numbers, *, weights: NDArray[np.float32] | None = None) -> Batch:
    """Left-padded item numbers [B, S + 1] and their weights [B] → their distinct items and slots."""
    distinct, slots, counts = np.unique(sequences, return_inverse=True, return_counts=True)
    padded = int(distinct[0] == 0)
    return Batch(
        items=torch.from_numpy(distinct[padded:]),
        counts=torch.from_numpy(counts[padded:]),
        slots=torch.from_numpy(slots.reshape(sequences.shape) - padded),
        weights=None if weights is None else torch.from_numpy(weights),
    )


def epoch_batches(windows: Windows, config: TrainingConfig, *, epoch: int) -> Iterator[Batch]:
    """All windows once, `batch_size` at a time, in an order that only `seed` and `epoch` decide."""
    order = np.random.default_rng([config.seed, epoch]).permutation(len(windows))
    for start in range(0, len(order), config.batch_size):
        chosen = order[start : start + config.batch_size]
        by_user = config.user_weight == "user"
        weights = (1 / windows.targets_of_rows(chosen)).astype(np.float32) if by_user else None
        yield make_batch(windows.take(chosen), weights=weights)
