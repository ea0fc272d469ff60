"""Fill a dataset's cache with the states of a backbone, alone or together with other processes.

What is left to extract when a catalogue has grown or changed: the new and changed items, and nothing else.

The manifest of a cache to be, from what the user asked for and what the backbone has.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import PIL
import tokenizers
import torch
import transformers
from torch import nn

from iisan_core.backbones.base import Backbone
from iisan_core.backbones.layers import choose_layers
from iisan_core.cache.fill import fill
from iisan_core.cache.inputs import CatalogueInputs, inputs_of, sha256_of_fingerprints
from iisan_core.cache.lock import one_of_several, only_one
from iisan_core.cache.manifest import MANIFEST, CacheManifest, CacheSettings, read_manifest
from iisan_core.cache.processes import ALONE, Ranks
from iisan_core.cache.store import HiddenStateCache
from iisan_core.cache.writer import CacheWriter
from iisan_core.config.schema import IDS, INTER
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError
from iisan_core.files import sha256_of_texts


@dataclass(frozen=True)
class Work:
    """Rows to write, and the manifest to be."""

    plan: CacheManifest
    """Its `parts` are those of the complete cache that is added to; none for a new cache."""
    inputs: CatalogueInputs
    """Of the rows to write; empty where the cache is up to date."""
    found: CacheManifest | None = None
    """That of the complete cache which was looked at."""


def work_left(folder: Path, plan: CacheManifest, inputs: CatalogueInputs, *, seen: Work | None = None) -> Work:
    """What `folder` lacks of a catalogue; `plan` is the manifest of a new cache.

    A cache in which more rows would be superseded than count is made anew: the room is worth more than the time.
    `seen` is what an earlier look said of the same catalogue; it still holds if the cache has not changed since.
    """
    found = read_manifest(folder) if (folder / MANIFEST).is_file() else None
    if found is None or not found.complete:
        return Work(plan, inputs)
    if seen is not None and seen.found == found:
        return seen
    cache = HiddenStateCache.open(folder)
    new = inputs.of(set(cache.changed_items(inputs)))
    rows = cache.item_ids + new.item_ids
    if len(rows) > 2 * len(set(rows)):
        return Work(plan, inputs, found)
    changes = {
        "items": len(rows),
        "ids_sha256": sha256_of_texts(rows),
        "inputs_sha256": sha256_of_fingerprints(cache.fingerprints + new.fingerprints),
        "parts": cache.manifest.parts,
    }
    return Work(plan.model_copy(update=changes), new, found)


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


DEFAULT_PART_SIZE = 1024


@dataclass(frozen=True)
class ExtractionProgress:
    """How far an extraction is. The last record has `done == total`."""

    folder: Path
    """The cache."""
    done: int
    """Items whose rows are computed, those of earlier extractions included."""
    total: int
    seconds: float
    """Since this extraction started."""
    computed: int
    """Items computed by this extraction, all its processes together; 0 at the end: all was there already."""


def cache_folder_for(dataset: Dataset, backbone: Backbone, settings: CacheSettings, *, folder: Path) -> Path:
    """The cache's place under `folder`; equal for equal dataset name, backbone revision and settings."""
    inputs = CatalogueInputs(["-"], [None], [None])  # the catalogue's content does not enter the name
    return folder / plan_cache(dataset, backbone, settings, inputs=inputs, part_size=1).folder_name


def extract(
    dataset: Dataset,
    backbone: Backbone,
    settings: CacheSettings,
    *,
    folder: Path,
    batch_size: int = 64,
    part_size: int = DEFAULT_PART_SIZE,
    ranks: Ranks = ALONE,
) -> Iterator[ExtractionProgress]:
    """Fill the cache of `dataset` under `folder`, one progress record per batch.

    A complete cache of the same inputs is left as it is; an unfinished one is resumed; to one that lacks items, or has
    them with another text or picture, only these are added. Unreadable inputs are noted by item and do not stop the
    work. Several processes (`ranks`) with one folder take a share of the parts each: the first one makes the cache
    ready and finishes it, and where one is lost, its unfinished part is.

    Raises `RefusedError` for layers or a pooling that the backbone lacks and while another extraction into the same
    cache goes on, `IisanError` when states do not fit the stored number format, the disk is full, or another process
    of this extraction has ended.
    """
    start = time.perf_counter()
    inputs = inputs_of(dataset, backbone.modality, text_fields=settings.text_fields)
    plan = plan_cache(dataset, backbone, settings, inputs=inputs, part_size=part_size)
    place = folder / plan.folder_name
    total = plan.items
    computed = 0
    # Only the first process looks: what it finds, it may begin to change before the others would have looked.
    seen = work_left(place, plan, inputs) if ranks.leads else None
    if ranks.agreed(seen is not None and bool(seen.inputs.item_ids)):
        with _owned(place, ranks):
            for computed, left in _complete(place, plan, inputs, seen, backbone, batch_size=batch_size, ranks=ranks):
                if left:
                    yield ExtractionProgress(place, total - left, total, time.perf_counter() - start, computed)
    yield ExtractionProgress(place, total, total, time.perf_counter() - start, computed)


@contextmanager
def _owned(place: Path, ranks: Ranks) -> Iterator[None]:
    """Within the block, nothing else writes there; the first process locks for all, and opens last."""
    if ranks.leads:
        with only_one(place):
            yield
            ranks.wait()
    else:
        yield
        ranks.wait()


def _complete(
    place: Path,
    plan: CacheManifest,
    inputs: CatalogueInputs,
    seen: Work | None,
    backbone: Backbone,
    *,
    batch_size: int,
    ranks: Ranks,
) -> Iterator[tuple[int, int]]:
    """Compute what the cache lacks; yields how many items were computed and how many are left, batch by batch."""
    writer = None
    if ranks.leads:
        work = work_left(place, plan, inputs, seen=seen)
        if work.inputs.item_ids:  # else another extraction has just finished
            writer = CacheWriter(place, work.plan)
    if not ranks.agreed(writer is not None):
        return
    with nullcontext() if ranks.leads else one_of_several(place, ranks.rank):
        if writer is None:
            work = work_left(place, plan, inputs)
            writer = CacheWriter(place, work.plan, joins=True)
        ranks.wait()  # until all have read the journal, nobody adds to it
        todo, mine = writer.unfinished, ranks.share(writer.unfinished)
        computed, left = 0, writer.count(todo)
        for count in fill(writer, mine, backbone, work.inputs, batch_size=batch_size):
            computed += count
            elsewhere = writer.count(writer.journalled() & set(todo) - set(mine)) if ranks.count > 1 else 0
            yield computed + elsewhere, left - computed - elsewhere
        ranks.wait()
    if ranks.leads:
        writer.finish(work.inputs)
    yield left, 0
