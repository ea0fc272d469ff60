"""How long an extraction takes: measured on a sample of the items where the model is here, else from its operations."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from iisan_core.backbones import Backbone, load_backbone
from iisan_core.cache.inputs import CatalogueInputs
from iisan_core.cache.manifest import CacheSettings
from iisan_core.planning.input_sizes import InputSizes, sample_of
from iisan_core.planning.machine import Machine, matmul_rate
from iisan_core.planning.weights import Encoder

PROBE_OPERATIONS = 2e12
"""At most so many for a probe; it then takes seconds on a processor."""
SHARE_OF_RATE = 0.7
"""Of the rate of one large product, what a whole encoder reaches: norms, activations and small products are slower."""


@dataclass(frozen=True)
class ExtractionTime:
    """Seconds, and where they come from."""

    seconds: float
    how: Literal["measured", "estimated"]
    """On a sample of the items, or from operations and the rate of a matrix product here."""
    size: int
    """Mean tokens of a text, pixels of a picture's or frame's side, or mean samples of a sound."""
    flops: int
    """Per item."""


def extraction_time(
    encoder: Encoder,
    inputs: CatalogueInputs,
    settings: CacheSettings,
    machine: Machine,
    *,
    layers: Sequence[int],
    sizes: InputSizes,
    batch_size: int = 64,
    probe: bool = True,
) -> ExtractionTime:
    """Time for all items that have an input; the model is loaded for a probe if it lies here and fits."""
    given = [value for value in inputs.values if value is not None]
    sample = sample_of(given)
    flops = round(encoder.flops(sizes.mean) * sizes.per_item)
    items = min(len(sample), int(PROBE_OPERATIONS // max(flops, 1)))
    if probe and items > 0 and encoder.folder is not None and encoder.memory_bytes < 0.7 * machine.memory_free:
        seconds = _probed(encoder, sample[:items], settings, machine, layers=layers, batch_size=batch_size)
        return ExtractionTime(seconds * len(given), "measured", sizes.mean, flops)
    rate = SHARE_OF_RATE * matmul_rate(machine.device, encoder.compute_dtype)
    return ExtractionTime(flops * len(given) / rate, "estimated", sizes.mean, flops)


def _probed(
    encoder: Encoder,
    sample: Sequence[Any],
    settings: CacheSettings,
    machine: Machine,
    *,
    layers: Sequence[int],
    batch_size: int,
) -> float:
    """Seconds per item on the sample, after a first batch that is not counted."""
    backbone = load_backbone(encoder.name, encoder.modality, compute_dtype=encoder.arithmetic, device=machine.device)
    size = settings.input_size(encoder.modality)
    _pass(backbone, sample[:batch_size], layers=layers, size=size, batch_size=batch_size)
    start = time.perf_counter()
    _pass(backbone, sample, layers=layers, size=size, batch_size=batch_size)
    return (time.perf_counter() - start) / len(sample)


def _pass(
    backbone: Backbone, sample: Sequence[Any], *, layers: Sequence[int], size: int | None, batch_size: int
) -> None:
    for batch in backbone.batches(sample, batch_size=batch_size, size=size):
        loaded = batch.load()
        if loaded.tensors:
            backbone.encode(loaded.tensors, layers=layers, pooling=backbone.default_pooling)
    if backbone.device.type == "cuda":
        torch.cuda.synchronize(backbone.device)
