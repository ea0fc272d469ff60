"""What one backbone costs: its weights, its cache, and an extraction, measured on a sample or from its operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from transformers import AutoTokenizer

from app.bench.measure import seconds_of
from app.planning.backbone_spec import BackboneSpec
from app.planning.machine import Machine
from app.planning.meta_model import PICTURE_TOKENS
from iisan_core.backbones.audio import batches_of, has_fixed_length, masks_padding, samples_of
from iisan_core.backbones.base import Backbone, blind_pooling
from iisan_core.backbones.hub import NO_PROGRAMS, silenced
from iisan_core.backbones.layers import choose_layers
from iisan_core.backbones.loading import load_backbone
from iisan_core.backbones.probes import most_tokens
from iisan_core.cache.fill import BATCHES_AHEAD
from iisan_core.cache.inputs import CatalogueInputs
from iisan_core.cache.manifest import ITEM_BYTES, WITH_TEXT, CacheSettings
from iisan_core.config.schema import Modality
from iisan_core.data.dataset import TextAndPicture, frame_files

SAMPLE = 256
"""Items whose texts or frames are counted to speak for all."""

CHARACTERS_PER_TOKEN = 4
"""Of running text, where the tokenizer is not here to count."""

PROMPT_TOKENS = 24
"""Of an instruction, and of the chat template around it."""

USUAL_SIDE = 224
"""Pixels, where a model names none."""


PROBE_OPERATIONS = 2e12
"""At most so many for a probe; it then takes seconds on a processor."""

SHARE_OF_RATE = 0.7
"""Of the rate of one large product, what a whole encoder reaches: norms, activations and small products are slower."""


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
    cut_to: int | None = None
    """Tokens that texts are cut to, where the model takes fewer than were asked for."""


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


@dataclass(frozen=True)
class InputSizes:
    """Sizes as `app.planning.meta_model.positions` takes them: tokens, pixels of a side, or samples."""

    mean: int
    largest: int
    at_once: int
    """So many of the largest size are in a batch."""
    per_item: float = 1.0
    """Frames of a video, one picture or text or sound of another item."""


def plan_encoder(
    encoder: BackboneSpec,
    inputs: CatalogueInputs,
    settings: CacheSettings,
    machine: Machine,
    *,
    batch_size: int,
    probe: bool,
) -> EncoderPlan:
    """What extracting `inputs` with an encoder takes.

    Raises `RefusedError` for layers that it does not have, a pooling that tells no item from
    another, and where what reads sounds is not installed.
    """
    if settings.pooling == "cls" and encoder.meta_model is not None and encoder.meta_model.first_token_is_blind:
        raise blind_pooling(encoder.name)
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
        cut_to=cut_to(encoder, settings),
    )


def cut_to(encoder: BackboneSpec, settings: CacheSettings) -> int | None:
    """How many tokens of a text the model takes, where these are fewer than the settings ask for."""
    if encoder.modality not in WITH_TEXT:
        return None
    most = most_tokens(encoder.meta_model.model) if encoder.meta_model else encoder.longest_text
    return most if most is not None and most < settings.max_tokens else None


def row_bytes(widths: Sequence[int], dtype: str) -> int:
    """Of one item's states; `widths` are those of the kept layers."""
    return sum(widths) * ITEM_BYTES[dtype]


def cache_bytes(items: int, widths: Sequence[int], dtype: str) -> int:
    """Of `states.bin`, exactly; the table of item ids beside it takes some 80 bytes an item more."""
    return items * row_bytes(widths, dtype)


