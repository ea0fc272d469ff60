"""What a backbone is before it is loaded: its shape, and the bytes of its weights, from its configuration alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoFeatureExtractor

from app.planning.meta_model import MetaModel, meta_model_of, positions
from iisan_core.backbones.hub import NO_PROGRAMS, find_source, pinned, silenced
from iisan_core.backbones.loading import Arithmetic, chosen_dtype, why_not_loaded
from iisan_core.backbones.local import local_folder
from iisan_core.backbones.registry import BackboneEntry, TowerEntry, find_entry
from iisan_core.config.schema import Modality
from iisan_core.errors import RefusedError

WEIGHT_SUFFIXES = (".safetensors", ".bin")

TENSORS_PER_LAYER = 10
"""Activations of a layer's width that are alive at once, where they cannot be counted."""


@dataclass(frozen=True)
class BackboneSpec:
    """A backbone for one modality."""

    name: str
    modality: Modality
    entry: BackboneEntry | None
    folder: Path | None
    """Where its weights lie on this machine; None where they would be downloaded."""
    meta_model: MetaModel | None
    """None for a model with a program of its own: of that, only what the registry says is known."""
    arithmetic: Arithmetic = "auto"

    @property
    def widths(self) -> tuple[int, ...]:
        """D of each layer 0 … n."""
        return self.meta_model.widths if self.meta_model else self._tower.widths

    @property
    def parameters(self) -> int:
        """Of the whole model as it is loaded."""
        if self.meta_model:
            return self.meta_model.total_parameters
        assert self.entry is not None
        return self.entry.parameters

    @property
    def compute_dtype(self) -> str:
        """The arithmetic that `load_backbone` would choose."""
        return chosen_dtype(self.arithmetic, parameters=self.parameters)

    @property
    def itemsize(self) -> int:
        """Bytes per number in memory."""
        return int(getattr(torch, self.compute_dtype).itemsize)

    @property
    def file_bytes(self) -> int:
        """Of the files with weights: counted where they lie here, else computed from the stored number format."""
        if self.folder is not None:
            return sum(path.stat().st_size for path in weight_files(self.folder))
        head = self.meta_model.head_parameters if self.meta_model else 0
        size = getattr(torch, self.entry.stored).itemsize if self.entry else None
        if size is None:
            assert self.meta_model is not None
            size = self.meta_model.bytes_per_parameter
        return int((self.parameters + head) * size)

    @property
    def memory_bytes(self) -> int:
        """Of the weights in memory."""
        return self.parameters * self.itemsize

    @property
    def image_size(self) -> int | None:
        """Side of the pictures that it was made for, in pixels."""
        if self.entry is not None:
            return self._tower.image_size
        return self.meta_model.image_size if self.meta_model else None

    @property
    def longest_text(self) -> int | None:
        """Tokens that it was made for, as the registry has them."""
        return self._tower.max_tokens if self.entry is not None else None

    def flops(self, size: int) -> int:
        """Floating-point operations for one input of `size`, as `positions` takes it."""
        if self.meta_model:
            return self.meta_model.flops(size)
        return 2 * self._tower.parameters * positions(self.modality, size)

    def activation_bytes(self, size: int) -> int:
        """Bytes of activations alive at once for one input of `size`, as `positions` takes it."""
        counted = self.meta_model.activation_bytes(size) if self.meta_model else None
        if counted is None:
            counted = TENSORS_PER_LAYER * 4 * max(self.widths) * positions(self.modality, size)
        return counted * self.itemsize // 4

    def input_bytes(self, size: int) -> int:
        """Bytes of what the model is given of one input of `size`."""
        return self.meta_model.input_bytes(size) if self.meta_model else 3 * 4 * size**2

    @property
    def _tower(self) -> TowerEntry:
        assert self.entry is not None
        return _tower_of(self.entry, self.modality)


def describe_backbone(name: str, modality: Modality, *, arithmetic: Arithmetic = "auto") -> BackboneSpec:
    """What is known of a backbone without its weights.

    Of a hub id that the registry lacks, the configuration is read, and for sounds that of its feature extractor, too.
    Raises `RefusedError` where there is no such model, it has no tower of that modality, or the hub would have to be
    asked and cannot be.
    """
    entry, folder = find_entry(name), local_folder(name)
    if entry is not None and entry.remote_code:
        _tower_of(entry, modality)
        return BackboneSpec(name, modality, entry, folder, None, arithmetic)
    with silenced():
        try:
            config, place, hub = _configuration(name, entry, folder)
        except RefusedError:
            raise
        except Exception as error:  # readers of configurations raise what they like
            raise RefusedError(f"{name} cannot be planned: {why_not_loaded(str(folder or name), error)}") from error
        meta_model = meta_model_of(config, modality, name, extractor=partial(_extractor, place, hub))
    return BackboneSpec(name, modality, entry, folder, meta_model, arithmetic)


def _tower_of(entry: BackboneEntry, modality: Modality) -> TowerEntry:
    """Frames of a video are pictures."""
    return entry.tower("image" if modality == "video" else modality)


def _configuration(name: str, entry: BackboneEntry | None, folder: Path | None) -> tuple[Any, str, dict[str, Any]]:
    """The model's configuration, where its other files are, and what their readers are told."""
    if folder is not None:
        return AutoConfig.from_pretrained(folder, **NO_PROGRAMS), str(folder), NO_PROGRAMS
    if entry is not None and entry.config:
        return AutoConfig.for_model(**entry.config), entry.hub_id, NO_PROGRAMS
    source = find_source(name)
    hub = pinned(source)
    return AutoConfig.from_pretrained(source.location, **hub), source.location, hub


def _extractor(place: str, hub: dict[str, Any]) -> Any:
    try:
        return AutoFeatureExtractor.from_pretrained(place, **hub)
    except (OSError, ValueError) as error:
        raise RefusedError(
            f"{place}: preprocessor_config.json is not there or not readable, and without it nobody knows what the "
            "model is given of a sound; download the model, or save its feature extractor there with `save_pretrained`"
        ) from error


def weight_files(folder: Path) -> list[Path]:
    """The files of a model folder that hold weights, safetensors before pickled ones of the same weights."""
    for suffix in WEIGHT_SUFFIXES:
        found = sorted(folder.glob(f"*{suffix}"))
        if found:
            return found
    return []
