"""The training loop: batches of distinct items, epochs of steps, validation, best weights, early stopping."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import tee
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from iisan_core.config.schema import VALIDATION_USERS, TrainingConfig
from iisan_core.data.sequences import Numbers, Windows
from iisan_core.data.split import Split
from iisan_core.errors import RefusedError
from iisan_core.evaluation.metrics import summary
from iisan_core.evaluation.ranks import ranks_of
from iisan_core.model.inference import ItemInputs, item_table
from iisan_core.model.inputs import arithmetic
from iisan_core.model.recommender import RecommenderModel
from iisan_core.threads import SuitableThreads
from iisan_core.training.candidates import Candidates, Slots
from iisan_core.training.checkpoint import Counters, load_checkpoint, save_checkpoint
from iisan_core.training.device import check_compiler, compile_items, precision_of
from iisan_core.training.events import EpochEnded, Event, Noted, Progress, TrainingEnded
from iisan_core.training.gradient_cache import backward_in_pieces
from iisan_core.training.optimizer import Updater
from iisan_core.training.states import Gathered, ItemStates

REPORTS_PER_EPOCH = 20

LITTLE = 2e9
"""Operations of a step below which further threads gain less than they may lose: some 40 ms on one."""

AN_UPDATE = 180
"""Operations in whose time one weight is updated, which waits for memory."""

RECURRING = 32
"""In bfloat16 the towers see a multiple of so many items: oneDNN prepares and keeps a product for each shape it meets,
and every batch has another number of distinct items."""


def fit(
    model: RecommenderModel,
    states: ItemInputs,
    split: Split,
    config: TrainingConfig,
    *,
    checkpoint: Path | None = None,
    on_best: Callable[[RecommenderModel], None] | None = None,
    stop_asked: Callable[[], bool] = lambda: False,
    resume: bool = False,
) -> Iterator[Event]:
    """Train `model` in place until patience or epochs run out or `stop_asked`; no folder is needed, nor a job.

    Args:
        model: on the device that computes; where its configuration standardizes, the states have been measured
            (`model.items.fit_scale`).
        states: of items 1 … N, such as `RunInputs.states()`.
        split: users' sequences over these items.
        config: epochs, patience, batch size B, learning rates, precision, seed.
        checkpoint: a folder in which every epoch ends; None keeps nothing.
        on_best: called with the model whenever validation HR@10 has improved. None: the best weights are kept in
            memory, and the model has them when the last event comes.
        stop_asked: looked at after every step.
        resume: go on from `checkpoint`, exactly as if nothing had been between.

    Yields:
        `Progress` about twenty times an epoch, `EpochEnded`, `Noted` where something was decided on the way, and last
        a `TrainingEnded`.

    Raises:
        RefusedError: `resume` without a checkpoint, or with another model's.

    Example:
        >>> events = list(fit(model, states, kept, TrainingConfig(epochs=1, device="cpu")))
        >>> events[-1].reason
        'epochs'
    """
    stepper = Stepper(model, states, split, config)
    with stepper.threads:
        yield from _fit(stepper, checkpoint=checkpoint, on_best=on_best, stop_asked=stop_asked, resume=resume)


def _fit(
    stepper: Stepper,
    *,
    checkpoint: Path | None,
    on_best: Callable[[RecommenderModel], None] | None,
    stop_asked: Callable[[], bool],
    resume: bool,
) -> Iterator[Event]:
    model, states, split, config = stepper.model, stepper.states, stepper.split, stepper.config
    best = _BestWeights()
    on_best = on_best or best.keep
    optimizer, average = stepper.optimizer, stepper.updater.average
    counters = Counters()
    if resume:
        if checkpoint is None:
            raise RefusedError("to resume, fit needs the folder with the checkpoint; give checkpoint=…")
        counters = load_checkpoint(checkpoint, model=model, optimizer=optimizer, average=average)
    ranked = validation_split(split, config)
    reason = _ended(counters, config)
    while reason is None:
        epoch, started = counters.epoch + 1, time.perf_counter()
        losses: list[float] = []
        for event in _train_epoch(stepper, epoch=epoch):
            yield event
            if isinstance(event, Progress):
                losses.append(event.loss)
            if stop_asked():
                best.restore(model)
                yield TrainingEnded("stopped", counters.best_epoch, counters.epoch)
                return
        seconds = time.perf_counter() - started
        with stepper.updater.kept_weights():
            valid = summary(ranks_of(model, item_table(model, states, precision=stepper.precision), ranked, "valid"))
            counters = replace(counters, epoch=epoch)
            if valid["HR@10"] > counters.best_hr10:
                counters = replace(counters, best_epoch=epoch, best_hr10=valid["HR@10"])
                on_best(model)
        if checkpoint is not None:
            save_checkpoint(checkpoint, model=model, optimizer=optimizer, counters=counters, average=average)
        yield EpochEnded(epoch, losses[-1], seconds, valid, counters.best_epoch, counters.best_hr10, counters.waited)
        reason = _ended(counters, config)
    best.restore(model)
    yield TrainingEnded(reason, counters.best_epoch, counters.epoch)


class _BestWeights:
    """The weights of the best epoch in memory; nothing while none was kept."""

    def __init__(self) -> None:
        self._weights: dict[str, Tensor] = {}

    def keep(self, model: RecommenderModel) -> None:
        self._weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    def restore(self, model: RecommenderModel) -> None:
        if self._weights:
            model.load_state_dict(self._weights)


class Stepper:
    """One optimiser step at a time on batches of a split."""

    def __init__(self, model: RecommenderModel, states: ItemInputs, split: Split, config: TrainingConfig) -> None:
        self.model = model
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
        """Loss of one batch that lies on the model's device; `gathered`: states of its `rows`, where they are there."""
        with arithmetic(self.device, self.precision):  # the gathered states get no name, so that nothing keeps them
            users, items = self.model(*(gathered or self.states.gather(self.rows(batch))), batch.slots[:, :-1])
        return self._compared(batch, users, items[: len(batch.items)])

    def rows(self, batch: Batch) -> Tensor:
        """The batch's distinct items, then the last of them again up to a number that recurs; those change nothing."""
        missing = -len(batch.items) % self.multiple
        return torch.cat([batch.items, batch.items[-1:].expand(missing)]) if missing else batch.items

    def step(self, batch: Batch, gathered: Gathered | None = None) -> Tensor:
        """Update the weights by one batch; returns its loss, still on the device."""
        loss = self.backward(self.with_candidates(batch).to(self.device), gathered)
        self.updater.update()
        return loss

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


