"""Every item once through a frozen backbone, into a hidden-state cache (method, section 1)."""

from __future__ import annotations

import platform
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import PIL
import tokenizers
import torch
import transformers
from torch import Tensor

from iisan_core.backbones import Backbone, Batch, LoadedBatch, choose_layers
from iisan_core.cache.growth import work_left
from iisan_core.cache.inputs import CatalogueInputs, inputs_of
from iisan_core.cache.lock import only_one
from iisan_core.cache.manifest import CacheManifest, CacheSettings
from iisan_core.cache.states import TORCH_DTYPES
from iisan_core.cache.writer import CacheWriter
from iisan_core.dataset import Dataset
from iisan_core.errors import IisanError

DEFAULT_PART_SIZE = 1024
READERS = 2
BATCHES_AHEAD = 4


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
    """Items computed by this extraction; 0 at the end means that all was there already."""


def cache_folder_for(dataset: Dataset, backbone: Backbone, settings: CacheSettings, *, folder: Path) -> Path:
    """The cache's place under `folder`; equal for equal dataset name, backbone revision and settings."""
    inputs = CatalogueInputs(["-"], [None], [None])  # the catalogue's content does not enter the name
    return folder / _plan(dataset.name, backbone, settings, inputs=inputs, part_size=1).folder_name


def extract(
    dataset: Dataset,
    backbone: Backbone,
    settings: CacheSettings,
    *,
    folder: Path,
    batch_size: int = 64,
    part_size: int = DEFAULT_PART_SIZE,
) -> Iterator[ExtractionProgress]:
    """Fill the cache of `dataset` under `folder`, one progress record per batch.

    A complete cache of the same inputs is left as it is; an unfinished one is resumed; to one that lacks items, or has
    them with another text or picture, only these are added. Unreadable inputs are noted by item and do not stop the
    work.

    Raises `RefusedError` for layers or a pooling that the backbone lacks and while another process extracts into the
    same cache, `IisanError` when states do not fit the stored number format or the disk is full.
    """
    start = time.perf_counter()
    inputs = inputs_of(dataset, backbone.modality, text_fields=settings.text_fields)
    plan = _plan(dataset.name, backbone, settings, inputs=inputs, part_size=part_size)
    place = folder / plan.folder_name
    total = plan.items
    computed = 0
    if work_left(place, plan, inputs).inputs.item_ids:
        with only_one(place):
            for computed, left in _complete(place, plan, inputs, backbone, batch_size=batch_size):
                if left:
                    yield ExtractionProgress(place, total - left, total, time.perf_counter() - start, computed)
    yield ExtractionProgress(place, total, total, time.perf_counter() - start, computed)


def states_of(
    inputs: CatalogueInputs, backbone: Backbone, plan: CacheManifest, *, batch_size: int = 64
) -> tuple[Tensor, dict[int, str]]:
    """What an extraction under `plan` would store of `inputs`: states [n, ΣD] in the stored dtype, and problems.

    Rows without an input and rows with a problem (row → why it could not be read) hold zeros. Raises `IisanError` for
    states that do not fit the stored dtype.
    """
    size = plan.max_tokens if backbone.modality == "text" else plan.image_size
    places = [row for row, value in enumerate(inputs.values) if value is not None]
    given = [inputs.values[row] for row in places]
    rows = _PartRows(plan, range(len(inputs.values)), device=backbone.device)
    for batch in backbone.batches(given, batch_size=batch_size, size=size):
        task = _Task(0, [places[position] for position in batch.positions], batch, len(batch.positions), False)
        rows.add(task, batch.load(), backbone)
    return rows.checked(inputs), rows.problems


def _complete(
    place: Path, plan: CacheManifest, inputs: CatalogueInputs, backbone: Backbone, *, batch_size: int
) -> Iterator[tuple[int, int]]:
    """Compute what the cache lacks; yields how many items were computed and how many are left, batch by batch."""
    work = work_left(place, plan, inputs)
    if not work.inputs.item_ids:  # another process has just finished
        return
    writer = CacheWriter(place, work.plan)
    computed, left = 0, sum(len(writer.rows(part)) for part in writer.unfinished)
    for count in _fill(writer, backbone, work.inputs, batch_size=batch_size):
        computed, left = computed + count, left - count
        yield computed, left
    writer.finish(work.inputs)


