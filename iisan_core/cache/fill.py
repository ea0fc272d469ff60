"""The rows of a cache, shard by shard: inputs read ahead in threads, pooled states checked before they are stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from iisan_core.backbones.base import Backbone, Batch, LoadedBatch
from iisan_core.backbones.probes import FAILURES
from iisan_core.cache.inputs import CatalogueInputs
from iisan_core.cache.manifest import CacheManifest
from iisan_core.cache.prefetch import ahead
from iisan_core.cache.rows import TORCH_DTYPES
from iisan_core.cache.writer import CacheWriter
from iisan_core.computing.threads import SuitableThreads
from iisan_core.errors import IisanError, first_sentence

READERS = 2

BATCHES_AHEAD = 4


def states_of(
    inputs: CatalogueInputs, backbone: Backbone, plan: CacheManifest, *, batch_size: int = 64
) -> tuple[Tensor, dict[int, str]]:
    """What an extraction under `plan` would store of `inputs`: states [n, ΣD] in the stored dtype, and problems.

    Rows without an input and rows with a problem (row → why it could not be read) hold zeros. Raises `IisanError` for
    states that do not fit the stored dtype.
    """
    places = [row for row, value in enumerate(inputs.values) if value is not None]
    given = [inputs.values[row] for row in places]
    rows = _ShardRows(plan, range(len(inputs.values)), device=backbone.device)
    for batch in backbone.batches(given, batch_size=batch_size, size=plan.input_size, prompt=plan.prompt or ""):
        task = _Task(0, [places[position] for position in batch.positions], batch, len(batch.positions), False)
        rows.add(task, batch.load(), backbone)
    return rows.checked(inputs), rows.problems


@dataclass(frozen=True)
class _Task:
    """A batch of one shard; a shard without any input still has one task, with an empty batch."""

    shard: int
    rows: list[int]
    """Cache row of each of the batch's positions."""
    batch: Batch
    items: int
    """Items of the shard that are settled when this task is done, those without input included."""
    ends_shard: bool


def fill(
    writer: CacheWriter, shards: Sequence[int], backbone: Backbone, inputs: CatalogueInputs, *, batch_size: int
) -> Iterator[int]:
    """Compute and write unfinished shards; yields the number of items done, batch by batch."""
    rows: _ShardRows | None = None
    tasks = _tasks(writer, shards, backbone, inputs, batch_size=batch_size)
    with SuitableThreads.on(backbone.device) as threads:  # they change how long it takes, not the states
        for task, loaded in ahead(tasks, lambda task: task.batch.load(), count=BATCHES_AHEAD, threads=READERS):
            if rows is None:
                rows = _ShardRows(writer.plan, writer.rows(task.shard), device=backbone.device)
            with threads.step(work=max(1, sum(tensor.numel() for tensor in loaded.tensors.values()))):
                rows.add(task, loaded, backbone)
            if task.ends_shard:
                writer.write(task.shard, rows.checked(inputs), rows.problems)
                rows = None
            yield task.items


def _tasks(
    writer: CacheWriter, shards: Sequence[int], backbone: Backbone, inputs: CatalogueInputs, *, batch_size: int
) -> Iterator[_Task]:
    nothing = Batch([], lambda: LoadedBatch([], {}))
    for shard in shards:
        rows = [row for row in writer.rows(shard) if inputs.values[row] is not None]
        given = [inputs.values[row] for row in rows]
        plan = writer.plan
        planned = backbone.batches(given, batch_size=batch_size, size=plan.input_size, prompt=plan.prompt or "")
        batches = list(planned) or [nothing]
        without_input = len(writer.rows(shard)) - len(rows)
        for batch in batches:
            ends = batch is batches[-1]
            items = len(batch.positions) + (without_input if ends else 0)
            yield _Task(shard, [rows[position] for position in batch.positions], batch, items, ends)


class _ShardRows:
    """The rows of one shard on their way to the disk; zeros until computed."""

    def __init__(self, plan: CacheManifest, rows: range, *, device: torch.device) -> None:
        self.plan = plan
        self.rows = rows
        self.states = torch.zeros(len(rows), plan.row_width, dtype=TORCH_DTYPES[plan.dtype], device=device)
        self.problems: dict[int, str] = {}

    def add(self, task: _Task, loaded: LoadedBatch, backbone: Backbone) -> None:
        row_of = dict(zip(task.batch.positions, task.rows, strict=True))
        self.problems |= {row_of[position]: problem for position, problem in loaded.problems.items()}
        if loaded.tensors:
            pooled = self._encoded(loaded, backbone)
            local = [row_of[position] - self.rows.start for position in loaded.positions]
            self.states[torch.tensor(local, device=self.states.device)] = pooled.to(self.states.dtype)

    def _encoded(self, loaded: LoadedBatch, backbone: Backbone) -> Tensor:
        try:
            return backbone.encode(loaded.tensors, layers=self.plan.layers, pooling=self.plan.reduction)
        except FAILURES as error:
            if "memory" in str(error).lower():  # is told apart, and named, by whoever runs this
                raise
            raise IisanError(
                f"{backbone.name} cannot compute some of these {self.plan.input_called}s, which may be too short, too "
                f"long or too small for it ({first_sentence(error)}); choose other settings or another backbone"
            ) from error

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
