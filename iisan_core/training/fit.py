"""The training loop: epochs of steps, validation, best weights, early stopping."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import tee
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from iisan_core.computing.processes import ALONE, ProcessGroup
from iisan_core.config.schema import VALIDATION_USERS, TrainingConfig
from iisan_core.data.split import Split
from iisan_core.errors import RefusedError
from iisan_core.evaluation.metrics import summary
from iisan_core.evaluation.ranks import ranks_of
from iisan_core.model.inference import ItemInputs, item_table
from iisan_core.model.recommender import RecommenderModel
from iisan_core.training.batches import Batch, epoch_batches
from iisan_core.training.checkpoint import Counters, load_checkpoint, save_checkpoint
from iisan_core.training.events import EpochEnded, Event, Noted, Progress, TrainingEnded
from iisan_core.training.states import Gathered
from iisan_core.training.step import Stepper

REPORTS_PER_EPOCH = 20


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
    processes: ProcessGroup = ALONE,
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
        processes: those that train this model together, each calling `fit` alike: a batch's users and items are shared
            out, the loss and its gradients are the whole batch's. The first one alone keeps what is kept.

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
    stepper = Stepper(model, states, split, config, processes=processes)
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
    processes = stepper.processes
    best = _BestWeights()
    keep = on_best or best.keep
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
            if processes.agreed(stop_asked()):
                best.restore(model)
                yield TrainingEnded("stopped", counters.best_epoch, counters.epoch)
                return
        seconds = time.perf_counter() - started
        with stepper.updater.kept_weights():
            table = item_table(model, states, precision=stepper.precision, processes=processes)
            valid = summary(ranks_of(model, table, ranked, "valid", processes=processes))
            counters = replace(counters, epoch=epoch)
            if valid["HR@10"] > counters.best_hr10:
                counters = replace(counters, best_epoch=epoch, best_hr10=valid["HR@10"])
                if processes.leads or on_best is None:  # in memory, each process keeps its own
                    keep(model)
        if checkpoint is not None and processes.leads:
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


def _train_epoch(stepper: Stepper, *, epoch: int) -> Iterator[Progress | Noted]:
    stepper.model.train()
    config, windows = stepper.config, stepper.split.windows
    if stepper.processes.group is not None:  # each draws its own dropout, and draws it again after a resume
        torch.manual_seed(
            int(np.random.SeedSequence([config.seed, epoch, stepper.processes.rank]).generate_state(1)[0])
        )
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


def validation_split(split: Split, config: TrainingConfig) -> Split:
    """The split that epochs are validated on: ranking so many users may not cost more than the epoch."""
    if config.validation_users == "all":
        return split
    return split.with_validation_sample(config.validation_users or VALIDATION_USERS)
