"""Starting: detached, once, found again – and with the shell's own verbs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from app.jobs.process import start, start_again, start_run, stop
from app.jobs.queue import DeviceQueue, turn
from iisan_core.errors import RefusedError
from iisan_core.runs.job_folder import JobFolder

from .conftest import state_is, until


def test_a_job_runs_the_verb_and_keeps_what_it_printed(workspace):
    folder = start(["data", "stats", "nowhere"], workspace=workspace, device=None)
    assert folder.path.parent == workspace.jobs
    assert folder.name.endswith("-data")
    assert folder.command() == "iisan data stats nowhere"
    until(state_is(folder, "failed"))
    assert folder.status().message.startswith("no dataset folder at nowhere; ")
    until(lambda: any("no dataset folder" in line for line in folder.log_tail()))
    assert "Traceback" not in "\n".join(folder.log_tail())


def test_the_process_is_a_session_of_its_own_without_terminal(workspace):
    with turn("cpu", who="somebody"):
        folder = start(["data", "stats", "nowhere"], workspace=workspace, device="cpu")
        until(state_is(folder, "queued"))
        pid = folder.status().pid
        assert os.getsid(pid) == pid
        files = {n: str(Path(f"/proc/{pid}/fd/{n}").readlink()) for n in range(3)}
        assert files == {0: "/dev/null", 1: str(folder.output), 2: str(folder.output)}
    until(state_is(folder, "failed"))
    until(lambda: not psutil.pid_exists(pid))  # and no zombie is left


def test_the_queue_outlives_whoever_started_it(workspace):
    """kill -9 of the starter, while one job holds the device and another waits."""
    program = (
        "from app.jobs.process import start; from iisan_core.runs.workspace import Workspace; import time\n"
        "print(start(['data', 'stats', 'nowhere'], workspace=Workspace.default(), device='cpu').path, flush=True)\n"
        "time.sleep(60)"
    )
    with turn("cpu", who="somebody"):
        starter = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        folder = JobFolder.open(Path(starter.stdout.readline().strip()))
        until(state_is(folder, "queued"))
        starter.send_signal(signal.SIGKILL)
        starter.wait()
        starter.stdout.close()
        assert len(DeviceQueue("cpu").waiting()) == 2
    until(state_is(folder, "failed"))
    assert folder.status().message.startswith("no dataset folder at nowhere")


def test_two_starts_at_once_are_one(job, workspace):
    folder, outcomes = job("one"), []

    def attempt():
        try:
            outcomes.append(start_again(folder))
        except RefusedError as error:
            outcomes.append(str(error))

    with turn("cpu", who="somebody"):
        threads = [threading.Thread(target=attempt) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (pid,) = [outcome for outcome in outcomes if isinstance(outcome, int)]
        assert all("already, as process" in outcome for outcome in outcomes if outcome != pid)
        until(state_is(folder, "queued"))
        assert folder.status().pid == pid
        assert [stage.action for stage in stop(folder)] == ["asked", "ended"]
    assert folder.status().state == "stopped"


def test_a_process_that_spoke_first_is_not_overruled(job):
    folder = job("one")
    before = folder.status()
    folder.write_status("running", epoch=3)
    folder.announce(1, before=before)
    assert (folder.status().state, folder.status().pid) == ("running", os.getpid())
    assert not list(folder.path.glob(".*.tmp"))


def test_a_run_is_not_started_over_another(workspace, world):
    (workspace.runs / "run").mkdir(parents=True)
    (workspace.runs / "run" / "mine").touch()
    with pytest.raises(RefusedError, match="exists already"):
        start_run(world.config(), workspace.runs / "run", command="iisan train")


def test_two_jobs_in_one_second_have_folders_of_their_own(workspace):
    with turn("cpu", who="somebody"):
        folders = [start(["data", "stats", "x"], workspace=workspace, device="cpu") for _ in range(2)]
        assert folders[0].path != folders[1].path
        for folder in folders:  # while they start: nobody listens yet, and still they hear it
            assert [stage.action for stage in stop(folder)] == ["asked", "ended"]
    assert [folder.status().state for folder in folders] == ["stopped"] * 2
