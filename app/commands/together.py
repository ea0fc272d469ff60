"""A training by several processes: torchrun starts them, each takes its device, the first one speaks."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING
from uuid import uuid4

import psutil
import typer

from app.commands import console
from iisan_core.errors import IisanError
from iisan_core.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from iisan_core.computing.processes import ProcessGroup


def start(processes: int) -> None:
    """Do this same command in so many processes and end as they do; returns where one is enough, or they are here.

    Raises `IisanError` where one of them is lost.
    """
    if not leads():
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # a cluster sends it to all; the first one stops them together
    if processes == 1 or "WORLD_SIZE" in os.environ:
        return
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # what failed is said here, or was said there
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    alone = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.1,
    )
    try:
        # -P: `app` is ours, whatever lies in the current folder
        with _passing_on(signal.SIGUSR1):
            elastic_launch(alone, sys.executable)("-u", "-P", "-m", "app", *sys.argv[1:])
    except ChildFailedError as error:
        if any(f.exitcode in (128 + signal.SIGUSR1, -signal.SIGUSR1) for f in error.failures.values()):
            raise typer.Exit(128 + signal.SIGUSR1) from None  # it was asked to leave; the others ended by that
        rank, failure = error.get_first_failure()
        if failure.exitcode > 0:  # it has said why
            raise typer.Exit(failure.exitcode) from None
        raise IisanError(
            f"process {rank} of the {processes} that trained together has ended by signal {-failure.exitcode}; the "
            "last finished epoch is kept, go on with `iisan resume`"
        ) from None
    except SignalException as error:
        raise typer.Exit(128 + error.sigval) from None
    raise typer.Exit(0)


@contextmanager
def _passing_on(number: signal.Signals) -> Iterator[None]:
    """Within the block the signal goes on to the first of the processes that this one has started."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        for child in psutil.Process().children():
            with suppress(psutil.Error):
                if child.environ().get("RANK") == "0":
                    child.send_signal(number)

    before = signal.signal(number, pass_on)
    try:
        yield
    finally:
        signal.signal(number, before)


def leads() -> bool:
    """Whether this process speaks for all that train."""
    return os.environ.get("RANK", "0") == "0"


def here() -> ProcessGroup:
    """The processes that train together with this one."""
    from iisan_core.computing.processes import ProcessGroup

    return ProcessGroup.here()


@contextmanager
def on_turns(run: RunFolder, *, wait: bool) -> Iterator[None]:
    """Within the block this process does its part of the run's training, and has its device for itself."""
    from app.jobs.work import at_work

    device = run.config().training.device
    work = at_work(run, device=device, wait=wait, on_wait=console.told_that_it_waits)
    if "WORLD_SIZE" in os.environ:
        work = console.on_turn(device, who=run.name, wait=wait, first=work)
    with work:  # alone a run in the queue costs little: nothing has imported torch yet
        yield
