"""What a run works on: its dataset, split and states, opened and checked before anything is computed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from iisan_core.backbones.layers import choose_layers
from iisan_core.cache.store import HiddenStateCache
from iisan_core.config.schema import ModelConfig, RunConfig
from iisan_core.data.dataset import Dataset
from iisan_core.data.split import Split, split
from iisan_core.errors import RefusedError
from iisan_core.model.recommender import ModelShape
from iisan_core.training.states import ItemStates, Placement, States, StatesChoice, Where, place_states, put

CPU = torch.device("cpu")


@dataclass(frozen=True)
class RunInputs:
    """A run's data, checked against each other."""

    dataset: Dataset
    split: Split
    caches: dict[str, HiddenStateCache]
    left_out: str = ""
    """What of the dataset a run leaves out that knows its items already, in a sentence; empty where that is nothing."""

    @classmethod
    def open(cls, config: RunConfig, *, item_ids: Sequence[str] | None = None) -> RunInputs:
        """Open what a configuration names; for a run that has `item_ids` already, these items of it alone.

        Raises `RefusedError` if anything is absent or broken, or a cache is another modality's or catalogue's.
        """
        whole = dataset = Dataset.load(config.dataset)
        caches = {name: HiddenStateCache.open(folder) for name, folder in config.caches.items()}
        protocol, kept = config.protocol, None
        if item_ids is not None:
            kept = split(whole, protocol)
            if kept.item_ids != list(item_ids):
                dataset, protocol, kept = (
                    whole.of_items(item_ids),
                    protocol.model_copy(update={"catalogue": "all"}),
                    None,
                )
        for name, cache in caches.items():
            if cache.manifest.modality != name:
                raise RefusedError(
                    f"caches.{name}: {cache.folder} holds states of modality {cache.manifest.modality!r}; "
                    f"name it caches.{cache.manifest.modality} or choose another cache"
                )
            cache.check_matches(dataset)
        return cls(dataset, kept or split(dataset, protocol), caches, _left_out(whole, dataset))

    def placement(self, device: torch.device, choice: StatesChoice = "auto") -> Placement:
        """Where the states of the ranked items have room; raises `RefusedError` for a choice that has none."""
        row_bytes = sum(cache.manifest.row_bytes for cache in self.caches.values())
        return place_states(row_bytes * len(self.split.item_ids), device, choice)

    def states(self, device: torch.device = CPU, *, where: Where | None = None) -> ItemStates:
        """The states of the ranked items for a model on `device`, at `where` they lie; unset: where there is room."""
        where = where or self.placement(device).where
        states: dict[str, States] = {}
        present, widths = {}, {}
        for name, cache in self.caches.items():
            rows = cache.rows(self.split.item_ids)
            states[name] = put(cache, rows, device=device, where=where)
            present[name] = torch.from_numpy(cache.present[rows]).to(device)
            widths[name] = list(cache.manifest.widths)
        numbers = torch.arange(1, len(self.split.item_ids) + 1, device=device)
        return ItemStates(states, present, widths, numbers=numbers)

    def shape(self, config: RunConfig, states: ItemStates) -> ModelShape:
        """The model that fits these states."""
        return model_shape(
            config.model,
            widths=states.widths,
            missing=states.missing,
            max_history=config.protocol.max_history,
            items=len(states.numbers),
        )

    def describe(self) -> dict[str, Any]:
        """Counts of the data and settings of the caches, for `results.json`."""
        return {
            "dataset": self.dataset.name,
            **self.split.describe(),
            "backbones": {
                name: {
                    "backbone": cache.manifest.backbone,
                    "pooling": cache.manifest.pooling,
                    "layers": list(cache.manifest.layers),
                    "items_without": len(cache.absent),
                }
                for name, cache in self.caches.items()
            },
        }


def _left_out(whole: Dataset, used: Dataset) -> str:
    items = whole.items.height - used.items.height
    interactions = whole.interactions.height - used.interactions.height
    users = whole.interactions["user_id"].n_unique() - used.interactions["user_id"].n_unique()
    if not items:
        return ""
    return (
        f"{items:,} items of the catalogue are not in this run, nor {interactions:,} interactions with them (all that "
        f"{users:,} users have); they are left out"
    )


def model_shape(
    config: ModelConfig, *, widths: Mapping[str, Sequence[int]], missing: Collection[str], max_history: int, items: int
) -> ModelShape:
    """The model of a configuration for cached states.

    widths       modality, in fusion order → width of each cached layer
    missing      modalities that some items lack; with modality dropout all have stand-ins, which learn by it
    max_history  S
    items        N

    Raises `RefusedError` for a choice of layers that there are not.
    """
    return ModelShape(
        widths={name: tuple(w) for name, w in widths.items()},
        kept={n: tuple(choose_layers(c, len(widths[n]) - 1)) for n, c in config.layers.items() if n in widths},
        missing=tuple(name for name in widths if config.modality_dropout or name in missing),
        max_history=max_history,
        items=items if config.ids else 0,
        config=config,
    )
