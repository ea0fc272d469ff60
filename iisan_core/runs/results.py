"""What a finished run leaves behind: item vectors (whole, and split over the towers), ranks, and `results.json`."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from iisan_core.config.schema import IDS, INTER, BaselineConfig, RunConfig
from iisan_core.data.split import Split
from iisan_core.errors import RefusedError
from iisan_core.evaluation.baselines import fit_baseline
from iisan_core.evaluation.blend import Blend, choose_blend
from iisan_core.evaluation.diversity import frozen_diversity
from iisan_core.evaluation.lists import K, beyond_accuracy, list_columns
from iisan_core.evaluation.metrics import summary
from iisan_core.evaluation.rank_table import SUBSETS, protocol_name, rank_table, ranks_in
from iisan_core.evaluation.ranks import all_ranks, baseline_ranks, baseline_top, top_of
from iisan_core.files import checked, read_object, replacing, sha256_of_texts
from iisan_core.model.ensemble import load_ensemble
from iisan_core.model.inference import BIAS, Contributions, ServedModel, item_contributions, item_table
from iisan_core.model.recommender import RecommenderModel
from iisan_core.model.saving import load_model
from iisan_core.model.together import Together
from iisan_core.runs.blending import apply_blend, counted, read_blend, read_together, save_blend
from iisan_core.runs.run_folder import SOURCE, RunFolder
from iisan_core.training.corruption import corrupted
from iisan_core.training.device import choose_device, describe, peak_memory
from iisan_core.training.fit import validation_split
from iisan_core.training.inputs import RunInputs
from iisan_core.training.states import ItemStates


def save_items(folder: RunFolder, split: Split) -> None:
    """Write the ids of items 1 … N, and how often each was trained on."""
    items = pl.DataFrame(
        {"item_id": split.item_ids, "interactions": split.training_counts()[1:]},
        schema={"item_id": pl.String, "interactions": pl.Int64},
    )
    with replacing(folder.item_ids) as path:
        items.write_parquet(path)


def save_vectors(folder: RunFolder, table: Tensor, *, item_ids: Sequence[str]) -> None:
    """Write item vectors [N + 1, E], and the hash of the item ids that they belong to."""
    with replacing(folder.item_vectors) as path:
        save_file({"items": table.cpu()}, path, {"item_ids": sha256_of_texts(item_ids)})


def read_item_ids(folder: RunFolder) -> list[str] | None:
    """The ids of items 1 … N; None for a run made before they were kept.

    Raises `RefusedError` where the file holds something else.
    """
    if not checked(folder.item_ids, broken=False).is_file():
        return None
    try:
        ids = pl.read_parquet(folder.item_ids)["item_id"].cast(pl.String).to_list()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise RefusedError(f"{folder.item_ids} holds no item ids ({error}); train again") from None
    checked(folder.item_ids)
    return ids


def read_vectors(folder: RunFolder) -> tuple[Tensor, str]:
    """Item vectors [N + 1, E], and the hash of the item ids that they belong to.

    Raises `RefusedError` where there is no such file, or it holds something else.
    """
    path = folder.item_vectors
    if not path.is_file():
        raise RefusedError(f"no item vectors at {path}; let the run finish, or go on with `iisan resume`")
    try:
        with safe_open(path, framework="pt") as file:
            found = file.get_tensor("items"), (file.metadata() or {}).get("item_ids", "")
    except SafetensorError as error:
        raise RefusedError(f"{path} holds no item vectors ({error}); train again") from None
    checked(path)
    return found


def save_parts(parts: Contributions, path: Path, *, item_ids: Sequence[str]) -> None:
    """Write a safetensors file: one tensor per tower, the bias, and the hash of the item ids."""
    tensors = {name: tensor.cpu() for name, tensor in (parts.towers | {BIAS: parts.bias}).items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, {"item_ids": sha256_of_texts(list(item_ids))})


def load_parts(path: Path, *, table: Tensor, item_ids: Sequence[str], width: int | None = None) -> Contributions:
    """Read what `save_parts` wrote beside the item vectors [N + 1, E]; `width`: their learned columns, where not all.

    Raises `RefusedError` if the file is absent, broken, or of other item vectors.
    """
    if not path.is_file():
        raise RefusedError(
            f"no parts of the item vectors at {path}: the run was trained before these were kept; train it again to "
            "have its scores explained"
        )
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            of_items = (file.metadata() or {}).get("item_ids", "")
    except SafetensorError as error:
        raise RefusedError(f"{path} holds no parts of item vectors ({error}); train again") from None
    bias, width = tensors.pop(BIAS, torch.empty(0)), table.shape[1] if width is None else width
    shape = (len(table), width)
    fits = bias.shape == (width,) and all(tensor.shape == shape for tensor in tensors.values())
    if not tensors or not fits or of_items != sha256_of_texts(list(item_ids)):
        raise RefusedError(f"{path} holds parts of other item vectors than {path.parent} has; train again")
    checked(path)
    in_order = sorted(tensors, key=lambda name: (name == INTER, name == IDS, name))  # the file keeps no order
    return Contributions({name: tensors[name] for name in in_order}, bias)


CPU = torch.device("cpu")


def write_outcome(
    run: RunFolder, model: RecommenderModel, states: ItemStates, inputs: RunInputs, config: RunConfig
) -> dict[str, Any]:
    """Evaluate `model` (the best epoch's weights) and write vectors, parts, ranks, results; returns the latter."""
    precision, item_ids = config.training.precision, inputs.split.item_ids
    table = item_table(model, states, precision=precision)
    together, blend = counted(config, inputs.split), Blend()
    if config.training.blend == "auto" and (together is not None or model.frozen is not None):
        blend = choose_blend(model, table, inputs.split, together)
        save_blend(run, blend, together, item_ids=item_ids)
        together = together.weighing(blend.together) if together is not None and blend.together else None
    ranks = _ranked(apply_blend(model, blend), table, inputs.split, states, together)
    save_vectors(run, table, item_ids=item_ids)
    save_parts(item_contributions(model, states, table, precision=precision), run.item_parts, item_ids=item_ids)
    efficiency = _efficiency(run, model, config) | {"states_in": states.where, "states_bytes": states.nbytes}
    return write_results(run, inputs, config, ranks=ranks, efficiency=efficiency, blend=blend)


def count_and_write(run: RunFolder, inputs: RunInputs, config: RunConfig) -> dict[str, Any]:
    """Count the configuration's baseline, rank every user's targets, write ranks and results; returns the latter."""
    assert config.baseline is not None, "the caller has looked"
    ranks = _counted(config.baseline, inputs.split)
    return write_results(run, inputs, config, ranks=ranks, efficiency=untrained_cost(0))


def untrained_cost(parameters: int) -> dict[str, Any]:
    """The efficiency of a run that trains nothing itself, of so many weights."""
    efficiency = {"seconds_per_epoch": None, "epochs": 0, "best_epoch": 0, "trainable_parameters": parameters}
    return efficiency | _cost(CPU, precision="float32")


def ranked(model: ServedModel, table: Tensor, split: Split, *, together: Together | None = None) -> pl.DataFrame:
    """The rank table of a model and its item vectors [N + 1, E], without what only states can say of lists."""
    lists = list_columns(split, top_of(model, table, split, k=K, together=together))
    return rank_table(split, all_ranks(model, table, split, together=together), lists=lists)


def _ranked(
    model: RecommenderModel, table: Tensor, split: Split, states: ItemStates, together: Together | None
) -> pl.DataFrame:
    """The rank table of a model and its item vectors [N + 1, E]."""
    top = top_of(model, table, split, k=K, together=together)
    diversities = frozen_diversity(top, states.states, states.present, widths=states.widths)
    lists = list_columns(split, top, diversities=diversities)
    return rank_table(split, all_ranks(model, table, split, together=together), lists=lists)


def _counted(config: BaselineConfig, split: Split) -> pl.DataFrame:
    """The rank table of a counted baseline."""
    baseline = fit_baseline(split, config)
    lists = list_columns(split, baseline_top(baseline, split, k=K))
    return rank_table(split, baseline_ranks(baseline, split), lists=lists)


def write_results(
    run: RunFolder,
    inputs: RunInputs,
    config: RunConfig,
    *,
    ranks: pl.DataFrame,
    efficiency: dict[str, Any],
    blend: Blend | None = None,
) -> dict[str, Any]:
    """Write `item_ids.parquet`, `ranks.parquet` and `results.json` of any kind of run; returns the latter."""
    save_items(run, inputs.split)
    with replacing(run.ranks) as path:
        ranks.write_parquet(path)
    measured = {subset: ranks.drop_nulls(subset) for subset in SUBSETS}
    results: dict[str, Any] = {
        "quality": {subset: summary(ranks_in(table, subset)) for subset, table in measured.items()},
        "beyond": beyond_accuracy(measured["test"], items=len(inputs.split.item_ids)),
        "efficiency": efficiency,
        "data": inputs.describe(),
        "protocol": _protocol(config, inputs),
        "seed": config.training.seed,
    }
    if blend is not None and blend != Blend():
        results["blend"] = blend.model_dump(mode="json")
    results["protocol"]["name"] = protocol_name(results, subset="test", masked=True)
    results |= _start(run)
    run.write_results(results)
    return results


def _efficiency(run: RunFolder, model: RecommenderModel, config: RunConfig) -> dict[str, Any]:
    device = next(model.parameters()).device
    epochs = [event for event in run.events() if event["event"] == "epoch"]
    if not epochs:  # it was trained elsewhere
        return untrained_cost(sum(p.numel() for p in model.parameters() if p.requires_grad))
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


def _start(run: RunFolder) -> dict[str, Any]:
    """Which run this one started from, and what became of each tensor; nothing where it started from random weights."""
    if not (run.start / SOURCE).is_file():
        return {}
    said = read_object(run.start / SOURCE, what="start of a run")
    return {"start": {name: value for name, value in said.items() if name != "states"}}


SPLIT_IN_WORDS = {
    "leave-one-out": "leave-one-out: last for test, second last for validation",
    "time": "by time: training sees nothing from the first cut on, the test begins at the second",
    "given": "as the log's column `subset` says",
}

MASKED_IN_WORDS = {
    "history": "all items; items of the user's whole history",
    "kept": "all items; the newest S + 2 items of the user's history",
}


def _protocol(config: RunConfig, inputs: RunInputs) -> dict[str, Any]:
    settings = config.protocol.model_dump()
    users = validation_split(inputs.split, config.training).measured["valid"]
    everybody = len(inputs.split.measured["valid"])
    drawn = f" of {len(users):,} users drawn from {everybody:,}" if len(users) < everybody else ""
    return settings | {
        "held_out": settings.pop("split"),
        "split": SPLIT_IN_WORDS[config.protocol.split],
        "ranking": f"{MASKED_IN_WORDS[config.protocol.masked]} get no score",
        "selection": "validation HR@10" + drawn,
    }


def rank_anew(run: RunFolder, *, on_left_out: Callable[[str], None] = lambda said: None) -> pl.DataFrame:
    """Encode all items with the best weights, or count anew, and rank every user's targets; returns a rank table.

    Only the run's own items are ranked; where the catalogue has others by now, `on_left_out` gets a sentence.
    Raises `RefusedError` if the run has no weights, or its dataset or caches cannot be used.
    """
    config = run.usable_config()
    inputs = RunInputs.open(config, item_ids=read_item_ids(run))
    if inputs.left_out:
        on_left_out(inputs.left_out)
    if config.baseline is not None:
        return _counted(config.baseline, inputs.split)
    blend = read_blend(run)
    together = read_together(run, blend, item_ids=inputs.split.item_ids)
    if config.members:
        return ranked(load_ensemble(run.best), read_vectors(run)[0], inputs.split, together=together)
    model = load_model(run.best).to(choose_device(config.training.device))
    states = corrupted(inputs.states(next(model.parameters()).device), config.corruption)
    table = item_table(model, states, precision=config.training.precision)
    return _ranked(apply_blend(model, blend), table, inputs.split, states, together)
