"""One step: states of a batch's distinct items, the loss, its gradients, an update; by one process or several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from iisan_core.computing.processes import ALONE, ProcessGroup
from iisan_core.computing.threads import SuitableThreads
from iisan_core.config.schema import TrainingConfig
from iisan_core.data.split import Split
from iisan_core.errors import RefusedError
from iisan_core.model.inference import ItemInputs
from iisan_core.model.inputs import arithmetic
from iisan_core.model.recommender import RecommenderModel
from iisan_core.training.batches import Batch
from iisan_core.training.candidates import Candidates, Slots
from iisan_core.training.device import check_compiler, compile_items, precision_of
from iisan_core.training.gradient_cache import backward_in_pieces
from iisan_core.training.optimizer import Updater
from iisan_core.training.states import Gathered, ItemStates

LITTLE = 2e9
"""Operations of a step below which further threads gain less than they may lose: some 40 ms on one."""

AN_UPDATE = 180
"""Operations in whose time one weight is updated, which waits for memory."""

RECURRING = 32
"""In bfloat16 the towers see a multiple of so many items: oneDNN prepares and keeps a product for each shape it meets,
and every batch has another number of distinct items."""


class Stepper:
    """One optimiser step at a time on batches of a split."""

    def __init__(
        self,
        model: RecommenderModel,
        states: ItemInputs,
        split: Split,
        config: TrainingConfig,
        *,
        processes: ProcessGroup = ALONE,
    ) -> None:
        if config.micro_batch is not None and processes.group is not None:
            raise RefusedError(
                f"training.micro_batch is {config.micro_batch} and {processes.count} processes train together, which "
                "share a batch out already; leave one of them out"
            )
        self.model = model
        self.processes = processes
        self.states = states
        self.split = split
        self.device = next(model.parameters()).device
        self.config = config
        self.precision = precision_of(config, device=self.device, widest=model.shape.widest)
        self.multiple = RECURRING if self.precision == "bfloat16" and isinstance(states, ItemStates) else 1
        self.updater = Updater(model, config)
        self.threads = _threads(model, config, device=self.device, positions=split.max_history)
        self.compiled = config.compile
        if self.compiled:
            check_compiler(self.device)
            compile_items(model)
        self.candidates = Candidates(split, config, device=self.device)
        self._any_candidates = self.candidates.of_epoch(0)

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """What updates the weights."""
        return self.updater.optimizer

    def loss(self, batch: Batch, gathered: Gathered | None = None) -> Tensor:
        """Loss of one batch that lies on the model's device; `gathered`: states of its `rows`, where they are there.

        Of several processes each has its own users' share of the loss: they sum to the batch's.
        """
        with arithmetic(self.device, self.precision):  # the gathered states get no name, so that nothing keeps them
            own = self.model.item_vectors(*(gathered or self.states.gather(self.rows(batch))))
        items = self.processes.joined(own[: len(self._own_items(batch))], len(batch.items))
        mine, share = batch.part(self.processes)
        return self._compared(mine, self.model.user_states(items, mine.slots[:, :-1]), items) * share

    def rows(self, batch: Batch) -> Tensor:
        """The batch's distinct items, then the last of them again up to a number that recurs; those change nothing.

        Of several processes each has its part of them.
        """
        own = self._own_items(batch)
        missing = -max(1, len(own)) % self.multiple + (not len(own))
        return torch.cat([own, batch.items[-1:].expand(missing)]) if missing else own

    def _own_items(self, batch: Batch) -> Tensor:
        return batch.items[self.processes.part(len(batch.items))]

    def step(self, batch: Batch, gathered: Gathered | None = None) -> Tensor:
        """Update the weights by one batch; returns its loss, still on the device."""
        loss = self.backward(self.with_candidates(batch).to(self.device), gathered)
        if self.processes.group is not None:
            loss = self._summed(loss)
        self.updater.update()
        return loss

    def _summed(self, loss: Tensor) -> Tensor:
        """The whole batch's loss, and its gradients on the weights, of what every process has computed of them."""
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        flat = self.processes.sum(torch.cat([loss.reshape(1), *(g.flatten() for g in gradients)]))
        sizes = [1, *(g.numel() for g in gradients)]
        total, *parts = flat.split(sizes)
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        return total.squeeze(0)

    def backward(self, batch: Batch, gathered: Gathered | None = None) -> Tensor:
        """Add the gradients of a batch's loss to those of the weights; returns the loss, without a graph."""
        if not self.in_pieces(batch):
            loss = self.loss(batch, gathered)
            loss.backward()
            return loss.detach()
        return backward_in_pieces(
            self.model,
            self.states,
            lambda users, items: self._compared(batch, users, items),
            items=batch.items,
            slots=batch.slots,
            users=self.config.micro_batch or len(batch.slots),
            precision=self.precision,
        )

    def in_pieces(self, batch: Batch) -> bool:
        """Whether a batch is more than is to be computed at a time."""
        return self.config.micro_batch is not None and self.config.micro_batch < len(batch.slots)

    def with_candidates(self, batch: Batch, added: Callable[[Tensor, Tensor, Tensor], Slots] | None = None) -> Batch:
        """The batch with what its loss tells the next items from, if it has not got it yet."""
        if batch.has_candidates:
            return batch
        items, counts, slots = (added or self._any_candidates)(batch.items, batch.counts, batch.slots)
        return replace(batch, items=items, counts=counts, slots=slots, has_candidates=True)

    def _compared(self, batch: Batch, users: Tensor, items: Tensor) -> Tensor:
        return self.candidates.loss(
            users, items, items=batch.items, counts=batch.counts, slots=batch.slots, weights=batch.weights
        )


def _threads(
    model: RecommenderModel, config: TrainingConfig, *, device: torch.device, positions: int
) -> SuitableThreads:
    """As many as the configuration says, as small work needs, or as turn out to be quickest."""
    if config.threads is not None:
        return SuitableThreads(fewest=config.threads, most=config.threads)
    all_weights = sum(p.numel() for p in model.parameters())
    looked_up = sum(table.weight.numel() for table in model.modules() if isinstance(table, nn.Embedding))
    work = 6 * (all_weights - looked_up) * config.batch_size * positions + AN_UPDATE * all_weights
    return SuitableThreads.on(device) if device.type != "cpu" or work > LITTLE else SuitableThreads(most=1)
