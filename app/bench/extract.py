"""Extraction against the bare backbone: the share of its forward throughput that reaches the cache."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import torch
from PIL import Image

from app.bench.measure import machine, seconds_of
from app.bench.random_work import BackboneSizes, random_backbones, random_texts
from iisan_core.backbones.base import Backbone, LoadedBatch
from iisan_core.cache.extract import extract
from iisan_core.cache.manifest import CacheSettings
from iisan_core.config.schema import Modality
from iisan_core.data.dataset import Dataset, DatasetCard
from iisan_core.training.device import choose_device

TOKENS = (6, 9, 12, 15, 18, 22, 30)
"""Lengths of made-up titles, both ends included."""


def bench_extract(
    modality: Modality, sizes: BackboneSizes, *, items: int = 256, batch_size: int = 64, device: str = "auto"
) -> dict[str, Any]:
    """Items per second of an extraction into a cache, and of the bare forward passes over the same batches.

    The backbone has random weights; seven layers (`even`) are kept. Both are run twice and the quicker time counts.
    """
    place = choose_device(device)
    backbone = random_backbones(sizes)[modality].to(place)
    with TemporaryDirectory() as folder:
        dataset = _catalogue(Path(folder), items, modality, sizes)
        runs = [partial(_extract, dataset, backbone, Path(folder) / str(n), batch_size) for n in range(2)]
        whole = min(seconds_of(run, place) for run in runs)
        batches = _loaded(dataset, backbone, sizes, batch_size)
        bare = min(seconds_of(partial(_forward, backbone, batches), place) for _ in range(2))
    return {
        "bench": "extract",
        "modality": modality,
        "items": items,
        "extraction_s": whole,
        "bare_forward_s": bare,
        "items_per_s": items / whole,
        "share_of_bare_throughput": bare / whole,
        "layers": backbone.n_layers,
        "width": backbone.widths[-1],
        "batch_size": batch_size,
        **machine(place),
    }


def _extract(dataset: Dataset, backbone: Backbone, folder: Path, batch_size: int) -> None:
    for _ in extract(dataset, backbone, CacheSettings(layers="even"), folder=folder, batch_size=batch_size):
        pass


def _loaded(dataset: Dataset, backbone: Backbone, sizes: BackboneSizes, batch_size: int) -> list[LoadedBatch]:
    given = dataset.texts() if backbone.modality == "text" else dataset.image_paths()
    size = sizes.tokens if backbone.modality == "text" else None
    return [batch.load() for batch in backbone.batches(given, batch_size=batch_size, size=size)]


@torch.inference_mode()
def _forward(backbone: Backbone, batches: Iterable[LoadedBatch]) -> None:
    """The network alone, nothing kept."""
    for batch in batches:
        backbone.model(**{name: tensor.to(backbone.device) for name, tensor in batch.tensors.items()})


def _catalogue(folder: Path, items: int, modality: Modality, sizes: BackboneSizes) -> Dataset:
    titles = random_texts(items, tokens=[min(t, sizes.tokens) for t in TOKENS])
    names = [f"{n}.png" if modality == "image" else None for n in range(items)]
    rng = np.random.default_rng(0)
    for name in filter(None, names):
        pixels = rng.integers(256, size=(sizes.image_size, sizes.image_size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    table = pl.DataFrame(
        {"item_id": [str(n) for n in range(items)], "title": titles, "image": names},
        schema={"item_id": pl.String, "title": pl.String, "image": pl.String},
    )
    card = DatasetCard(name="random", source="made for a benchmark", counts={})
    return Dataset(folder=folder, card=card, items=table, interactions=pl.DataFrame())
