"""A run of a baseline that is counted: the same folder, protocol and records as a trained one, but no model."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from iisan_core.baselines import Counted, count
from iisan_core.config import RunConfig
from iisan_core.evaluation.rank_table import PARTS, UNMASKED
from iisan_core.ranking import rank_scores, users_per_block
from iisan_core.run_folder import RunFolder
from iisan_core.sequences import Split
from iisan_core.training.device import describe, peak_memory
from iisan_core.training.inputs import RunInputs
from iisan_core.training.results import write_results

CPU = torch.device("cpu")


def count_and_write(run: RunFolder, inputs: RunInputs, config: RunConfig) -> None:
    """Count the configuration's baseline, rank every user's targets, write ranks and results."""
    assert config.baseline is not None, "the caller has looked"
    baseline = count(inputs.split, config.baseline)
    ranks = {part: ranks_of(baseline, inputs.split, part, masked=True) for part in PARTS}
    ranks |= {part + UNMASKED: ranks_of(baseline, inputs.split, part, masked=False) for part in PARTS}
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


def ranks_of(baseline: Counted, split: Split, part: str, *, masked: bool) -> NDArray[np.int64]:
    """Rank of every user's target in `valid` or `test`, [U]; where `masked`, items of the history get no score."""
    history, targets = split.history(part), split.targets(part)
    seen = history if masked else np.zeros_like(history[:, :1])
    size = users_per_block(len(split.item_ids))
    blocks = [
        rank_scores(
            torch.from_numpy(baseline.scores(history[start : start + size])),
            seen=torch.from_numpy(seen[start : start + size]),
            targets=torch.from_numpy(targets[start : start + size]),
        )
        for start in range(0, len(targets), size)
    ]
    return torch.cat(blocks).numpy()
