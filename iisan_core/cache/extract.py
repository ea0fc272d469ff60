"""Fill a dataset's cache with the states of a backbone, alone or together with other processes."""

from __future__ import annotations

import platform
import sys
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

from iisan_core.backbones.base import Backbone, blind_pooling
from iisan_core.backbones.layers import choose_layers
from iisan_core.cache.fill import fill
from iisan_core.cache.given import checked_name
from iisan_core.cache.inputs import CatalogueInputs, inputs_of, sha256_of_fingerprints
from iisan_core.cache.manifest import MANIFEST, WITH_TEXT, CacheManifest, CacheSettings, read_manifest
from iisan_core.cache.store import HiddenStateCache
from iisan_core.cache.writer import CacheWriter, one_of_several, only_one
from iisan_core.computing.processes import ALONE, ProcessGroup
from iisan_core.data.dataset import Dataset
from iisan_core.files import sha256_of_texts

DEFAULT_SHARD_SIZE = 1024


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


def extract(
    dataset: Dataset,
    backbone: Backbone,
    settings: CacheSettings,
    *,
    folder: Path,
    batch_size: int = 64,
    shard_size: int = DEFAULT_SHARD_SIZE,
    processes: ProcessGroup = ALONE,
) -> Iterator[ExtractionProgress]:
    """Fill the cache of `dataset` under `folder`, one progress record per batch (method, sections 1 and 2).

    A complete cache of the same inputs is left as it is; an unfinished one is resumed; to one that lacks items, or has
    them with another text or picture, only these are added. Unreadable inputs are noted by item and do not stop the
    work. Nothing is done before the first record is asked for.

    Args:
        dataset: what the items are, and their texts, pictures, videos or sounds.
        backbone: the frozen model, on the device where it shall compute; see `load_backbone`.
        settings: which layers are kept, how they are pooled and stored, how inputs are cut.
        folder: where caches lie; this one gets a folder in it, `<modality>-<backbone>-<key>`.
        batch_size: items at once through the backbone; it changes time and memory, not what is kept.
        shard_size: rows that are written together, and at most lost where the work is killed.
        processes: those that work together on one folder and take a share of the shards each. The first one makes the
            cache ready and finishes it; where one is lost, its unfinished shard is.

    Returns: an iterator of progress; the last record names the cache, whose rows are [N, ΣD] in `settings.dtype`.

    Raises:
        RefusedError: for layers or a pooling that the backbone lacks, for a catalogue without such inputs, and while
            another extraction into the same cache goes on.
        IisanError: when states do not fit the stored number format, the disk is full, or another process of this
            extraction has ended.

    Example:
        >>> *_, last = extract(dataset, backbone, CacheSettings(layers="even"), folder=folder)
        >>> last.done == last.total == len(dataset.items)
        True
        >>> HiddenStateCache.open(last.folder).absent
        []
    """
    start = time.perf_counter()
    inputs = inputs_of(dataset, backbone.modality, text_fields=settings.text_fields)
    plan = plan_cache(dataset, backbone, settings, inputs=inputs, shard_size=shard_size)
    place = folder / plan.folder_name
    total = plan.items
    computed = 0
    # Only the first process looks: what it finds, it may begin to change before the others would have looked.
    seen = pending_rows(place, plan, inputs) if processes.leads else None
    if processes.agreed(seen is not None and bool(seen.inputs.item_ids)):
        with _owned(place, processes):
            steps = _complete(place, plan, inputs, seen, backbone, batch_size=batch_size, processes=processes)
            for computed, left in steps:
                if left:
                    yield ExtractionProgress(place, total - left, total, time.perf_counter() - start, computed)
    yield ExtractionProgress(place, total, total, time.perf_counter() - start, computed)


@contextmanager
def _owned(place: Path, processes: ProcessGroup) -> Iterator[None]:
    """Within the block, nothing else writes there; the first process locks for all, and opens last."""
    with only_one(place) if processes.leads else nullcontext():
        yield
        processes.wait()


