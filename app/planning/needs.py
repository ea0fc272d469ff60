"""What a training or an extraction is to be given by a cluster: memory and time, by the plan made here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from app.planning.machine import Machine
from app.planning.plan import planned_encoders
from app.planning.training_cost import training_cost
from iisan_core.backbones.loading import Arithmetic
from iisan_core.cache.manifest import CacheSettings
from iisan_core.config.schema import RunConfig
from iisan_core.data.dataset import Dataset
from iisan_core.runs.workspace import Workspace
from iisan_core.training.inputs import RunInputs

MARGIN = 1.5
"""Times what the plan says: its steps were few, and the cluster is another machine."""
LIBRARIES = 4 << 30
"""Bytes that torch with CUDA and all else take in RAM before there is any work."""
START_SECONDS = 600
"""For starting, reading the data and measuring the results."""


@dataclass(frozen=True)
class Needs:
    """Of one process; RAM, whatever the device, for states and weights come through it."""

    memory_bytes: int
    seconds: float
    said: tuple[str, ...]
    """How it was found, a sentence each, without anything that a user has typed."""


def training_needs(config: RunConfig) -> Needs:
    """Of a run, by a few steps of it on this machine; several processes are not taken to be quicker.

    Raises `RefusedError` if anything that the configuration names cannot be used.
    """
    if config.baseline is not None or config.members:
        return Needs(LIBRARIES, START_SECONDS, ("nothing is trained, so this is what starting and measuring take",))
    inputs = RunInputs.open(config)
    machine = _machine(config.training.device)
    manifests = {name: cache.manifest for name, cache in inputs.caches.items()}
    cost = training_cost(
        inputs.split,
        {name: manifest.widths for name, manifest in manifests.items()},
        config,
        machine,
        missing=[name for name, cache in inputs.caches.items() if len(cache.absent)],
        item_bytes=sum(manifest.row_bytes for manifest in manifests.values()),
    )
    epoch = cost.epoch_seconds + cost.validation_seconds
    return Needs(
        memory_bytes=LIBRARIES + int(MARGIN * max(cost.memory_bytes, cost.states_bytes)),
        seconds=START_SECONDS + MARGIN * config.training.epochs * epoch,
        said=(
            f"planned: {config.training.epochs} epochs of {epoch:.2g} s as measured on {machine.device} here, "
            f"{_gb(max(cost.memory_bytes, cost.states_bytes))} of memory a process",
            _MARGINS,
        ),
    )


def extraction_needs(
    dataset: Dataset,
    backbones: Mapping[str, str],
    settings: CacheSettings,
    *,
    arithmetic: Arithmetic = "auto",
    batch_size: int = 64,
    device: str = "auto",
    processes: int = 1,
) -> Needs:
    """Of each of so many processes that share an extraction; backbones that lie here are timed.

    Raises `RefusedError` for a backbone or a layer that there is not.
    """
    machine = _machine(device)
    encoders, _ = planned_encoders(
        dataset, backbones, settings, machine, arithmetic=arithmetic, batch_size=batch_size, probe=True
    )
    memory = max(encoder.extraction_memory_bytes for encoder in encoders.values())
    seconds = sum(encoder.extraction.seconds for encoder in encoders.values())
    return Needs(
        memory_bytes=LIBRARIES + int(MARGIN * memory),
        seconds=START_SECONDS + MARGIN * seconds / processes,
        said=(
            f"planned: {seconds:,.0f} s of extraction as on {machine.device} here, {_gb(memory)} of memory a process",
            _MARGINS,
        ),
    )


_MARGINS = (
    f"asked for: {MARGIN:g} times that, {LIBRARIES >> 30} GiB for libraries and {START_SECONDS // 60} minutes to start "
    "and to measure"
)


def _machine(device: str) -> Machine:
    """This one; who submits to GPUs often has none here, and a processor is no quicker than they are."""
    here = device if device != "cuda" or torch.cuda.is_available() else "cpu"
    return Machine.here(here, caches=Workspace.default().root)


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
