"""Out of memory, said as such, with the batch size that fits – found by trying, not by guessing."""

from __future__ import annotations

import gc
import itertools
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from iisan_core.config.schema import TrainingConfig
from iisan_core.data.split import Split
from iisan_core.errors import IisanError
from iisan_core.model.recommender import RecommenderModel
from iisan_core.training.batches import epoch_batches
from iisan_core.training.states import ItemStates
from iisan_core.training.step import Stepper

TRIAL_STEPS = 2
"""The first makes the optimiser's own state, the second is as every other."""


class OutOfMemoryError(IisanError):
    """Device or machine had too little memory for what was asked."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is about memory. For the processor torch raises a bare RuntimeError, so its words decide."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in str(error)


@contextmanager
def naming_what_fits(
    model: RecommenderModel, states: ItemStates, split: Split, config: TrainingConfig
) -> Iterator[None]:
    """Within the block, out of memory becomes an `OutOfMemoryError` that names the batch size that fits."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # what the broken step had allocated hangs on them
        fits = batch_that_fits(config.batch_size, trial_of(model, states, split, config))
        device = next(model.parameters()).device
        raise OutOfMemoryError(in_words(str(device), config.batch_size, fits)) from error


def batch_that_fits(batch_size: int, fits: Callable[[int], bool]) -> int | None:
    """The first of `batch_size`, its half, its quarter … for which `fits` is true; none if not even 2 does."""
    halves = itertools.takewhile(lambda size: size > 1, (batch_size >> times for times in itertools.count()))
    return next((size for size in halves if fits(size)), None)


def trial_of(
    model: RecommenderModel, states: ItemStates, split: Split, config: TrainingConfig
) -> Callable[[int], bool]:
    """Says of a batch size whether training steps of it fit into memory, by doing some; the weights are lost by it."""

    def fits(size: int) -> bool:
        _release(model)
        try:
            stepper = Stepper(model, states, split, config)
            batches = epoch_batches(split.windows, config.model_copy(update={"batch_size": size}), epoch=1)
            for batch in itertools.islice(batches, TRIAL_STEPS):
                stepper.step(batch).item()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return False
        return True

    return fits


def in_words(device: str, batch_size: int, fits: int | None) -> str:
    """What to tell about a batch size that was too large, and the one that fits."""
    if fits == batch_size:
        return (
            f"out of memory on {device}, not in the training steps (they fit at training.batch_size={batch_size}) but "
            "in ranking all items; free memory there, or choose another device"
        )
    if fits is None:
        return (
            f"out of memory on {device}: not even training.batch_size=2 fits beside the cached states and the model; "
            "keep fewer layers, or choose another device"
        )
    return f"out of memory on {device} at training.batch_size={batch_size}; {fits} fits (tried): set it and start anew"


def _release(model: RecommenderModel) -> None:
    for parameter in model.parameters():
        parameter.grad = None
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
