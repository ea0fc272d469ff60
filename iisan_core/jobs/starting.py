"""Start a job as a detached process of the shell, which needs neither the starter nor its terminal to go on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from filelock import FileLock

from iisan_core.config import RunConfig
from iisan_core.errors import RefusedError
from iisan_core.job_folder import JobCard, JobFolder
from iisan_core.jobs.queue import HELD
from iisan_core.jobs.work import STARTED
from iisan_core.run_folder import RunFolder
from iisan_core.workspace import Workspace

SHELL = (sys.executable, "-P", "-m", "app.cli")
"""The shell, whatever the PATH says; `-P`: a folder named `app` where we happen to be is not ours."""


def start(argv: Sequence[str], *, workspace: Workspace, device: str | None) -> JobFolder:
    """Start a verb of the shell as a detached job, in a new folder under `workspace.jobs`.

    `argv`: the verb and its arguments, such as `("extract", "workspace/datasets/mine", "--text", "minilm")`.
    `device`: `auto`, `cpu` or `cuda`, for which it waits as `queued`; None if it computes nothing.
    """
    card = JobCard(argv=tuple(argv), device=device, workspace=workspace.root.resolve(), folder=Path.cwd())
    folder = JobFolder.create_job(_free_place(workspace.jobs, argv), card=card)
    start_again(folder)
    return folder


def start_run(config: RunConfig, path: Path, *, command: str) -> RunFolder:
    """Make the run folder `path` and train in a detached process; `command` is how one would type it.

    Raises `RefusedError` if `path` is taken. What the configuration names is checked by the process.
    """
    run = RunFolder.create(path, config=config.with_absolute_paths(), command=command)
    start_again(run)
    return run


def start_again(folder: JobFolder) -> int:
    """Start or resume the job of an existing folder in a detached process; returns its pid.

    Raises `RefusedError` if it is at work or waits for its turn already.
    """
    with FileLock(folder.path.with_name(f".{folder.name}.start.lock")):  # two tabs, one start
        before = folder.status()
        if before.active:
            raise RefusedError(f"{folder.path} is {before.state} already, as process {before.pid}; stop it first")
        folder.withdraw_stop()
        folder.forget_status()
        pid = spawn("resume", folder, output=folder.output)
        folder.announce(pid, before=before)
        return pid


def spawn(verb: str, folder: JobFolder, *, output: Path) -> int:
    """Start a verb on a folder in a session of its own; what it prints is added to the file `output`."""
    place = str(folder.path.resolve())
    environment = {key: value for key, value in os.environ.items() if key != HELD} | {STARTED: place}
    with output.open("ab") as stream:
        process = subprocess.Popen(
            [*SHELL, verb, place],
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
    names = [stem, *(f"{stem}-{number}" for number in range(2, 1000))]
    return next(jobs / name for name in names if not (jobs / name).exists())
