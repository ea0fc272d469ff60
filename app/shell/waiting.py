"""What verbs that need a device share: whether to wait for it, and what to say meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated

import typer

from app.jobs.devices import device_key
from app.jobs.queue import turn
from app.shell.output import note
from iisan_core.cache.processes import ProcessGroup
from iisan_core.config.schema import DeviceChoice

NoWait = Annotated[bool, typer.Option("--no-wait", help="Refuse, instead of waiting, if the device is taken.")]


def told_that_it_waits(ahead: list[str]) -> None:
    """Say on stderr who is ahead in the queue of a device."""
    note(f"queued behind {', '.join(ahead)}; starts by itself (Ctrl-C or `iisan stop` leaves the queue)")


@contextmanager
def on_turn(device: DeviceChoice, *, who: str, wait: bool = True) -> Iterator[None]:
    """Within the block this process has `device` for itself, and each that torchrun started with it has its own.

    They take them one after the other, so that of two such groups one waits for the other, never each for the other.
    The processes of one machine share its processor, which the first of them takes.
    """
    processes, key = ProcessGroup.here(), device_key(device)
    shared = key == "cpu" and os.environ.get("LOCAL_RANK", "0") != "0"
    with ExitStack() as held:
        for rank in range(processes.count):
            if rank == processes.rank and not shared:
                held.enter_context(turn(key, who=who, wait=wait, on_wait=told_that_it_waits))
            processes.wait()
        yield
