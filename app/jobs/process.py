"""Start a job as a detached process of the shell, which needs neither the starter nor its terminal to go on; stop it.

Stopping asks by file, then by SIGTERM, then by SIGKILL; each step is told and written down.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import Literal

from filelock import FileLock
from pydantic import TypeAdapter, ValidationError

from app.jobs.queue import HELD
from app.jobs.trust import PROGRAMS, asks_for_programs
from app.jobs.work import STARTED
from iisan_core.config.schema import RunConfig
from iisan_core.errors import RefusedError
from iisan_core.files import read_json, write_json
from iisan_core.runs.job_folder import STOP_FILE, JobCard, JobFolder
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.status import State, Status, is_alive
from iisan_core.runs.workspace import Workspace

SHELL = (sys.executable, "-P", "-m", "app")
"""The shell, whatever the PATH says; `-P`: a folder named `app` where we happen to be is not ours."""

Action = Literal["asked", "terminated", "killed", "ended"]

PATIENCE_SECONDS = 10.0
"""Before the next, harder means."""

LOOK_SECONDS = 0.1

SENTENCES: dict[Action, str] = {
    "asked": "asked to stop; waiting for the end of its step",
    "terminated": "it has not answered; sent SIGTERM",
    "killed": "it has not answered to SIGTERM either; sent SIGKILL",
}
"""What each step of stopping says."""

FORCE: dict[Action, signal.Signals] = {"terminated": signal.SIGTERM, "killed": signal.SIGKILL}


def start(argv: Sequence[str], *, workspace: Workspace, device: str | None) -> JobFolder:
    """Start a verb of the shell as a detached job, in a new folder under `workspace.jobs`.

    `argv`: the verb and its arguments, such as `("extract", "workspace/datasets/mine", "--text", "minilm")`.
    `device`: `auto`, `cpu` or `cuda`, for which it waits as `queued`; None if it computes nothing.
    """
    card = JobCard(argv=tuple(argv), device=device, workspace=workspace.root.resolve(), folder=Path.cwd())
    folder = JobFolder.create_job(_free_place(workspace.jobs, argv), card=card)
    start_again(folder, options=(PROGRAMS,) if asks_for_programs(argv) else ())
    return folder


def start_run(config: RunConfig, path: Path, *, command: str) -> RunFolder:
    """Make the run folder `path` and train in a detached process; `command` is how one would type it.

    Raises `RefusedError` if `path` is taken. What the configuration names is checked by the process.
    """
    run = RunFolder.create(path, config=config.with_absolute_paths().refuse_unlearnable(), command=command)
    start_again(run)
    return run


def start_finish(run: RunFolder) -> int:
    """Close a run at its best epoch in a detached process; returns its pid.

    Raises `RefusedError` where there is no best epoch, or the run is at work.
    """
    if not (run.best / "model.safetensors").is_file():
        raise RefusedError(f"run {run.name} has no best epoch yet; resume it for an epoch at least")
    return start_again(run, verb="finish")


def start_again(folder: JobFolder, *, verb: str = "resume", options: Sequence[str] = ()) -> int:
    """Start or resume the job of an existing folder in a detached process; returns its pid.

    `options`: of the verb.

    Raises `RefusedError` if it is at work or waits for its turn already.
    """
    with FileLock(folder.path.with_name(f".{folder.name}.start.lock")):  # two tabs, one start
        before = folder.status()
        if before.active:
            raise RefusedError(f"{folder.path} is {before.state} already, as process {before.pid}; stop it first")
        folder.withdraw_stop()
        folder.forget_status()
        pid = spawn(verb, folder, output=folder.output, options=options)
        folder.announce(pid, before=before)
        return pid


def spawn(verb: str, folder: JobFolder, *, output: Path, options: Sequence[str] = ()) -> int:
    """Start a verb on a folder in a session of its own; what it prints is added to the file `output`."""
    place = str(folder.path.resolve())
    environment = {key: value for key, value in os.environ.items() if key != HELD} | {STARTED: place}
    with output.open("ab") as stream:
        process = subprocess.Popen(
            [*SHELL, verb, place, *options],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
        )
    # whoever starts a process must take note of its end, else a zombie stays as long as the starter
    threading.Thread(target=process.wait, name=f"wait for {process.pid}", daemon=True).start()
    return process.pid


def _free_place(jobs: Path, argv: Sequence[str]) -> Path:
    """`jobs/20260102-030405-extract`, or the next free place after it."""
    verb = re.sub(r"[^a-z0-9]+", "-", argv[0].lower()).strip("-")
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{verb}"
    names = chain([stem], (f"{stem}-{number}" for number in count(2)))
    return next(jobs / name for name in names if not (jobs / name).exists())


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
    try:
        return TypeAdapter(list[StopStage]).validate_python(read_json(path, what="stop file"))
    except (RefusedError, ValidationError):  # damaged: that somebody asked is all that counts
        return [StopStage("asked", 0.0, SENTENCES["asked"])]


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
