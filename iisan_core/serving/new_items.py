"""Items that came after the training: through the same backbones, settings and side networks as all others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from iisan_core.cache.inputs import inputs_of
from iisan_core.cache.manifest import CacheManifest, read_manifest
from iisan_core.dataset import Dataset
from iisan_core.errors import RefusedError
from iisan_core.model.recommender_model import RecommenderModel
from iisan_core.training.elsewhere import Elsewhere
from iisan_core.training.evaluation import item_table
from iisan_core.training.parts import ItemParts, item_parts
from iisan_core.training.state_bank import StateBank

if TYPE_CHECKING:
    from iisan_core.backbones import Backbone

CALLED = {"text": "text", "image": "picture"}


class NewItemEncoder:
    """Vectors for new items, by the settings that the caches' manifests record.

    Backbones are loaded when the first items come, and kept. Threads may share one: they take turns. Where the model
    has a vector per item, a new item's is the zero vector that stands for items unknown in training: nothing but
    interactions can teach it another, so such a model knows new items by their content alone.
    """

    def __init__(self, *, model: RecommenderModel, caches: Mapping[str, Path], precision: str) -> None:
        self._model = model
        self._caches = dict(caches)
        self._precision = precision
        self._loaded: dict[str, tuple[Backbone, CacheManifest]] = {}
        # A backbone collects its layers by hooks, so two passes at once would mix.
        self._one_at_a_time = Lock()

    def encode(self, dataset: Dataset) -> tuple[Tensor, ItemParts]:
        """Vectors of a small dataset's items, float32 [n + 1, E], and their parts; row 0 is padding and zero.

        Raises `RefusedError` where an input cannot be read or is missing and the model learned no stand-in for it,
        and where the backbone that made the caches is not there as it was.
        """
        with self._one_at_a_time:
            bank = self._bank(dataset)
        table = item_table(self._model, bank, precision=self._precision)
        return table, item_parts(self._model, bank, table, precision=self._precision)

    def _bank(self, dataset: Dataset) -> StateBank:
        if not self._caches:
            raise RefusedError(
                "this model knows items by their ids alone and can say nothing about new ones; train one with caches"
            )
        from iisan_core.extraction import states_of  # imports transformers, for which recommending need not wait

        states: dict[str, Tensor | Elsewhere] = {}
        present, widths = {}, {}
        for name in self._caches:
            backbone, manifest = self._backbone(name)
            inputs = inputs_of(dataset, manifest.kind, text_fields=manifest.text_fields)
            states[name], problems = states_of(inputs, backbone, manifest)
            if problems:
                row, why = min(problems.items())
                raise RefusedError(f"item {inputs.item_ids[row]!r}: {why}; give another {_called(name)}, or none")
            present[name] = torch.tensor([value is not None for value in inputs.values])
            widths[name] = list(manifest.widths)
        bank = StateBank(states, present, widths, numbers=torch.zeros(dataset.items.height, dtype=torch.int64))
        _check_present(bank, dataset.items["item_id"].to_list(), gaps=self._model.shape.gaps)
        return bank

    def _backbone(self, name: str) -> tuple[Backbone, CacheManifest]:
        if name not in self._loaded:
            manifest = read_manifest(self._caches[name])
            if manifest.widths != self._model.shape.widths[name]:
                raise RefusedError(
                    f"the cache {self._caches[name]} has layers of the widths {list(manifest.widths)}, the model reads "
                    f"{list(self._model.shape.widths[name])}; it is another cache than the run was trained on"
                )
            self._loaded[name] = load_same_backbone(manifest), manifest
        return self._loaded[name]


def joined(first: ItemParts, second: ItemParts) -> ItemParts:
    """The parts of two lots of items of one model, [N + 1, E] and [n + 1, E] → [N + n + 1, E]."""
    towers = {name: torch.cat([tower, second.towers[name][1:]]) for name, tower in first.towers.items()}
    return ItemParts(towers, first.bias)


def load_same_backbone(manifest: CacheManifest) -> Backbone:
    """The backbone that made a cache, by its revision; raises `RefusedError` if it is not there, or is another one."""
    from iisan_core.backbones.loading import load_backbone  # imports transformers, as above
    from iisan_core.backbones.sources import find_source

    source = find_source(manifest.backbone, revision=manifest.revision)
    if source.revision != manifest.revision:
        raise RefusedError(
            f"the backbone {manifest.backbone} has changed: the cache was made by revision {manifest.revision[:12]}, "
            f"there is {source.revision[:12]}; bring that one back, or extract and train again"
        )
    revision = None if Path(source.location).is_dir() else manifest.revision
    return load_backbone(manifest.backbone, manifest.kind, compute_dtype=manifest.compute_dtype, revision=revision)


def _called(modality: str) -> str:
    return CALLED.get(modality, modality)


def _check_present(bank: StateBank, item_ids: list[str], *, gaps: tuple[str, ...]) -> None:
    """A stand-in is learned only of what the training's catalogue lacked, and cannot stand for everything."""
    for name, present in bank.present.items():
        if name not in gaps and not bool(present.all()):
            item_id = item_ids[int((~present).nonzero()[0])]
            raise RefusedError(
                f"item {item_id!r} has no {_called(name)}, and the model has learned nothing to stand in for one, for "
                f"every item that it was trained on had its {_called(name)}; give one"
            )
    something = torch.stack(list(bank.present.values())).any(dim=0)
    if not bool(something.all()):
        item_id = item_ids[int((~something).nonzero()[0])]
        wanted = " and no ".join(_called(name) for name in bank.present)
        raise RefusedError(f"item {item_id!r} has no {wanted}, so there is nothing to know it by; give one")
