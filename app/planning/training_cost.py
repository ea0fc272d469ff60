"""What training costs in time and memory: a few real steps on random states of the right shapes."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from app.bench.measure import seconds_of
from app.bench.random_work import random_states
from app.planning.machine import Machine
from app.planning.memory_tracker import MemoryTracker
from iisan_core.config.presets import Preset
from iisan_core.config.schema import RunConfig
from iisan_core.data.split import Split
from iisan_core.evaluation.ranking import BLOCK_BYTES, rank_targets
from iisan_core.model.inference import item_table
from iisan_core.model.recommender import RecommenderModel
from iisan_core.training.batches import Batch, make_batch
from iisan_core.training.device import choose_device, peak_memory, reset_peak_memory
from iisan_core.training.inputs import model_shape
from iisan_core.training.states import Where, place_states
from iisan_core.training.step import Stepper

WARM_UP, STEPS = 1, 4

ENOUGH_SECONDS = 1.0

RANKED_USERS = 256

ADAM = 2
"""Moments that the optimiser keeps of every parameter."""


@dataclass(frozen=True)
class TrainingCost:
    """Time and memory of a training on `device`; bytes are what it takes beyond the loaded libraries."""

    parameters: int
    """Trainable."""
    steps_per_epoch: int
    step_seconds: float
    """Median of a few steps, measured."""
    epoch_seconds: float
    """All steps of an epoch."""
    validation_seconds: float
    """Encoding all items and ranking them for every user, once an epoch; scaled up from a part of them."""
    states_bytes: int
    """Cached states of the ranked items."""
    states_where: Where
    memory_bytes: int
    """Of the device at the peak, `Machine.at_work` included; for the CPU, of RAM."""


def training_cost(
    split: Split,
    widths: Mapping[str, Sequence[int]],
    preset: Preset | RunConfig,
    machine: Machine,
    *,
    missing: Collection[str],
    item_bytes: int,
) -> TrainingCost:
    """Cost of training `preset` on `split` with kept layers of `widths`; `item_bytes` are of one item's states."""
    place = choose_device(machine.device)
    torch.manual_seed(0)
    part, batches = _first_batches(split, preset.training.batch_size)
    bank = random_states(widths, items=len(part.item_ids)).to(place)
    longest, items = preset.protocol.max_history, len(split.item_ids)
    shape = model_shape(preset.model, widths=widths, missing=missing, max_history=longest, items=items)
    model = RecommenderModel(shape).to(place).train()
    stepper = Stepper(model, bank, part, preset.training)
    seconds = _step_seconds(stepper, batches, place)
    in_step = _peak(lambda: stepper.step(batches[0]), place)
    table_seconds = seconds_of(lambda: item_table(model, bank, precision=stepper.precision), place)
    steps = -(-len(split.windows) // preset.training.batch_size)
    count = sum(p.numel() for p in model.parameters())
    placement = place_states(item_bytes * len(split.item_ids), place, preset.training.states)
    is_held = placement.where == "device" or (place.type == "cpu" and placement.where == "memory")
    held = placement.nbytes if is_held else 0
    trained = 4 * count * (1 + ADAM)
    return TrainingCost(
        parameters=count,
        steps_per_epoch=steps,
        step_seconds=seconds,
        epoch_seconds=steps * seconds,
        validation_seconds=table_seconds * len(split.item_ids) / len(part.item_ids)
        + _ranking_seconds(split, model.width, place),
        states_bytes=placement.nbytes,
        states_where=placement.where,
        memory_bytes=machine.at_work
        + held
        + trained
        + max(in_step, _bytes_of_results(split, preset, len(widths), model.width)),
    )


def _first_batches(split: Split, size: int) -> tuple[Split, list[Batch]]:
    """A few batches with their items numbered anew, and a split of them: as much as a probe needs."""
    rng = np.random.default_rng(0)
    windows = split.windows.take(rng.permutation(len(split.windows))[: size * (WARM_UP + STEPS)])
    distinct, numbers = np.unique(windows, return_inverse=True)
    if distinct[0] != 0:  # no window is short, so no slot is padding
        distinct, numbers = np.concatenate([[0], distinct]), numbers + 1
    sequences = numbers.reshape(windows.shape)
    # two items more, so that what trains are the windows
    padded = np.concatenate([sequences, sequences[:, -1:], sequences[:, -1:]], axis=1)
    items = [split.item_ids[n - 1] for n in distinct[1:]]
    part = Split.of_sequences(padded, item_ids=items, max_history=split.max_history)
    starts = [start for start in range(0, len(windows), size) if start == 0 or start + size <= len(windows)]
    batches = [make_batch(sequences[start : start + size]) for start in starts]
    return part, [batches[n % len(batches)] for n in range(WARM_UP + STEPS)]


def _ranking_seconds(split: Split, width: int, device: torch.device) -> float:
    """Of all users among all items, from some users."""
    everybody = len(split.measured["valid"])
    some = np.arange(min(RANKED_USERS, everybody))
    items, users = (torch.randn(n, width, device=device) for n in (len(split.item_ids) + 1, len(some)))
    seen, targets = split.seen("valid").take(some), torch.from_numpy(split.targets("valid")[some]).to(device)
    seconds = seconds_of(lambda: rank_targets(users, items, seen=seen, targets=targets), device)
    return seconds * everybody / len(some)


def _bytes_of_results(split: Split, preset: Preset | RunConfig, modalities: int, width: int) -> int:
    """Of validation and the results at the end: item vectors, their parts by tower, and a block of scores."""
    items, users = len(split.item_ids) + 1, len(split.measured["valid"])
    parts = 4 * items * preset.model.embedding * (modalities + 1)
    return 2 * (4 * items * width + parts) + min(BLOCK_BYTES, 4 * users * items)


def _step_seconds(stepper: Stepper, batches: Iterable[Batch], device: torch.device) -> float:
    """The median over the batches after the first, or over as many of them as begin within `ENOUGH_SECONDS`."""
    times: list[float] = []
    for batch in batches:
        times.append(seconds_of(partial(stepper.step, batch), device))
        if sum(times[WARM_UP:]) > ENOUGH_SECONDS:
            break
    return statistics.median(times[WARM_UP:])


def _peak(call: Callable[[], object], device: torch.device) -> int:
    """Bytes that a call takes at its peak beyond what is held before it."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        reset_peak_memory(device)
        call()
        return peak_memory(device) - before
    with MemoryTracker() as live:
        call()
    return live.peak
