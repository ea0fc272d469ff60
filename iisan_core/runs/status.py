"""`status.json`: how a piece of work stands, and whether the process that says so still lives."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import psutil
from pydantic import Field

from iisan_core.config.schema import Strict

State = Literal["queued", "starting", "running", "finished", "stopped", "failed", "interrupted"]

ACTIVE: tuple[State, ...] = ("queued", "starting", "running")
"""States in which a process is at work, or waits for its device."""

CLOCK_TOLERANCE = 2.0
"""Seconds by which a process's start time may seem to move when the clock is set."""


MOST = 2**63 - 1
"""What counts can reach: beyond it no table holds them."""

Moment: TypeAlias = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]
"""Seconds since 1970, up to some thousand years from now."""


class Steps(Strict):
    """How far a job is with what it does at the moment."""

    doing: str
    done: int = Field(ge=0, le=MOST)
    total: int = Field(ge=0, le=MOST)


class Status(Strict):
    """`status.json`: who works, and how far it has come."""

    state: State
    pid: int = Field(ge=0, le=2**31 - 1)
    pid_started: Moment
    """Creation time of the process: a pid alone may belong to another program by now."""
    heartbeat: Moment
    """When the process last gave a sign of life, in seconds since 1970."""
    since: Moment = 0.0
    """When this state began, in seconds since 1970."""
    epoch: int = Field(0, ge=0, le=MOST)
    epochs: int = Field(0, ge=0, le=MOST)
    message: str = ""
    device: str = ""
    steps: Steps | None = None
    memory_bytes: int = Field(0, ge=0, le=MOST)
    """Resident memory of the process at its last sign of life."""
    gpu_memory_bytes: int = Field(0, ge=0, le=MOST)
    """The most that was allocated on the GPU."""
    oom_kills: int = Field(0, ge=0, le=MOST)
    """Processes that the kernel had ended for lack of memory, on this machine, at the last sign of life."""

    @property
    def active(self) -> bool:
        """Whether a process is at work or waits."""
        return self.state in ACTIVE


def is_alive(status: Status) -> bool:
    """Whether the very process that wrote `status` is still there; a zombie is not."""
    if status.pid < 1:  # no process's own: signals to it would reach a whole group
        return False
    try:
        process = psutil.Process(status.pid)
        same = abs(process.create_time() - status.pid_started) < CLOCK_TOLERANCE
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def start_time(pid: int) -> float:
    """Creation time of a process, in seconds since 1970; 0 if it is gone."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return 0.0


def oom_kills() -> int:
    """Processes that the kernel has ended for lack of memory since it started; 0 where it does not say."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def this_process() -> dict[str, Any]:
    """What every sign of life of this process says about it."""
    process = psutil.Process(os.getpid())
    return {
        "pid": process.pid,
        "pid_started": process.create_time(),
        "heartbeat": time.time(),
        "memory_bytes": process.memory_info().rss,
        "oom_kills": oom_kills(),
    }


def why_vanished(status: Status, *, less_memory: Callable[[], str]) -> str:
    """A sentence about a process that is gone and has not said why.

    `less_memory` says what to do where the kernel may have ended it for lack of memory.
    """
    killed = oom_kills() - status.oom_kills
    if killed > 0:
        return (
            f"its process {status.pid} vanished, and since its last sign of life the kernel ended {killed} "
            f"process{'es' if killed > 1 else ''} for lack of memory, most likely this one; {less_memory()}"
        )
    return f"its process {status.pid} vanished without a word: killed, or the machine went down"
