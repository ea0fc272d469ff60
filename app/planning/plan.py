"""What it costs to adapt backbones to a dataset before anything is downloaded, whether it fits, and what would."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import torch

from app.planning.backbone_spec import TENSORS_PER_LAYER, describe_backbone
from app.planning.encoder import EncoderPlan, cache_bytes, plan_encoder, row_bytes
from app.planning.machine import Machine
from app.planning.meta_model import positions
from app.planning.training_cost import TrainingCost, training_cost
from iisan_core.backbones.layers import choose_layers
from iisan_core.backbones.loading import Arithmetic, chosen_dtype
from iisan_core.backbones.local import local_folder
from iisan_core.backbones.registry import BackboneEntry, backbone_catalogue
from iisan_core.cache.inputs import inputs_of
from iisan_core.cache.manifest import CacheSettings
from iisan_core.config.presets import Preset, load_preset
from iisan_core.config.schema import Modality
from iisan_core.data.dataset import Dataset
from iisan_core.data.split import split
from iisan_core.errors import RefusedError
from iisan_core.runs.workspace import Workspace, in_fusion_order

SHARE = 0.9
"""Of the free memory or disk; whoever else is at work needs some."""


@dataclass(frozen=True)
class Plan:
    """What an extraction and a training would cost on this machine, and whether they fit."""

    dataset: str
    items: int
    """In the catalogue; all are cached."""
    ranked_items: int
    users: int
    encoders: dict[str, EncoderPlan]
    """By modality, in fusion order."""
    preset: str
    training: TrainingCost
    machine: Machine
    problems: tuple[str, ...]
    """What does not fit, a sentence each; none where all does."""
    largest_text_encoder: str | None
    """Of the registry, the one with the most parameters that this machine could take instead; None where none could."""

    @property
    def fits(self) -> bool:
        """Whether this machine can do all of it."""
        return not self.problems

    def as_record(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self) | {"fits": self.fits}


def plan(
    dataset: Dataset | str | Path,
    backbones: Mapping[str, str],
    *,
    settings: CacheSettings | None = None,
    preset: Preset | str = "default",
    arithmetic: Arithmetic = "auto",
    device: str = "auto",
    batch_size: int = 64,
    probe: bool = True,
) -> Plan:
    """Plan the extraction with `backbones` (modality → alias, hub id or folder) and a training of `preset`.

    Nothing is downloaded but the configurations of a hub model that neither the registry nor this machine knows.
    `batch_size` is the extraction's; with `probe`, backbones that lie here are timed on a sample of the items.

    Raises `RefusedError` for a dataset, backbone, layer or preset that there is not.
    """
    if not backbones:
        raise RefusedError("nothing to plan: name at least one backbone")
    data = dataset if isinstance(dataset, Dataset) else Dataset.load(dataset)
    chosen = preset if isinstance(preset, Preset) else load_preset(preset)
    settings = settings or CacheSettings()
    machine = Machine.here(device, caches=Workspace.default().root)
    encoders, missing = planned_encoders(
        data, backbones, settings, machine, arithmetic=arithmetic, batch_size=batch_size, probe=probe
    )
    kept = split(data, chosen.protocol)
    widths = {name: encoder.widths for name, encoder in encoders.items()}
    item_bytes = sum(row_bytes(w, settings.dtype) for w in widths.values())
    cost = training_cost(kept, widths, chosen, machine, missing=missing, item_bytes=item_bytes)
    return Plan(
        dataset=data.name,
        items=data.items.height,
        ranked_items=len(kept.item_ids),
        users=len(kept.measured["test"]),
        encoders=encoders,
        preset=preset if isinstance(preset, str) else "own",
        training=cost,
        machine=machine,
        problems=tuple(what_does_not_fit(encoders.values(), cost, machine)),
        largest_text_encoder=largest_encoder(
            "text", machine, items=data.items.height, settings=settings, arithmetic=arithmetic, batch_size=batch_size
        ),
    )


def planned_encoders(
    data: Dataset,
    backbones: Mapping[str, str],
    settings: CacheSettings,
    machine: Machine,
    *,
    arithmetic: Arithmetic = "auto",
    batch_size: int = 64,
    probe: bool = True,
) -> tuple[dict[str, EncoderPlan], list[str]]:
    """What extracting with each of the backbones takes, in fusion order, and which modalities some items lack.

    Raises `RefusedError` for a backbone or a layer that there is not.
    """
    encoders: dict[str, EncoderPlan] = {}
    missing = []
    for modality in in_fusion_order({name: Path(name) for name in backbones}):
        encoder = describe_backbone(backbones[modality], _modality(modality), arithmetic=arithmetic)
        inputs = inputs_of(data, encoder.modality, text_fields=settings.text_fields)
        if None in inputs.values:
            missing.append(modality)
        encoders[modality] = plan_encoder(encoder, inputs, settings, machine, batch_size=batch_size, probe=probe)
    return encoders, missing


def _modality(name: str) -> Modality:
    if name not in get_args(Modality):
        raise RefusedError(f"modality {name!r} cannot be planned; {', '.join(get_args(Modality))} can")
    return name  # type: ignore[return-value]


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


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"


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

    def fits(entry: BackboneEntry) -> bool:
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

    entries = [entry for entry in backbone_catalogue() if modality in entry.towers]
    largest_first = sorted(entries, key=lambda entry: -entry.tower(modality).parameters)
    return next((entry.name for entry in largest_first if fits(entry)), None)