def _plan(
    dataset_name: str, backbone: Backbone, settings: CacheSettings, *, inputs: CatalogueInputs, part_size: int
) -> CacheManifest:
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


@dataclass(frozen=True)
class _Task:
    """A batch of one part; a part without any input still has one task, with an empty batch."""

    part: int
    rows: list[int]
    """Cache row of each of the batch's positions."""
    batch: Batch
    items: int
    """Items of the part that are settled when this task is done, those without input included."""
    ends_part: bool


def _fill(writer: CacheWriter, backbone: Backbone, inputs: CatalogueInputs, *, batch_size: int) -> Iterator[int]:
    """Compute and write the unfinished parts; yields the number of items done, batch by batch."""
    size = writer.plan.max_tokens if backbone.modality == "text" else writer.plan.image_size
    tasks = _tasks(writer, backbone, inputs, batch_size=batch_size, size=size)
    rows: _PartRows | None = None
    for task, loaded in _loaded_ahead(tasks):
        if rows is None:
            rows = _PartRows(writer.plan, writer.rows(task.part), device=backbone.device)
        rows.add(task, loaded, backbone)
        if task.ends_part:
            writer.write(task.part, rows.checked(inputs), rows.problems)
            rows = None
        yield task.items


def _tasks(
    writer: CacheWriter, backbone: Backbone, inputs: CatalogueInputs, *, batch_size: int, size: int | None
) -> Iterator[_Task]:
    nothing = Batch([], lambda: LoadedBatch([], {}))
    for part in writer.unfinished:
        rows = [row for row in writer.rows(part) if inputs.values[row] is not None]
        given = [inputs.values[row] for row in rows]
        batches = list(backbone.batches(given, batch_size=batch_size, size=size)) or [nothing]
        without_input = len(writer.rows(part)) - len(rows)
        for batch in batches:
            ends = batch is batches[-1]
            items = len(batch.positions) + (without_input if ends else 0)
            yield _Task(part, [rows[position] for position in batch.positions], batch, items, ends)


def _loaded_ahead(tasks: Iterator[_Task]) -> Iterator[tuple[_Task, LoadedBatch]]:
    """Read inputs in threads, a few batches ahead, so that the model never waits for a file."""
    waiting: deque[tuple[_Task, Future[LoadedBatch]]] = deque()
    readers = ThreadPoolExecutor(READERS)
    try:
        for task in tasks:
            waiting.append((task, readers.submit(task.batch.load)))
            if len(waiting) > BATCHES_AHEAD:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        readers.shutdown(cancel_futures=True)


class _PartRows:
    """The rows of one part on their way to the disk; zeros until computed."""

    def __init__(self, plan: CacheManifest, rows: range, *, device: torch.device) -> None:
        self.plan = plan
        self.rows = rows
        self.states = torch.zeros(len(rows), plan.row_width, dtype=TORCH_DTYPES[plan.dtype], device=device)
        self.problems: dict[int, str] = {}

    def add(self, task: _Task, loaded: LoadedBatch, backbone: Backbone) -> None:
        row_of = dict(zip(task.batch.positions, task.rows, strict=True))
        self.problems |= {row_of[position]: problem for position, problem in loaded.problems.items()}
        if loaded.tensors:
            pooled = backbone.encode(loaded.tensors, layers=self.plan.layers, pooling=self.plan.pooling)
            local = [row_of[position] - self.rows.start for position in loaded.positions]
            self.states[torch.tensor(local, device=self.states.device)] = pooled.to(self.states.dtype)

    def checked(self, inputs: CatalogueInputs) -> Tensor:
        """The rows; raises `IisanError` if a number is not finite, which the model or the number format may cause."""
        finite = self.states.isfinite()
        if not finite.all():
            row, column = (~finite).nonzero()[0].tolist()
            ends = torch.tensor(self.plan.widths).cumsum(0)
            layer = self.plan.layers[int((ends <= column).sum())]
            raise IisanError(
                f"item {inputs.item_ids[self.rows[row]]!r}: layer {layer} has a state that is not finite in "
                f"{self.plan.dtype} (at most {torch.finfo(self.states.dtype).max:.3g}); choose dtype bfloat16 or "
                "float32 for the cache, or compute in float32"
            )
        return self.states