def extraction_time(
    encoder: BackboneSpec,
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
    rate = SHARE_OF_RATE * machine.product_rate(encoder.compute_dtype)
    return ExtractionTime(flops * len(given) / rate, "estimated", sizes.mean, flops)


def _probed(
    encoder: BackboneSpec,
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
    backbone.check_size(size)
    _pass(backbone, sample[:batch_size], layers=layers, size=size, batch_size=batch_size)
    once = partial(_pass, backbone, sample, layers=layers, size=size, batch_size=batch_size)
    return seconds_of(once, backbone.device) / len(sample)


def _pass(
    backbone: Backbone, sample: Sequence[Any], *, layers: Sequence[int], size: int | None, batch_size: int
) -> None:
    for batch in backbone.batches(sample, batch_size=batch_size, size=size, prompt=backbone.prompt_of(None)):
        loaded = batch.load()
        if loaded.tensors:
            backbone.encode(loaded.tensors, layers=layers, pooling=backbone.default_pooling)


def input_sizes(encoder: BackboneSpec, given: Sequence[Any], settings: CacheSettings, *, batch_size: int) -> InputSizes:
    """Sizes of all the texts or files `given`; raises `RefusedError` where what reads sounds is not installed."""
    return MEASURES[encoder.modality](encoder, given, settings, batch_size)


def sample_of(given: Sequence[Any]) -> list[Any]:
    """A few of them, at random and always the same."""
    return [given[i] for i in np.random.default_rng(0).permutation(len(given))[:SAMPLE]]


def _of_texts(encoder: BackboneSpec, given: Sequence[str], settings: CacheSettings, batch_size: int) -> InputSizes:
    """Tokens of a sample after cutting, at least one."""
    sample = sample_of(given)
    if encoder.folder is not None:
        with silenced():
            tokenizer = AutoTokenizer.from_pretrained(encoder.folder, **NO_PROGRAMS)
        lengths = [len(ids) for ids in tokenizer(sample)["input_ids"]] if sample else []
    else:
        lengths = [2 + len(text) // CHARACTERS_PER_TOKEN for text in sample]  # a start and an end token
    limit = cut_to(encoder, settings) or settings.max_tokens
    kept = [max(1, min(length, limit)) for length in lengths] or [1]
    return InputSizes(round(float(np.mean(kept))), max(kept), batch_size)


def _of_both(
    encoder: BackboneSpec, given: Sequence[TextAndPicture], settings: CacheSettings, batch_size: int
) -> InputSizes:
    """Tokens of the prompt: text, picture and what stands around them."""
    texts = _of_texts(encoder, [pair.text for pair in given if pair.text], settings, batch_size)
    shown = sum(pair.picture is not None for pair in given) / max(1, len(given))
    around = PROMPT_TOKENS + (PICTURE_TOKENS if shown else 0)
    mean = PROMPT_TOKENS + texts.mean + round(shown * PICTURE_TOKENS)
    return InputSizes(mean, texts.largest + around, batch_size)


def _of_pictures(encoder: BackboneSpec, given: Sequence[Path], settings: CacheSettings, batch_size: int) -> InputSizes:
    side = settings.image_size or encoder.image_size or USUAL_SIDE
    return InputSizes(side, side, batch_size)


def _of_videos(encoder: BackboneSpec, given: Sequence[Path], settings: CacheSettings, batch_size: int) -> InputSizes:
    """Frames of folders are counted; files, which would have to be read, are taken to have enough of them."""
    side = encoder.image_size or USUAL_SIDE
    counts = [_frames(path, settings.frames) for path in sample_of(given)]
    at_once = max(1, batch_size // settings.frames) * max(counts, default=1)
    return InputSizes(side, side, at_once, per_item=float(np.mean(counts or [1])))


def _frames(path: Path, wanted: int) -> int:
    return min(wanted, len(frame_files(path))) if path.is_dir() else wanted


def _of_sounds(encoder: BackboneSpec, given: Sequence[Path], settings: CacheSettings, batch_size: int) -> InputSizes:
    """Every file's head is read. Of the batches that an extraction would make, the largest one counts."""
    assert encoder.meta_model is not None
    extractor = encoder.meta_model.extractor
    read = [samples_of(path, rate=extractor.sampling_rate, seconds=settings.max_seconds) for path in given]
    lengths = [length for length in read if length] or [extractor.sampling_rate]
    mixed = masks_padding(extractor) or has_fixed_length(extractor)
    batches = [(len(batch), lengths[batch[-1]]) for batch in batches_of(lengths, batch_size=batch_size, mixed=mixed)]
    at_once, largest = max(batches, key=lambda batch: batch[0] * batch[1])
    return InputSizes(round(float(np.mean(lengths))), largest, at_once)


MEASURES: dict[Modality, Callable[[BackboneSpec, Sequence[Any], CacheSettings, int], InputSizes]] = {
    "text": _of_texts,
    "image": _of_pictures,
    "video": _of_videos,
    "audio": _of_sounds,
    "joint": _of_both,
}
"""Modality → how its inputs are measured."""
