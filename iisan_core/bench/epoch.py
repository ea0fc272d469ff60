"""Whole epochs: batches made, states gathered, every step, no validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from iisan_core.bench.memory import peak, reserved, reset_peak, resident
from iisan_core.bench.random_work import Size, random_bank, random_split
from iisan_core.bench.rank import bench_rank
from iisan_core.bench.timing import machine, timed
from iisan_core.config import ModelConfig, TrainingConfig
from iisan_core.model.recommender_model import RecommenderModel
from iisan_core.training.batches import epoch_batches
from iisan_core.training.device import choose_device
from iisan_core.training.fit import Stepper

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
