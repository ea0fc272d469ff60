"""A run of a baseline that is counted: the same folder, protocol and records as a trained one, but no model."""

from __future__ import annotations

import torch

from iisan_core.baselines import count, counted_ranks
from iisan_core.config import RunConfig
from iisan_core.run_folder import RunFolder
from iisan_core.training.device import describe, peak_memory
from iisan_core.training.inputs import RunInputs
from iisan_core.training.results import write_results

CPU = torch.device("cpu")


def count_and_write(run: RunFolder, inputs: RunInputs, config: RunConfig) -> None:
    """Count the configuration's baseline, rank every user's targets, write ranks and results."""
    assert config.baseline is not None, "the caller has looked"
    ranks = counted_ranks(count(inputs.split, config.baseline), inputs.split)
    efficiency = {
        "seconds_per_epoch": None,
        "epochs": 0,
        "best_epoch": 0,
        "trainable_parameters": 0,
        "peak_memory_bytes": peak_memory(CPU),
        "peak_memory_of": "process, resident",
        "device": describe(CPU),
        "precision": "float32",
    }
    write_results(run, inputs, config, ranks=ranks, efficiency=efficiency)
