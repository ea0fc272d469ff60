"""`iisan jobs`, `stop` and `resume` on prepared folders; with real processes in tests/iisan_core/jobs."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.jobs.queue import HELD, turn
from iisan_core.files import write_text
from iisan_core.runs.job_folder import JobCard, JobFolder
from iisan_core.runs.status import Steps


@pytest.fixture
def job(workspace: Path, tmp_path: Path) -> Callable[..., JobFolder]:
    def make(name: str, *argv: str, device: str | None = None) -> JobFolder:
        card = JobCard(argv=argv or ("data", "stats", "nowhere"), device=device, workspace=workspace, folder=tmp_path)
        return JobFolder.create_job(workspace / "jobs" / name, card=card)

    return make


def test_jobs_lists_what_is_at_work_and_on_request_everything(
    shell: Callable[..., Any], job: Callable[..., JobFolder], workspace: Path
) -> None:
    assert "nothing is at work" in shell("jobs").err
    job("going").write_status("running", steps=Steps(doing="text states", done=3, total=9))
    job("gone").write_status("finished")
    write_text(workspace / "jobs" / "torn" / "job.json", "{}")
    write_text(workspace / "jobs" / "torn" / "status.json", "{")
    listed = {each["job"]: each for each in json.loads(shell("jobs", "--json").out)}
    assert set(listed) == {"going", "torn"}
    assert (listed["going"]["state"], listed["going"]["at"]) == ("running", "text states 3 of 9")
    assert listed["torn"]["state"] == "broken"
    assert "gone" in shell("jobs", "--all").out


def test_stop_tells_every_step(
    shell: Callable[..., Any], job: Callable[..., JobFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = job("deaf")
    folder.write_status("running")
    sent: list[int] = []

    def kill(pid: int, number: int) -> None:
        assert pid == os.getpid()
        sent.append(number)
        if number == signal.SIGKILL:
            folder.write_status("stopped")

    monkeypatch.setattr("os.kill", kill)
    monkeypatch.setattr("os.killpg", kill)
    outcome = shell("stop", folder.path, "--patience", 0.1)
    assert outcome.code == 0
    assert [line.split(";")[0].strip() for line in outcome.err.splitlines()[:3]] == [
        "deaf: asked to stop",
        "deaf: it has not answered",
        "deaf: it has not answered to SIGTERM either",
    ]
    assert sent == [signal.SIGTERM, signal.SIGKILL]
    assert "there is nothing to stop" in shell("stop", folder.path).err


def test_resume_does_a_job_in_its_own_workspace_and_folder(
    shell: Callable[..., Any], job: Callable[..., JobFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    folder = job("one")
    outcome = shell("resume", folder.path)
    assert outcome.code == 2
    assert "no dataset folder at nowhere" in outcome.err
    assert folder.status().state == "failed"
    assert Path.cwd() == tmp_path


def test_a_verb_that_is_used_wrongly_fails_the_job(
    shell: Callable[..., Any], job: Callable[..., JobFolder], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = job("one", "data", "fly")
    assert shell("resume", folder.path).code == 2
    assert folder.status().state == "failed"
    assert "fly" in folder.status().message


def test_resume_refuses_to_wait_if_told_so(
    shell: Callable[..., Any], job: Callable[..., JobFolder], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = job("one", device="cpu")
    with turn("cpu", who="somebody"), monkeypatch.context() as elsewhere:
        elsewhere.delenv(HELD)  # as another process sees it
        outcome = shell("resume", folder.path, "--no-wait")
    assert outcome.code == 2
    assert "device cpu is taken by somebody" in outcome.err
