"""What a backbone is before it is loaded: its shape, and the bytes of its weights, from its configuration alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoConfig

from iisan_core.backbones import BackboneEntry, Modality, find_entry, local_folder
from iisan_core.backbones.precision import Arithmetic, chosen_dtype
from iisan_core.backbones.quiet import quiet
from iisan_core.backbones.registry import TowerEntry
from iisan_core.backbones.skeleton import Skeleton, config_from, skeleton_of
from iisan_core.backbones.sources import find_source, pinned

WEIGHT_SUFFIXES = (".safetensors", ".bin")
TENSORS_PER_LAYER = 10
"""Activations of a layer's width that are alive at once, where they cannot be counted."""
PATCH = 14
"""Pixels: the side of a patch of large vision transformers."""


@dataclass(frozen=True)
class Encoder:
    """A backbone for one modality."""

    name: str
    modality: Modality
    entry: BackboneEntry | None
    folder: Path | None
    """Where its weights lie on this machine; None where they would be downloaded."""
    skeleton: Skeleton | None
    """None for a model with a program of its own: of that, only what the registry says is known."""
    arithmetic: Arithmetic = "auto"

    @property
    def widths(self) -> tuple[int, ...]:
        """D of each layer 0 … n."""
        return self.skeleton.widths if self.skeleton else self._tower.widths

    @property
    def parameters(self) -> int:
        """Of the whole model as it is loaded."""
        if self.skeleton:
            return self.skeleton.total_parameters
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
        head = self.skeleton.head_parameters if self.skeleton else 0
        size = getattr(torch, self.entry.stored).itemsize if self.entry else None
        if size is None:
            assert self.skeleton is not None
            size = self.skeleton.bytes_per_parameter
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
        return self.skeleton.image_size if self.skeleton else None

    def flops(self, size: int) -> int:
        """Floating-point operations for an item of `size` tokens or pixels."""
        if self.skeleton:
            return self.skeleton.flops(size)
        return 2 * self._tower.parameters * positions(self.modality, size)

    def activation_bytes(self, size: int) -> int:
        """Bytes of activations alive at once for an item of `size` tokens or pixels."""
        counted = self.skeleton.activation_bytes(size) if self.skeleton else None
        if counted is None:
            counted = TENSORS_PER_LAYER * 4 * max(self.widths) * positions(self.modality, size)
        return counted * self.itemsize // 4

    @property
    def _tower(self) -> TowerEntry:
        assert self.entry is not None
        return self.entry.tower(self.modality)


def positions(modality: Modality, size: int) -> int:
    """How many vectors a layer has: tokens, or the usual patches of a picture of `size` pixels a side."""
    return (size // PATCH) ** 2 if modality == "image" else size


def describe_encoder(name: str, modality: Modality, *, arithmetic: Arithmetic = "auto") -> Encoder:
    """What is known of a backbone without its weights; of a hub id that the registry lacks, the configuration is read.

    Raises `RefusedError` where there is no such model, it has no tower of that modality, or the hub would have to be
    asked and cannot be.
    """
    entry, folder = find_entry(name), local_folder(name)
    if entry is not None and entry.remote_code:
        entry.tower(modality)
        return Encoder(name, modality, entry, folder, None, arithmetic)
    with quiet():
        if folder is not None:
            config = AutoConfig.from_pretrained(folder)
        elif entry is not None and entry.config:
            config = config_from(entry.config)
        else:
            source = find_source(name)
            config = AutoConfig.from_pretrained(source.location, **pinned(source))
        return Encoder(name, modality, entry, folder, skeleton_of(config, modality, name), arithmetic)


def weight_files(folder: Path) -> list[Path]:
    """The files of a model folder that hold weights, safetensors before pickled ones of the same weights."""
    for suffix in WEIGHT_SUFFIXES:
        found = sorted(folder.glob(f"*{suffix}"))
        if found:
            return found
    return []
