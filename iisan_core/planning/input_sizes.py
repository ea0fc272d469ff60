"""How large a catalogue's inputs are (tokens, pixels, frames, samples), as far as a few of them or their heads tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoTokenizer

from iisan_core.backbones import Modality
from iisan_core.backbones.audio import batches_of, has_fixed_length, masks_padding, samples_of
from iisan_core.backbones.quiet import quiet
from iisan_core.cache.manifest import CacheSettings
from iisan_core.dataset import frame_files
from iisan_core.planning.weights import Encoder

SAMPLE = 256
"""Items whose texts or frames are counted to speak for all."""
CHARACTERS_PER_TOKEN = 4
"""Of running text, where the tokenizer is not here to count."""
USUAL_SIDE = 224
"""Pixels, where a model names none."""


@dataclass(frozen=True)
class InputSizes:
    """Sizes as `iisan_core.backbones.skeleton.positions` takes them: tokens, pixels of a side, or samples."""

    mean: int
    largest: int
    at_once: int
    """So many of the largest size are in a batch."""
    per_item: float = 1.0
    """Frames of a video, one picture or text or sound of another item."""


def input_sizes(encoder: Encoder, given: Sequence[Any], settings: CacheSettings, *, batch_size: int) -> InputSizes:
    """Sizes of all the texts or files `given`; raises `RefusedError` where what reads sounds is not installed."""
    return MEASURES[encoder.modality](encoder, given, settings, batch_size)


def sample_of(given: Sequence[Any]) -> list[Any]:
    """A few of them, at random and always the same."""
    return [given[i] for i in np.random.default_rng(0).permutation(len(given))[:SAMPLE]]


def _of_texts(encoder: Encoder, given: Sequence[str], settings: CacheSettings, batch_size: int) -> InputSizes:
    """Tokens of a sample after cutting, at least one."""
    sample = sample_of(given)
    if encoder.folder is not None:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(encoder.folder)
        lengths = [len(ids) for ids in tokenizer(sample)["input_ids"]] if sample else []
    else:
        lengths = [2 + len(text) // CHARACTERS_PER_TOKEN for text in sample]  # a start and an end token
    kept = [max(1, min(length, settings.max_tokens)) for length in lengths] or [1]
    return InputSizes(round(float(np.mean(kept))), max(kept), batch_size)


def _of_pictures(encoder: Encoder, given: Sequence[Path], settings: CacheSettings, batch_size: int) -> InputSizes:
    side = settings.image_size or encoder.image_size or USUAL_SIDE
    return InputSizes(side, side, batch_size)


def _of_videos(encoder: Encoder, given: Sequence[Path], settings: CacheSettings, batch_size: int) -> InputSizes:
    """Frames of folders are counted; files, which would have to be read, are taken to have enough of them."""
    side = encoder.image_size or USUAL_SIDE
    counts = [_frames(path, settings.frames) for path in sample_of(given)]
    at_once = max(1, batch_size // settings.frames) * max(counts, default=1)
    return InputSizes(side, side, at_once, per_item=float(np.mean(counts or [1])))


def _frames(path: Path, wanted: int) -> int:
    return min(wanted, len(frame_files(path))) if path.is_dir() else wanted


def _of_sounds(encoder: Encoder, given: Sequence[Path], settings: CacheSettings, batch_size: int) -> InputSizes:
    """Every file's head is read. Of the batches that an extraction would make, the largest one counts."""
    assert encoder.skeleton is not None
    extractor = encoder.skeleton.extractor
    read = [samples_of(path, rate=extractor.sampling_rate, seconds=settings.max_seconds) for path in given]
    lengths = [length for length in read if length] or [extractor.sampling_rate]
    mixed = masks_padding(extractor) or has_fixed_length(extractor)
    batches = [(len(batch), lengths[batch[-1]]) for batch in batches_of(lengths, batch_size=batch_size, mixed=mixed)]
    at_once, largest = max(batches, key=lambda batch: batch[0] * batch[1])
    return InputSizes(round(float(np.mean(lengths))), largest, at_once)


MEASURES: dict[Modality, Callable[[Encoder, Sequence[Any], CacheSettings, int], InputSizes]] = {
    "text": _of_texts,
    "image": _of_pictures,
    "video": _of_videos,
    "audio": _of_sounds,
}
"""Modality → how its inputs are measured."""
