"""Stopping escalates as far as it must, says every step, and never hits a stranger."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from app.jobs.process import stop, stop_stages
from iisan_core.files import read_json, write_json

from .conftest import DEAF, SLEEP, is_there, state_is, until


def actions(folder, **options):
    return [stage.action for stage in stop(folder, **options)]


def test_a_job_that_listens_needs_only_to_be_asked(job, work):
    folder = job("one")
    work(folder, SLEEP)
    until(state_is(folder, "starting"))
    assert actions(folder) == ["asked", "ended"]
    assert folder.status().state == "stopped"
    assert [stage.action for stage in stop_stages(folder)] == ["asked", "ended"]


def test_a_job_that_does_not_look_gets_sigterm(job, work):
    folder = job("one")
    work(folder, "from app.jobs import work; work._looks_itself = lambda folder: True; time.sleep(60)")
    until(state_is(folder, "starting"))
    until(lambda: folder.status().heartbeat > folder.status().since + 0.5)
    assert actions(folder, patience=2.5) == ["asked", "terminated", "ended"]
    assert (folder.status().state, folder.status().message) == ("stopped", "stopped on request")


def test_a_deaf_job_is_killed_with_its_children(job, work):
    folder = job("one")
    work(folder, "child = subprocess.Popen(['sleep', '60']); print('child', child.pid, flush=True); " + DEAF)
    until(lambda: "deaf" in folder.log_tail())
    child = int(folder.log_tail()[0].split()[1])
    sentences = [stage.sentence for stage in stop(folder, patience=0.5)]
    assert [s.split(";")[0] for s in sentences[:3]] == [
        "asked to stop",
        "it has not answered",
        "it has not answered to SIGTERM either",
    ]
    assert sentences[-1].startswith("one is stopped after ")
    assert folder.status().message.startswith("killed on request")
    until(lambda: not is_there(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


def test_stages_are_told_before_they_are_waited_for(job, work):
    folder = job("one")
    work(folder, DEAF)
    until(lambda: "deaf" in folder.log_tail())
    stages = stop(folder, patience=0.3)
    assert next(stages).action == "asked"
    assert [stage.action for stage in stop_stages(folder)] == ["asked"]
    assert folder.status().active
    assert [stage.action for stage in stages] == ["terminated", "killed", "ended"]


def test_a_pid_that_belongs_to_another_program_by_now_is_left_alone(job):
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    folder = job("one")
    folder.write_status("running")
    path = folder.path / "status.json"
    write_json(path, read_json(path, what="status") | {"pid": stranger.pid, "pid_started": psutil.boot_time()})
    assert folder.status().state == "interrupted"
    assert actions(folder) == ["ended"]
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


@pytest.mark.parametrize("state", ["finished", "stopped", "failed"])
def test_what_has_ended_is_not_stopped_again(job, state):
    folder = job("one")
    folder.write_status(state)
    (stage,) = stop(folder)
    assert stage.sentence == f"one is {state}; there is nothing to stop"
    assert not folder.stop_asked()


def test_a_stop_file_left_by_hand_is_a_stage_too(job):
    folder = job("one")
    assert stop_stages(folder) == []
    folder.ask_to_stop()
    assert [stage.action for stage in stop_stages(folder)] == ["asked"]
