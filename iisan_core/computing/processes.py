"""Processes that work together, as `torchrun` starts them: who takes what, and what all of them know."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from iisan_core.errors import IisanError

PATIENCE = timedelta(days=30)
"""How long one waits for the others, who may have more to do. A process that ended is noticed at once."""


@dataclass(frozen=True)
class ProcessGroup:
    """This process among those of one extraction or training; all read the same folders."""

    rank: int = 0
    count: int = 1
    group: Any = None
    """Process group of torch, on the CPU; None for a process alone."""

    @classmethod
    @cache
    def here(cls) -> ProcessGroup:
        """The processes that `torchrun` started with this one, or this one alone.

        A device that accelerate chose has joined them already, else they join here.
        """
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return ALONE
        if not dist.is_initialized():
            dist.init_process_group("gloo", timeout=PATIENCE)
        # A group of its own: GPUs talk over another, which gives up after minutes.
        group = dist.new_group(backend="gloo", timeout=PATIENCE)
        atexit.register(_leave)
        return cls(dist.get_rank(), dist.get_world_size(), group)

    @property
    def leads(self) -> bool:
        """Whether this process prepares the cache, finishes it, and speaks for all."""
        return self.rank == 0

    def share(self, shards: Sequence[int]) -> list[int]:
        """This process's share of the shards still to be written."""
        return list(shards[self.rank :: self.count])

    def part(self, size: int) -> slice:
        """This process's part of so many rows that stand one after the other."""
        return slice(size * self.rank // self.count, size * (self.rank + 1) // self.count)

    def wait(self) -> None:
        """Return when all processes have come here; raises `IisanError` where one of them has ended before."""
        if self.group is not None:
            with _together():
                dist.barrier(self.group)

    def agreed(self, fact: bool) -> bool:
        """What the first process says, when it has said so; raises `IisanError` where it has ended before."""
        if self.group is None:
            return fact
        said = torch.tensor(fact)
        with _together():
            dist.broadcast(said, src=0, group=self.group)
        return bool(said)

    def told(self, text: str) -> str:
        """What the first process says, in words; raises `IisanError` where it has ended before."""
        if self.group is None:
            return text
        said = torch.tensor(list(text.encode()), dtype=torch.uint8)
        length = torch.tensor(len(said))
        with _together():
            dist.broadcast(length, src=0, group=self.group)
            said = said if self.leads else torch.empty(int(length), dtype=torch.uint8)
            dist.broadcast(said, src=0, group=self.group)
        return bytes(said.tolist()).decode()

    def sum(self, values: Tensor) -> Tensor:
        """`values`, which become the sum of those of all processes, the same everywhere."""
        if self.group is not None:
            with _together():
                dist.all_reduce(values)
        return values

    def joined(self, own: Tensor, size: int) -> Tensor:
        """Rows [n, …] of every process's `part` of `size` → all rows [size, …], with gradients that go back to all."""
        return own if self.group is None else _Joined.apply(own, size, self)


class _Joined(torch.autograd.Function):
    """All rows from everybody's; a row's gradient is the sum of what it gets in all processes."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, size: int, processes: ProcessGroup) -> Tensor:
        ctx.processes, ctx.size = processes, size
        rows = own.new_zeros(size, *own.shape[1:])
        rows[processes.part(size)] = own
        return processes.sum(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        whole = ctx.processes.sum(gradients[0].clone())
        return whole[ctx.processes.part(ctx.size)], None, None


def _leave() -> None:
    """Close the connections before the interpreter goes: threads that still serve them would end it by an abort."""
    if dist.is_initialized():
        with suppress(RuntimeError):  # the others may be gone
            dist.destroy_process_group()


ALONE = ProcessGroup()


@contextmanager
def _together() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # what torch raises when a connection is gone
        raise IisanError(
            "another process of this work has ended before it was done, and says why; what is finished is kept, run "
            "the same again to go on (a training: `iisan resume`), with any number of processes"
        ) from error