def _complete(
    place: Path,
    plan: CacheManifest,
    inputs: CatalogueInputs,
    seen: PendingRows | None,
    backbone: Backbone,
    *,
    batch_size: int,
    processes: ProcessGroup,
) -> Iterator[tuple[int, int]]:
    """Compute what the cache lacks; yields how many items were computed and how many are left, batch by batch."""
    writer = None
    if processes.leads:
        pending = pending_rows(place, plan, inputs, seen=seen)
        if pending.inputs.item_ids:  # else another extraction has just finished
            writer = CacheWriter(place, pending.plan)
    if not processes.agreed(writer is not None):
        return
    with nullcontext() if processes.leads else one_of_several(place, processes.rank):
        if writer is None:
            pending = pending_rows(place, plan, inputs)
            writer = CacheWriter(place, pending.plan, joins=True)
        processes.wait()  # until all have read the journal, nobody adds to it
        todo, mine = writer.unfinished, processes.share(writer.unfinished)
        computed, left = 0, writer.count(todo)
        for count in fill(writer, mine, backbone, pending.inputs, batch_size=batch_size):
            computed += count
            elsewhere = writer.count(writer.journalled() & set(todo) - set(mine)) if processes.count > 1 else 0
            yield computed + elsewhere, left - computed - elsewhere
        processes.wait()
    if processes.leads:
        writer.finish(pending.inputs)
    yield left, 0


@dataclass(frozen=True)
class PendingRows:
    """Rows to write, and the manifest to be."""

    plan: CacheManifest
    """Its `shards` are those of the complete cache that is added to; none for a new cache."""
    inputs: CatalogueInputs
    """Of the rows to write; empty where the cache is up to date."""
    found: CacheManifest | None = None
    """That of the complete cache which was looked at."""


def pending_rows(
    folder: Path, plan: CacheManifest, inputs: CatalogueInputs, *, seen: PendingRows | None = None
) -> PendingRows:
    """What `folder` lacks of a catalogue, new and changed items; `plan` is the manifest of a new cache.

    A cache in which more rows would be superseded than count is made anew: the room is worth more than the time.
    `seen` is what an earlier look said of the same catalogue; it still holds if the cache has not changed since.
    """
    found = read_manifest(folder) if (folder / MANIFEST).is_file() else None
    if found is None or not found.complete:
        return PendingRows(plan, inputs)
    if seen is not None and seen.found == found:
        return seen
    cache = HiddenStateCache.open(folder)
    new = inputs.of(set(cache.changed_items(inputs)))
    rows = cache.item_ids + new.item_ids
    if len(rows) > 2 * len(set(rows)):
        return PendingRows(plan, inputs, found)
    changes = {
        "items": len(rows),
        "ids_sha256": sha256_of_texts(rows),
        "inputs_sha256": sha256_of_fingerprints(cache.fingerprints + new.fingerprints),
        "shards": cache.manifest.shards,
    }
    return PendingRows(plan.model_copy(update=changes), new, found)


def plan_cache(
    dataset: Dataset, backbone: Backbone, settings: CacheSettings, *, inputs: CatalogueInputs, shard_size: int
) -> CacheManifest:
    """The manifest of a new cache of `inputs`.

    Raises `RefusedError` for layers or a pooling that the backbone lacks or that tells no item from another, and
    for a modality's name that is taken.
    """
    layers = choose_layers(settings.layers, backbone.n_layers)
    pooling = settings.pooling or backbone.default_pooling
    backbone.check(layers=layers, pooling=pooling)
    if pooling == "cls" and backbone.first_token_is_blind():
        raise blind_pooling(backbone.name)
    kind = backbone.modality
    backbone.check_size(settings.input_size(kind))
    return CacheManifest(
        dataset=dataset.name,
        dataset_folder=str(dataset.folder.resolve()),
        modality=checked_name(settings.modality or kind),
        kind=kind,
        backbone=backbone.name,
        revision=backbone.revision,
        compute_dtype=backbone.compute_dtype,
        pooling="mean" if pooling == "mean-all" else pooling,
        tokens="patches" if pooling == "mean" and any(backbone.tokens_apart) else None,
        reading=backbone.reading,
        prompt=backbone.prompt_of(settings.prompt) or None,
        layers=tuple(layers),
        widths=tuple(backbone.widths[layer] for layer in layers),
        dtype=backbone.stored_dtype if settings.dtype == "auto" else settings.dtype,
        text_fields=settings.text_fields if kind in WITH_TEXT else None,
        max_tokens=min(settings.max_tokens, backbone.longest_trained or sys.maxsize) if kind in WITH_TEXT else None,
        image_size=settings.image_size if kind == "image" else None,
        frames=settings.frames if kind == "video" else None,
        max_seconds=settings.max_seconds if kind == "audio" else None,
        items=len(inputs.item_ids),
        shard_size=shard_size,
        ids_sha256=inputs.ids_sha256,
        inputs_sha256=inputs.inputs_sha256,
        libraries=_libraries(),
    )


def _libraries() -> dict[str, str]:
    modules: tuple[Any, ...] = (torch, transformers, tokenizers, numpy, PIL)
    return {"python": platform.python_version()} | {m.__name__: str(m.__version__) for m in modules}
