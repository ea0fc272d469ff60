"""What a finished run leaves behind: item vectors and their parts, every user's ranks, and `results.json`."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from iisan_core.config.schema import RunConfig
from iisan_core.evaluation.baselines import fit_baseline
from iisan_core.evaluation.metrics import summary
from iisan_core.evaluation.rank_table import SUBSETS, protocol_name, rank_table
from iisan_core.evaluation.ranks import all_ranks, baseline_ranks
from iisan_core.files import replacing
from iisan_core.model.inference import item_contributions, item_table
from iisan_core.model.recommender import RecommenderModel
from iisan_core.model.saving import load_model
from iisan_core.runs.item_vectors import save_parts, save_vectors
from iisan_core.runs.run_folder import RunFolder
from iisan_core.training.corruption import corrupted
from iisan_core.training.device import choose_device, describe, peak_memory
from iisan_core.training.inputs import RunInputs
from iisan_core.training.states import ItemStates

CPU = torch.device("cpu")


def write_outcome(
    run: RunFolder, model: RecommenderModel, states: ItemStates, inputs: RunInputs, config: RunConfig
) -> dict[str, Any]:
    """Evaluate `model` (the best epoch's weights) and write vectors, parts, ranks, results; returns the latter."""
    precision, item_ids = config.training.precision, inputs.split.item_ids
    table = item_table(model, states, precision=precision)
    ranks = all_ranks(model, table, inputs.split)
    save_vectors(run, table, item_ids=item_ids)
    save_parts(item_contributions(model, states, table, precision=precision), run.item_parts, item_ids=item_ids)
    efficiency = _efficiency(run, model, config) | {"states_in": states.where, "states_bytes": states.nbytes}
    return write_results(run, inputs, config, ranks=ranks, efficiency=efficiency)


def count_and_write(run: RunFolder, inputs: RunInputs, config: RunConfig) -> dict[str, Any]:
    """Count the configuration's baseline, rank every user's targets, write ranks and results; returns the latter."""
    assert config.baseline is not None, "the caller has looked"
    ranks = baseline_ranks(fit_baseline(inputs.split, config.baseline), inputs.split)
    efficiency = {"seconds_per_epoch": None, "epochs": 0, "best_epoch": 0, "trainable_parameters": 0}
    return write_results(run, inputs, config, ranks=ranks, efficiency=efficiency | _cost(CPU, precision="float32"))


def write_results(
    run: RunFolder,
    inputs: RunInputs,
    config: RunConfig,
    *,
    ranks: Mapping[str, NDArray[np.int64]],
    efficiency: dict[str, Any],
) -> dict[str, Any]:
    """Write `ranks.parquet` and `results.json` of any kind of run; returns the latter.

    `ranks` are [U] by the name of their column in a rank table.
    """
    with replacing(run.ranks) as path:
        rank_table(inputs.split, ranks).write_parquet(path)
    results: dict[str, Any] = {
        "quality": {subset: summary(ranks[subset]) for subset in SUBSETS},
        "efficiency": efficiency,
        "data": inputs.describe(),
        "protocol": _protocol(config),
        "seed": config.training.seed,
    }
    results["protocol"]["name"] = protocol_name(results, subset="test", masked=True)
    run.write_results(results)
    return results


def _efficiency(run: RunFolder, model: RecommenderModel, config: RunConfig) -> dict[str, Any]:
    device = next(model.parameters()).device
    epochs = [event for event in run.events() if event["event"] == "epoch"]
    return {
        "seconds_per_epoch": statistics.median(event["seconds"] for event in epochs),
        "epochs": epochs[-1]["epoch"],
        "best_epoch": epochs[-1]["best_epoch"],
        "trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
    } | _cost(device, precision=config.training.precision)


def _cost(device: torch.device, *, precision: str) -> dict[str, Any]:
    return {
        "peak_memory_bytes": peak_memory(device),
        "peak_memory_of": "GPU, allocated" if device.type == "cuda" else "process, resident",
        "device": describe(device),
        "precision": precision,
    }


def _protocol(config: RunConfig) -> dict[str, Any]:
    return config.protocol.model_dump() | {
        "split": "leave-one-out: last for test, second last for validation",
        "ranking": "all items; items of the user's history get no score",
        "selection": "validation HR@10",
    }


def rank_anew(run: RunFolder) -> pl.DataFrame:
    """Encode all items with the best weights, or count anew, and rank every user's targets; returns a rank table.

    Raises `RefusedError` if the run has no weights, or its dataset or caches cannot be used.
    """
    config = run.config()
    inputs = RunInputs.open(config)
    if config.baseline is not None:
        return rank_table(inputs.split, baseline_ranks(fit_baseline(inputs.split, config.baseline), inputs.split))
    model = load_model(run.best).to(choose_device(config.training.device))
    states = corrupted(inputs.states(next(model.parameters()).device), config.corruption)
    table = item_table(model, states, precision=config.training.precision)
    return rank_table(inputs.split, all_ranks(model, table, inputs.split))
