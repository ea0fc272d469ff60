"""A run that starts from another run's weights: they are copied into its folder, so that it needs that run no more.

start/model.safetensors, config.json   the other run's best weights, as they were
start/item_ids.parquet                 whose id vectors they are
start/source.json                      the other run, what its states came from, and what became of each tensor
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from iisan_core.cache.manifest import read_manifest
from iisan_core.config.places import written
from iisan_core.config.schema import RunConfig
from iisan_core.data.dataset import Dataset
from iisan_core.data.split import split
from iisan_core.errors import RefusedError
from iisan_core.files import checked, read_object, replacing, write_json
from iisan_core.model.recommender import RecommenderModel
from iisan_core.model.saving import load_model, save_model
from iisan_core.model.transfer import transfer
from iisan_core.runs.results import read_item_ids
from iisan_core.runs.run_folder import SOURCE, RunFolder

Facts = dict[str, dict[str, Any]]
"""Modality → backbone, revision, pooling and layers that its states come from."""


@dataclass(frozen=True)
class Start:
    """Another run's best weights, and what they belong to."""

    run: str
    model: RecommenderModel
    item_ids: list[str]
    states: Facts

    @classmethod
    def of_run(cls, path: Path) -> Start:
        """Read it from the other run; raises `RefusedError` where that has no best epoch yet."""
        run = RunFolder.open(path)
        config = run.config()
        if config.baseline is not None:
            raise RefusedError(
                f"run {path} counts the baseline {config.baseline.kind}: it has no weights to start from"
            )
        return cls(str(path), load_model(run.best), _item_ids(run, config), _facts_of_run(run, config))

    def save(self, run: RunFolder) -> None:
        """Copy it into a run's folder."""
        save_model(self.model, run.start)
        with replacing(run.start / "item_ids.parquet") as path:
            pl.DataFrame({"item_id": self.item_ids}, schema={"item_id": pl.String}).write_parquet(path)
        record = run.start / SOURCE
        write_json(record, {"run": written(Path(self.run).resolve(), record=record), "states": self.states})

    @classmethod
    def of_folder(cls, run: RunFolder) -> Start:
        """Read it from a run's folder."""
        try:
            said = read_object(checked(run.start / SOURCE), what="start of a run")
            ids = pl.read_parquet(checked(run.start / "item_ids.parquet"))["item_id"].to_list()
            return cls(str(said["run"]), load_model(run.start), ids, dict(said["states"]))
        except (KeyError, TypeError, ValueError, OSError, pl.exceptions.PolarsError) as error:
            raise RefusedError(f"{run.start} holds no start of a run ({error}); start the run anew") from None


def keep_start(run: RunFolder, config: RunConfig) -> None:
    """Copy what `config` starts from into the run's folder, unless it is there or training has begun."""
    begun = (run.start / SOURCE).is_file() or run.checkpoint.is_dir()
    if config.start_from is not None and not begun:
        Start.of_run(config.start_from).save(run)


def apply_start(run: RunFolder, config: RunConfig, model: RecommenderModel, *, item_ids: list[str]) -> list[str]:
    """Give a new model the weights that the run starts from; what became of each tensor, in sentences.

    It is written down in the run's folder, too. Raises `RefusedError` where nothing fits.
    """
    start = Start.of_folder(run)
    here = {name: _facts(folder, model.shape.kept.get(name)) for name, folder in config.caches.items()}
    other = [name for name, facts in here.items() if name in start.states and not _same(facts, start.states[name])]
    found = transfer(model, start.model, item_ids=item_ids, source_item_ids=start.item_ids, other_states=other)
    write_json(run.start / SOURCE, {"run": start.run, "states": start.states, **found.as_record()})
    return [f"starts from the best weights of {start.run}", *found.in_words()]


def _item_ids(run: RunFolder, config: RunConfig) -> list[str]:
    """A run that did not finish before ids were kept from the start has them in its dataset alone."""
    stored = read_item_ids(run)
    if stored is not None or not config.model.ids:
        return stored or []
    return split(Dataset.load(run.usable_config(caches=False).dataset), config.protocol).item_ids


def _facts_of_run(run: RunFolder, config: RunConfig) -> Facts:
    """Of its caches, or of its results where a cache is gone."""
    kept = load_model(run.best).shape.kept
    found: Facts = {}
    for name, folder in config.caches.items():
        try:
            found[name] = _facts(folder, kept.get(name))
        except RefusedError:
            said = run.results()["data"]["backbones"][name]
            found[name] = _as_facts(said["backbone"], said["pooling"], said["layers"], kept.get(name))
    return found


def _facts(cache: Path, kept: tuple[int, ...] | None) -> dict[str, Any]:
    manifest = read_manifest(cache)
    facts = _as_facts(manifest.backbone, manifest.pooling, list(manifest.layers), kept)
    return facts | {"revision": manifest.revision}


def _as_facts(backbone: str, pooling: str, layers: list[int], kept: tuple[int, ...] | None) -> dict[str, Any]:
    read = [layers[number] for number in kept] if kept else list(layers)
    return {"backbone": Path(backbone).name, "pooling": pooling, "layers": read}


def _same(facts: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Whether states mean the same, as far as both know."""
    return all(facts[name] == others[name] for name in facts.keys() & others.keys())
