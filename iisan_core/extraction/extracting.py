"""Fill a dataset's cache with the states of a backbone, alone or together with other processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from iisan_core.backbones import Backbone
from iisan_core.cache.growth import Work, work_left
from iisan_core.cache.inputs import CatalogueInputs, inputs_of
from iisan_core.cache.lock import one_of_several, only_one
from iisan_core.cache.manifest import CacheManifest, CacheSettings
from iisan_core.cache.writer import CacheWriter
from iisan_core.dataset import Dataset
from iisan_core.extraction.filling import fill
from iisan_core.extraction.planning import plan_cache
from iisan_core.extraction.ranks import ALONE, Ranks

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
