"""What it costs to adapt a pair of backbones to a dataset, before anything is downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from iisan_core.backbones import Modality
from iisan_core.backbones.precision import Arithmetic
from iisan_core.cache.inputs import inputs_of
from iisan_core.cache.manifest import CacheSettings
from iisan_core.dataset import Dataset
from iisan_core.errors import RefusedError
from iisan_core.planning.cache_size import row_bytes
from iisan_core.planning.encoder_plan import EncoderPlan, plan_encoder
from iisan_core.planning.fitting import largest_encoder, what_does_not_fit
from iisan_core.planning.machine import Machine
from iisan_core.planning.training_cost import TrainingCost, training_cost
from iisan_core.planning.weights import describe_encoder
from iisan_core.presets import Preset, load_preset
from iisan_core.sequences import split
from iisan_core.workspace import Workspace, in_fusion_order


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
    encoders: dict[str, EncoderPlan] = {}
    gaps = []
    for modality in in_fusion_order({name: Path(name) for name in backbones}):
        encoder = describe_encoder(backbones[modality], _modality(modality), arithmetic=arithmetic)
        inputs = inputs_of(data, encoder.modality, text_fields=settings.text_fields)
        if None in inputs.values:
            gaps.append(modality)
        encoders[modality] = plan_encoder(encoder, inputs, settings, machine, batch_size=batch_size, probe=probe)
    kept = split(data, chosen.protocol)
    widths = {name: encoder.widths for name, encoder in encoders.items()}
    item_bytes = sum(row_bytes(w, settings.dtype) for w in widths.values())
    cost = training_cost(kept, widths, chosen, machine, gaps=gaps, item_bytes=item_bytes)
    return Plan(
        dataset=data.name,
        items=data.items.height,
        ranked_items=len(kept.item_ids),
        users=len(kept.user_ids),
        encoders=encoders,
        preset=preset if isinstance(preset, str) else "own",
        training=cost,
        machine=machine,
        problems=tuple(what_does_not_fit(encoders.values(), cost, machine)),
        largest_text_encoder=largest_encoder(
            "text", machine, items=data.items.height, settings=settings, arithmetic=arithmetic, batch_size=batch_size
        ),
    )


def _modality(name: str) -> Modality:
    if name not in get_args(Modality):
        raise RefusedError(f"modality {name!r} cannot be planned; {', '.join(get_args(Modality))} can")
    return name  # type: ignore[return-value]
