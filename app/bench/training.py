"""One training step: gather, forward, loss, backward, update.

Whole epochs: batches made, states gathered, every step, no validation.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import cycle
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from app.bench.measure import floor, machine, peak, reserved, reset_peak, resident, timed
from app.bench.random_work import Size, random_bank, random_split
from app.bench.serving import bench_rank
from iisan_core.config.schema import ModelConfig, TrainingConfig
from iisan_core.model.recommender import RecommenderModel
from iisan_core.training.device import choose_device
from iisan_core.training.fit import Batch, Stepper, epoch_batches

GROWTH = (1, 4, 16)


def bench_epoch(size: Size, model: ModelConfig, training: TrainingConfig, *, repeats: int = 3) -> dict[str, Any]:
    """Median seconds of an epoch on random work of `size`, and the memory that training takes.

    `state_bytes` are the cached states that lie on the device; on a CPU the peak is the process's, beyond what it held
    before the work was made.
    """
    device = choose_device(training.device)
    torch.optim.AdamW([torch.zeros(1)])  # imports more of torch, which would count as training's memory below
    before = 0 if device.type == "cuda" else resident()
    torch.manual_seed(training.seed)
    split, bank = random_split(size), random_bank(size).to(device)
    network = RecommenderModel(size.shape(model)).to(device).train()
    stepper = Stepper(network, bank, split, training)
    reset_peak(device)

    def epoch() -> None:
        batches = epoch_batches(split.train, size=training.batch_size, seed=training.seed, epoch=1)
        for batch in batches:
            stepper.step(batch)

    figures = timed(epoch, device=device, repeats=repeats, warmup=1)
    return {
        "bench": "epoch",
        **figures,
        "steps": -(-size.users // training.batch_size),
        "interactions": int((split.train > 0).sum()),
        "batch_size": training.batch_size,
        "precision": training.precision,
        "compiled": training.compile,
        "peak_memory_bytes": peak(device) - before,
        "reserved_memory_bytes": reserved(device),
        "state_bytes": bank.nbytes,
        "trainable_parameters": sum(p.numel() for p in network.parameters()),
        "size": vars(size),
        **machine(device),
    }


def bench_scaling(
    size: Size, model: ModelConfig, training: TrainingConfig, *, growth: Sequence[int] = GROWTH, repeats: int = 1
) -> dict[str, Any]:
    """Seconds per epoch as users grow and of ranking as items grow, times `growth`; the exponents that they fit.

    An exponent of 1 is a cost in proportion to the work.
    """
    epochs = [bench_epoch(_grown(size, users=g), model, training, repeats=repeats) for g in growth]
    ranks = [
        bench_rank(_grown(size, items=g), embedding=model.embedding, device=training.device, repeats=repeats)
        for g in growth
    ]
    interactions = [found["interactions"] for found in epochs]
    items = [found["size"]["items"] for found in ranks]
    return {
        "bench": "scaling",
        "epoch": _law(interactions, [found["median_s"] for found in epochs], of="interactions"),
        "rank": _law(items, [found["median_s"] for found in ranks], of="items"),
        "batch_size": training.batch_size,
        "precision": training.precision,
        "size": vars(size),
        **machine(choose_device(training.device)),
    }


def fitted_exponent(amounts: Sequence[float], seconds: Sequence[float]) -> float:
    """`b` of `seconds = a · amount^b`, by least squares of the logarithms."""
    return float(np.polyfit(np.log(amounts), np.log(seconds), 1)[0])


def _law(amounts: Sequence[int], seconds: Sequence[float], *, of: str) -> dict[str, Any]:
    return {of: list(amounts), "median_s": list(seconds), "exponent": fitted_exponent(amounts, seconds)}


def _grown(size: Size, *, users: int = 1, items: int = 1) -> Size:
    return Size(**{**vars(size), "users": size.users * users, "items": size.items * items})


def bench_step(
    size: Size, model: ModelConfig, training: TrainingConfig, *, repeats: int = 20, warmup: int = 3
) -> dict[str, Any]:
    """Median seconds of a training step on random work of `size`."""
    device = choose_device(training.device)
    torch.manual_seed(training.seed)
    split, bank = random_split(size), random_bank(size).to(device)
    network = RecommenderModel(size.shape(model)).to(device).train()
    batches = list(epoch_batches(split.train, size=training.batch_size, seed=training.seed, epoch=1))
    whole = [batch for batch in batches if len(batch.slots) == min(training.batch_size, size.users)]
    stepper, order = Stepper(network, bank, split, training), cycle(whole)
    figures = timed(lambda: stepper.step(next(order)), device=device, repeats=repeats, warmup=warmup)
    return {
        "bench": "step",
        **figures,
        **_floor(stepper, whole[0], figures["median_s"]),
        "batch_size": training.batch_size,
        "precision": training.precision,
        "compiled": training.compile,
        "head": model.head,
        "distinct_items": sum(len(batch.items) for batch in whole) / len(whole),
        "trainable_parameters": sum(p.numel() for p in network.parameters()),
        "size": vars(size),
        **machine(device),
    }


def _as_written(stepper: Stepper) -> AbstractContextManager[object]:
    """What was compiled runs uncompiled, so that its products are seen; asking for that imports torch's compiler."""
    return torch.compiler.set_stance("force_eager") if stepper.compiled else nullcontext()


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
