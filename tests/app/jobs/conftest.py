"""Real processes that do a job: whatever a test gives them as a piece of program."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from iisan_core.runs.job_folder import JobCard, JobFolder
from iisan_core.runs.workspace import Workspace

WORKER = """
import os, signal, subprocess, sys, time
from app.jobs.work import at_work, report_steps
from app.jobs.listing import open_folder
folder = open_folder(sys.argv[1])
with at_work(folder, device=sys.argv[2] or None):
    exec(sys.argv[3])
"""
SLEEP = "time.sleep(60)"
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An empty workspace with queues of its own."""
    monkeypatch.setenv("IISAN_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("IISAN_RUNTIME", str(tmp_path / "runtime"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return Workspace.default()


@pytest.fixture
def job(workspace: Workspace) -> Callable[[str], JobFolder]:
    """Make a job folder of a name."""

    def make(name: str) -> JobFolder:
        card = JobCard(argv=("data", "stats", "nowhere"), device="cpu", workspace=workspace.root, folder=Path.cwd())
        return JobFolder.create_job(workspace.jobs / name, card=card)

    return make


Work = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def work() -> Iterator[Work]:
    """Start a process that does a job by a piece of program; whatever is left of it ends with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(folder: JobFolder, program: str, *, device: str = "") -> subprocess.Popen[bytes]:
        with folder.output.open("ab") as output:
            command = [sys.executable, "-c", WORKER, str(folder.path), device, program]
            started.append(subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def until(true: Callable[[], bool], *, within: float = 90.0) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def state_is(folder: JobFolder, *states: str) -> Callable[[], bool]:
    return lambda: (folder.path / "status.json").exists() and folder.status().state in states


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
