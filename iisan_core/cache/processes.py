"""The processes that work together, as `torchrun` starts them: each takes its own shards of what is to be made."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

import torch
import torch.distributed as dist

from iisan_core.errors import IisanError

PATIENCE = timedelta(days=30)
"""How long one waits for the others, who may have more to do. A process that ended is noticed at once."""


@dataclass(frozen=True)
class ProcessGroup:
    """This process among those of one work, such as an extraction; all read and write the same folder."""

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
        return cls(dist.get_rank(), dist.get_world_size(), group)

    @property
    def leads(self) -> bool:
        """Whether this process prepares the folder, finishes it, and speaks for all."""
        return self.rank == 0

    def share(self, shards: Sequence[int]) -> list[int]:
        """This process's share of the shards still to be written."""
        return list(shards[self.rank :: self.count])

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


ALONE = ProcessGroup()


@contextmanager
def _together() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # what torch raises when a connection is gone
        raise IisanError(
            "another process of this work has ended before its own was done, and says why; what is finished is "
            "kept, run the same again to go on, with any number of processes"
        ) from error
