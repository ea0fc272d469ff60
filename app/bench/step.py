"""One training step on random work: gather, forward, loss, backward, update."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from itertools import cycle
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from app.bench.measure import floor, machine, timed
from app.bench.random_work import Size, random_bank, random_split
from iisan_core.config.schema import ModelConfig, TrainingConfig
from iisan_core.data.split import Split
from iisan_core.model.recommender import RecommenderModel
from iisan_core.training.batches import Batch, epoch_batches
from iisan_core.training.device import choose_device
from iisan_core.training.step import Stepper


def bench_step(
    size: Size, model: ModelConfig, training: TrainingConfig, *, repeats: int = 20, warmup: int = 3
) -> dict[str, Any]:
    """Median seconds of a training step on random work of `size`."""
    stepper, split = random_stepper(size, model, training)
    batches = list(epoch_batches(split.windows, training, epoch=1))
    whole = [batch for batch in batches if len(batch.slots) == min(training.batch_size, size.users)]
    order = cycle(whole)
    figures = timed(lambda: stepper.step(next(order)), device=stepper.device, repeats=repeats, warmup=warmup)
    return {
        "bench": "step",
        **figures,
        **_floor(stepper, whole[0], figures["median_s"]),
        "head": model.head,
        "distinct_items": sum(len(batch.items) for batch in whole) / len(whole),
        **described(stepper, size, training),
    }


def random_stepper(size: Size, model: ModelConfig, training: TrainingConfig) -> tuple[Stepper, Split]:
    """What takes training's steps on random work, and the sequences that it takes them on."""
    device = choose_device(training.device)
    torch.manual_seed(training.seed)
    split, bank = random_split(size), random_bank(size).to(device)
    return Stepper(RecommenderModel(size.shape(model)).to(device).train(), bank, split, training), split


def described(stepper: Stepper, size: Size, training: TrainingConfig) -> dict[str, Any]:
    """What was trained, how, and where."""
    return {
        "batch_size": training.batch_size,
        "precision": stepper.precision,
        "compiled": training.compile,
        "trainable_parameters": sum(p.numel() for p in stepper.model.parameters()),
        "size": vars(size),
        **machine(stepper.device),
    }


def _floor(stepper: Stepper, batch: Batch, seconds: float) -> dict[str, Any]:
    """Against the products that the step computes, and the bytes that it cannot avoid to move.

    Those are the cached rows, read once, and for each weight: read twice, written once, its gradient written and
    read, both moments read and written.
    """
    with _as_written(stepper), FlopCounterMode(display=False) as counter:
        stepper.step(batch)
    rows, _ = stepper.states.gather(batch.items)
    weights = sum(p.nbytes for p in stepper.model.parameters())
    nbytes = sum(states.nbytes for states in rows.values()) + 9 * weights
    return floor(
        seconds, operations=counter.get_total_flops(), nbytes=nbytes, device=stepper.device, precision=stepper.precision
    )


def _as_written(stepper: Stepper) -> AbstractContextManager[object]:
    """What was compiled runs uncompiled, so that its products are seen; asking for that imports torch's compiler."""
    return torch.compiler.set_stance("force_eager") if stepper.compiled else nullcontext()
