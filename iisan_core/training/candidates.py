"""What a step's loss tells the next item from: the batch's own items, items drawn for the step, or all there are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iisan_core.config.training import TrainingConfig
from iisan_core.data.split import Split
from iisan_core.model.loss import full_softmax, gbce, in_batch_softmax, sampled_softmax

Slots = tuple[Tensor, Tensor, Tensor]
"""Distinct items [C], how often each stands among the candidates [C], and sequences' index into them [B, S + 1]."""

DRAWS = 1
"""Keeps the draws of negatives apart from the order of users, which the same seed and epoch decide."""


class Candidates:
    """The candidates of one configuration's loss, and that loss over a batch that holds them."""

    def __init__(self, split: Split, config: TrainingConfig, *, device: torch.device) -> None:
        self.config = config
        self.items = len(split.item_ids)
        popularity = split.popularity()  # [N + 1]
        uniform = config.loss == "sampled" and config.sampling == "uniform"
        shares = np.full_like(popularity, 1 / self.items) if uniform else popularity
        self.log_shares = torch.from_numpy(shares).log().float().to(device)
        self._up_to = popularity[1:].cumsum() / popularity[1:].sum()

    def of_epoch(self, epoch: int) -> Callable[[Tensor, Tensor, Tensor], Slots]:
        """Brings an epoch's batches to what the loss asks for, one after the other; seed and epoch decide the draws."""
        return partial(self.added, rng=np.random.default_rng([self.config.seed, epoch, DRAWS]))

    def added(self, items: Tensor, counts: Tensor, slots: Tensor, *, rng: np.random.Generator) -> Slots:
        """A batch's own items, counts and slots → those with the candidates, the items in ascending order still."""
        if self.config.loss == "in_batch":
            return items, counts, slots
        if self.config.loss == "full":
            everything = np.arange(1, self.items + 1)
            return joined(items, slots, everything, np.ones_like(everything))
        return joined(items, slots, *np.unique(self._drawn(rng), return_counts=True))

    def _drawn(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Item numbers [K], any of them several times."""
        if self.config.sampling == "uniform":
            return rng.integers(1, self.items + 1, self.config.negatives)
        return 1 + np.searchsorted(self._up_to, rng.random(self.config.negatives), side="right")

    def loss(
        self, users: Tensor, vectors: Tensor, *, items: Tensor, counts: Tensor, slots: Tensor, weights: Tensor | None
    ) -> Tensor:
        """The loss [] of user states [B, S, E] and item vectors [C, E] of a batch that has its candidates."""
        config = self.config
        if config.loss == "full":
            return full_softmax(users, vectors, slots=slots, weights=weights)
        if config.loss == "gbce":
            t, count = config.gbce_calibration, self.items
            return gbce(users, vectors, slots=slots, counts=counts, weights=weights, catalogue=count, calibration=t)
        softmax = sampled_softmax if config.loss == "sampled" else in_batch_softmax
        return softmax(
            users,
            vectors,
            slots=slots,
            counts=counts,
            log_popularity=self.log_shares[items],
            correct_positive=config.correct_positive,
            weights=weights,
        )


def joined(items: Tensor, slots: Tensor, others: NDArray[np.int64], counts: NDArray[np.int64]) -> Slots:
    """Distinct items and slots among them, joined with `others`, of which each is a candidate `counts` times."""
    own = items.numpy()
    union = np.union1d(own, others)
    place = np.append(np.searchsorted(union, own), -1)  # what is padded stays −1
    weights = np.zeros_like(union)
    weights[np.searchsorted(union, others)] = counts
    return torch.from_numpy(union), torch.from_numpy(weights), torch.from_numpy(place[slots.numpy()])
