"""The manifest of a cache to be, from what the user asked for and what the backbone has."""

from __future__ import annotations

import platform
from typing import Any

import numpy
import PIL
import tokenizers
import torch
import transformers

from iisan_core.backbones import Backbone, choose_layers
from iisan_core.cache.inputs import CatalogueInputs
from iisan_core.cache.manifest import CacheManifest, CacheSettings


def plan_cache(
    dataset_name: str, backbone: Backbone, settings: CacheSettings, *, inputs: CatalogueInputs, part_size: int
) -> CacheManifest:
    """The manifest of a new cache of `inputs`.

    Raises `RefusedError` for layers or a pooling that the backbone lacks.
    """
    layers = choose_layers(settings.layers, backbone.n_layers)
    pooling = settings.pooling or backbone.default_pooling
    backbone.check(layers=layers, pooling=pooling)
    of_text = backbone.modality == "text"
    return CacheManifest(
        dataset=dataset_name,
        modality=backbone.modality,
        backbone=backbone.name,
        revision=backbone.revision,
        compute_dtype=backbone.compute_dtype,
        pooling=pooling,
        layers=tuple(layers),
        widths=tuple(backbone.widths[layer] for layer in layers),
        dtype=settings.dtype,
        text_fields=settings.text_fields if of_text else None,
        max_tokens=settings.max_tokens if of_text else None,
        image_size=None if of_text else settings.image_size,
        items=len(inputs.item_ids),
        part_size=part_size,
        ids_sha256=inputs.ids_sha256,
        inputs_sha256=inputs.inputs_sha256,
        libraries=_libraries(),
    )


def _libraries() -> dict[str, str]:
    modules: tuple[Any, ...] = (torch, transformers, tokenizers, numpy, PIL)
    return {"python": platform.python_version()} | {m.__name__: str(m.__version__) for m in modules}
