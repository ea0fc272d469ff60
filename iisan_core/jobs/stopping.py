"""Stop a job: ask by file, then SIGTERM, then SIGKILL, each step told and written down."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Literal

from iisan_core.files import read_json, write_json
from iisan_core.job_folder import STOP_FILE, JobFolder
from iisan_core.jobs.starting import spawn
from iisan_core.status import State, Status, is_alive

Action = Literal["asked", "terminated", "killed", "ended"]
PATIENCE_SECONDS = 10.0
LOOK_SECONDS = 0.1

SENTENCES: dict[Action, str] = {
    "asked": "asked to stop; waiting for the end of its step",
    "terminated": "it has not answered; sent SIGTERM",
    "killed": "it has not answered to SIGTERM either; sent SIGKILL",
}

FORCE: dict[Action, signal.Signals] = {"terminated": signal.SIGTERM, "killed": signal.SIGKILL}


@dataclass(frozen=True)
class StopStage:
    """One step of stopping a job."""

    action: Action
    seconds: float
    """Since it was asked."""
    sentence: str


def stop(folder: JobFolder, *, patience: float = PATIENCE_SECONDS) -> Iterator[StopStage]:
    """Stop a job in whatever phase it is, and say every step before it is waited for; the last one is `ended`.

    `patience`: seconds to wait after the stop file, and after SIGTERM. What a training has in its checkpoint is
    kept. Only the very process that wrote the status is signalled: a pid that belongs to another program by now is
    left alone. The steps stand in the stop file, too, so that others can show them (`stop_stages`).
    """
    asked = time.monotonic()
    status = folder.status()
    stages: list[StopStage] = []

    def stage(action: Action, sentence: str) -> StopStage:
        stages.append(StopStage(action, time.monotonic() - asked, sentence))
        write_json(folder.path / STOP_FILE, [asdict(each) for each in stages])
        return stages[-1]

    if not status.active:
        yield StopStage("ended", 0.0, f"{folder.name} is {status.state}; there is nothing to stop")
        return
    yield stage("asked", SENTENCES["asked"])
    for action, number in FORCE.items():
        if _gone(folder, within=patience):
            break
        _signal(folder.status(), number)
        yield stage(action, SENTENCES[action])
    _gone(folder, within=patience)
    state = _settled(folder)
    yield stage("ended", f"{folder.name} is {state} after {time.monotonic() - asked:.1f} s")


def stop_detached(folder: JobFolder) -> int:
    """Stop a job from a process of its own, so that nobody has to stay for it; returns that process's pid."""
    folder.ask_to_stop()
    return spawn("stop", folder, output=folder.path / "stop.log")


def stop_stages(folder: JobFolder) -> list[StopStage]:
    """How far the stopping of a job has come; none while nobody has asked, one where only the stop file was left."""
    path = folder.path / STOP_FILE
    if not path.exists():
        return []
    if not path.stat().st_size:
        return [StopStage("asked", time.time() - path.stat().st_mtime, SENTENCES["asked"])]
    return [StopStage(**record) for record in read_json(path, what="stop file")]


def _gone(folder: JobFolder, *, within: float) -> bool:
    """Whether the job's process ends within so many seconds."""
    until = time.monotonic() + within
    while folder.status().active:
        if time.monotonic() > until:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def _signal(status: Status, number: signal.Signals) -> None:
    """Signal the process that wrote `status`, with its children where it leads a session of its own."""
    if not (status.active and is_alive(status)):
        return
    with suppress(ProcessLookupError):
        if os.getsid(status.pid) == status.pid and number == signal.SIGKILL:
            os.killpg(status.pid, number)
        else:
            os.kill(status.pid, number)


def _settled(folder: JobFolder) -> State:
    """The state at the end; a job that had to be killed was stopped, not interrupted."""
    status = folder.status()
    if status.state == "interrupted":
        folder.close_status("stopped", message="killed on request; its last finished epoch is kept")
        return "stopped"
    return status.state