def _train_epoch(stepper: Stepper, *, epoch: int) -> Iterator[Progress | Noted]:
    stepper.model.train()
    config, windows = stepper.config, stepper.split.windows
    steps = -(-len(windows) // config.batch_size)
    total = torch.zeros((), device=stepper.device)
    stepper.updater.begin_epoch(epoch, steps=steps)
    added = stepper.candidates.of_epoch(epoch)
    batches = (stepper.with_candidates(batch, added) for batch in epoch_batches(windows, config, epoch=epoch))
    for step, (batch, rows) in enumerate(_with_states(stepper, batches), start=1):
        with stepper.threads.step():
            total += stepper.step(batch, rows)
        if said := stepper.threads.news():
            yield Noted(said)
        if step == steps or step % max(1, steps // REPORTS_PER_EPOCH) == 0:
            yield Progress(epoch, step, steps, total.item() / step)


def _with_states(stepper: Stepper, batches: Iterator[Batch]) -> Iterator[tuple[Batch, Gathered | None]]:
    """Each batch with the states of its rows, read ahead; without, where pieces of a batch gather their own."""
    if stepper.config.micro_batch is not None:
        yield from ((batch, None) for batch in batches)
        return
    batches, coming = tee(batches)
    yield from zip(batches, stepper.states.gathered(map(stepper.rows, coming)), strict=True)


def _ended(counters: Counters, config: TrainingConfig) -> str | None:
    if counters.waited >= config.patience:
        return "patience"
    return "epochs" if counters.epoch >= config.epochs else None


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


def validation_split(split: Split, config: TrainingConfig) -> Split:
    """The split that epochs are validated on: ranking so many users may not cost more than the epoch."""
    if config.validation_users == "all":
        return split
    return split.with_validation_sample(config.validation_users or VALIDATION_USERS)
