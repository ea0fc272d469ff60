"""Whether it fits this machine, and the largest encoder that would."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch

from iisan_core.backbones import BackboneEntry, Modality, backbone_catalogue, choose_layers, local_folder
from iisan_core.backbones.precision import Arithmetic, chosen_dtype
from iisan_core.backbones.skeleton import positions
from iisan_core.cache.manifest import CacheSettings
from iisan_core.errors import RefusedError
from iisan_core.planning.cache_size import cache_bytes
from iisan_core.planning.encoder_plan import EncoderPlan
from iisan_core.planning.machine import Machine
from iisan_core.planning.training_cost import TrainingCost
from iisan_core.planning.weights import TENSORS_PER_LAYER

SHARE = 0.9
"""Of the free memory or disk; whoever else is at work needs some."""


def what_does_not_fit(encoders: Iterable[EncoderPlan], training: TrainingCost, machine: Machine) -> Iterator[str]:
    """A sentence per bottleneck: what is needed, what there is, what to do."""
    every = list(encoders)
    for encoder in every:
        if encoder.extraction_memory_bytes > SHARE * machine.memory_free:
            yield (
                f"{encoder.backbone} needs {_gb(encoder.extraction_memory_bytes)} of memory in extraction, "
                f"{_gb(machine.memory_free)} are free on {machine.name}; extract with a smaller --batch-size, with "
                "--quantization 4bit, spread it with --device-map auto, or choose a smaller backbone"
            )
    if (download := sum(encoder.download_bytes for encoder in every)) > SHARE * machine.hub_disk_free:
        yield (
            f"{_gb(download)} of weights would be downloaded, {_gb(machine.hub_disk_free)} are free there; set "
            "HF_HOME to a larger disk"
        )
    if (caches := sum(encoder.cache_bytes for encoder in every)) > SHARE * machine.disk_free:
        yield (
            f"the caches take {_gb(caches)}, {_gb(machine.disk_free)} are free in the workspace; keep fewer layers or "
            "set IISAN_WORKSPACE to a larger disk"
        )
    if training.memory_bytes > SHARE * machine.memory_free:
        yield (
            f"training needs {_gb(training.memory_bytes)} of memory, {_gb(machine.memory_free)} are free on "
            f"{machine.name}; choose a smaller batch_size or fewer layers"
        )


def largest_encoder(
    modality: Modality,
    machine: Machine,
    *,
    items: int,
    settings: CacheSettings,
    arithmetic: Arithmetic = "auto",
    batch_size: int = 64,
) -> str | None:
    """The registry's encoder of most parameters whose weights, activations and cache fit; None where none does."""
    entries = [entry for entry in backbone_catalogue() if modality in entry.towers]
    for entry in sorted(entries, key=lambda entry: -entry.tower(modality).parameters):
        if _fits(
            entry, modality, machine, items=items, settings=settings, arithmetic=arithmetic, batch_size=batch_size
        ):
            return entry.name
    return None


def _fits(
    entry: BackboneEntry,
    modality: Modality,
    machine: Machine,
    *,
    items: int,
    settings: CacheSettings,
    arithmetic: Arithmetic,
    batch_size: int,
) -> bool:
    tower = entry.tower(modality)
    try:
        layers = choose_layers(settings.layers, tower.layers)
    except RefusedError:  # a list of layers that it does not have
        return False
    item = getattr(torch, chosen_dtype(arithmetic, parameters=entry.parameters)).itemsize
    length = positions(modality, settings.max_tokens if modality == "text" else tower.image_size or 224)
    memory = item * (entry.parameters + TENSORS_PER_LAYER * max(tower.widths) * length * batch_size)
    download = 0 if local_folder(entry.name) else entry.parameters * getattr(torch, entry.stored).itemsize
    cache = cache_bytes(items, [tower.widths[layer] for layer in layers], settings.dtype)
    rooms = ((memory, machine.memory_free), (download, machine.hub_disk_free), (cache, machine.disk_free))
    return all(needed <= SHARE * room for needed, room in rooms)


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
