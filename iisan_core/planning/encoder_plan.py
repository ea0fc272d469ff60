"""What one backbone costs: its weights, its cache, its extraction."""

from __future__ import annotations

from dataclasses import dataclass

from iisan_core.backbones import choose_layers
from iisan_core.cache.inputs import CatalogueInputs
from iisan_core.cache.manifest import CacheSettings
from iisan_core.extraction.filling import BATCHES_AHEAD
from iisan_core.planning.cache_size import cache_bytes
from iisan_core.planning.extraction_time import ExtractionTime, extraction_time
from iisan_core.planning.input_sizes import input_sizes
from iisan_core.planning.machine import Machine
from iisan_core.planning.weights import Encoder


@dataclass(frozen=True)
class EncoderPlan:
    """One backbone of the plan; sizes in bytes."""

    backbone: str
    modality: str
    local: bool
    """Whether its weights lie on this machine."""
    gated: bool
    layers: tuple[int, ...]
    """Kept."""
    widths: tuple[int, ...]
    """Of the kept layers."""
    parameters: int
    compute_dtype: str
    file_bytes: int
    """Of its files with weights."""
    download_bytes: int
    """Of these, what is not here."""
    cache_bytes: int
    """Of the cached states, exactly."""
    items_with_input: int
    extraction: ExtractionTime
    extraction_memory_bytes: int
    """Of the device, beyond what the loaded libraries hold: weights, inputs, activations and `Machine.at_work`."""


def plan_encoder(
    encoder: Encoder,
    inputs: CatalogueInputs,
    settings: CacheSettings,
    machine: Machine,
    *,
    batch_size: int,
    probe: bool,
) -> EncoderPlan:
    """What extracting `inputs` with an encoder takes.

    Raises `RefusedError` for layers that it does not have, and where what reads sounds is not installed.
    """
    layers = choose_layers(settings.layers, len(encoder.widths) - 1)
    widths = tuple(encoder.widths[layer] for layer in layers)
    given = [value for value in inputs.values if value is not None]
    sizes = input_sizes(encoder, given, settings, batch_size=batch_size)
    took = extraction_time(
        encoder, inputs, settings, machine, layers=layers, sizes=sizes, batch_size=batch_size, probe=probe
    )
    # On a processor, the batches that are read ahead lie beside the one that is computed.
    batches = 1 if machine.device == "cuda" else 1 + BATCHES_AHEAD
    of_one = encoder.activation_bytes(sizes.largest) + batches * encoder.input_bytes(sizes.largest)
    return EncoderPlan(
        backbone=encoder.name,
        modality=encoder.modality,
        local=encoder.folder is not None,
        gated=encoder.entry is not None and encoder.entry.gated,
        layers=tuple(layers),
        widths=widths,
        parameters=encoder.parameters,
        compute_dtype=encoder.compute_dtype,
        file_bytes=encoder.file_bytes,
        download_bytes=0 if encoder.folder else encoder.file_bytes,
        cache_bytes=cache_bytes(len(inputs.item_ids), widths, settings.dtype),
        items_with_input=len(given),
        extraction=took,
        extraction_memory_bytes=machine.at_work + encoder.memory_bytes + sizes.at_once * of_one,
    )
