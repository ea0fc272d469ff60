"""What a run works on: its dataset, split and states, opened and checked before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from iisan_core.backbones.layers import choose_layers
from iisan_core.cache.store import HiddenStateCache
from iisan_core.config.schema import RunConfig
from iisan_core.data.dataset import Dataset
from iisan_core.data.split import Split, split
from iisan_core.errors import RefusedError
from iisan_core.model.recommender import ModelShape
from iisan_core.training.placement import Placement, StatesChoice, Where, place_states
from iisan_core.training.states import ItemStates, States, put

CPU = torch.device("cpu")


@dataclass(frozen=True)
class RunInputs:
    """A run's data, checked against each other."""

    dataset: Dataset
    split: Split
    caches: dict[str, HiddenStateCache]

    @classmethod
    def open(cls, config: RunConfig) -> RunInputs:
        """Open what a configuration names.

        Raises `RefusedError` if anything is absent or broken, or a cache is another modality's or catalogue's.
        """
        dataset = Dataset.load(config.dataset)
        caches = {name: HiddenStateCache.open(folder) for name, folder in config.caches.items()}
        for name, cache in caches.items():
            if cache.manifest.modality != name:
                raise RefusedError(
                    f"caches.{name}: {cache.folder} holds states of modality {cache.manifest.modality!r}; "
                    f"name it caches.{cache.manifest.modality} or choose another cache"
                )
            cache.check_matches(dataset)
        return cls(dataset, split(dataset, config.protocol), caches)

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
        model = config.model
        # Who asks for modality dropout gets stand-ins to learn by it, gaps or none.
        gaps = list(states.widths) if model.modality_dropout else states.gaps
        return ModelShape(
            widths={name: tuple(w) for name, w in states.widths.items()},
            kept={name: tuple(choose_layers(c, len(states.widths[name]) - 1)) for name, c in model.layers.items()},
            gaps=tuple(gaps),
            inputs=config.protocol.inputs,
            items=len(states.numbers) if model.ids else 0,
            config=model,
        )

    def describe(self) -> dict[str, Any]:
        """Counts of the data and settings of the caches, for `results.json`."""
        return {
            "dataset": self.dataset.name,
            "users": len(self.split.user_ids),
            "items": len(self.split.item_ids),
            "interactions": int((self.split.sequences > 0).sum()),
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
