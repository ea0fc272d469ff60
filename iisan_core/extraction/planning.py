"""The manifest of a cache to be, from what the user asked for and what the backbone has."""

from __future__ import annotations

import platform
from typing import Any

import numpy
import PIL
import tokenizers
import torch
import transformers
from torch import nn

from iisan_core.backbones import Backbone, choose_layers
from iisan_core.cache.inputs import CatalogueInputs
from iisan_core.cache.manifest import CacheManifest, CacheSettings
from iisan_core.config import IDS, INTER
from iisan_core.dataset import Dataset
from iisan_core.errors import RefusedError


def plan_cache(
    dataset: Dataset, backbone: Backbone, settings: CacheSettings, *, inputs: CatalogueInputs, part_size: int
) -> CacheManifest:
    """The manifest of a new cache of `inputs`.

    Raises `RefusedError` for layers or a pooling that the backbone lacks, and for a modality's name that is taken.
    """
    layers = choose_layers(settings.layers, backbone.n_layers)
    pooling = settings.pooling or backbone.default_pooling
    backbone.check(layers=layers, pooling=pooling)
    kind = backbone.modality
    return CacheManifest(
        dataset=dataset.name,
        dataset_folder=str(dataset.folder.resolve()),
        modality=_called(settings.modality or kind),
        kind=kind,
        backbone=backbone.name,
        revision=backbone.revision,
        compute_dtype=backbone.compute_dtype,
        pooling=pooling,
        layers=tuple(layers),
        widths=tuple(backbone.widths[layer] for layer in layers),
        dtype=settings.dtype,
        text_fields=settings.text_fields if kind == "text" else None,
        max_tokens=settings.max_tokens if kind == "text" else None,
        image_size=settings.image_size if kind == "image" else None,
        frames=settings.frames if kind == "video" else None,
        max_seconds=settings.max_seconds if kind == "audio" else None,
        items=len(inputs.item_ids),
        part_size=part_size,
        ids_sha256=inputs.ids_sha256,
        inputs_sha256=inputs.inputs_sha256,
        libraries=_libraries(),
    )


def _called(modality: str) -> str:
    # Modalities name modules of the model.
    if modality in (INTER, IDS, "bias") or hasattr(nn.ModuleDict, modality):
        raise RefusedError(f"a modality cannot be called {modality!r}: that means something else; choose another name")
    return modality


def _libraries() -> dict[str, str]:
    modules: tuple[Any, ...] = (torch, transformers, tokenizers, numpy, PIL)
    return {"python": platform.python_version()} | {m.__name__: str(m.__version__) for m in modules}
