"""The jobs on every page: what is recent, what it is called, what the browser is told, stop and dismiss."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from app.jobs.listing import Listed
from app.jobs.words import how_far, share_of, title_of
from app.keeping.labels import labels_of
from app.ui import jobs_panel
from app.ui.jobs_panel import recent, told
from iisan_core.files import read_json, write_json
from iisan_core.runs.job_folder import JobCard, JobFolder
from iisan_core.runs.status import Status
from iisan_core.runs.workspace import Workspace

from .conftest import OpenPage, shown


def make_job(here: Workspace, name: str, *argv: str, state: Any = "finished", **values: Any) -> JobFolder:
    card = JobCard(argv=argv, device="cpu", workspace=here.root, folder=Path.cwd())
    job = JobFolder.create_job(here.jobs / name, card=card)
    job.write_status(state, **values)
    return job


@pytest.mark.parametrize(
    ("argv", "title"),
    [
        (("extract", "/w/datasets/shop", "--text", "minilm", "--image", "/b/vit", "--layers", "even"),
         "Extraction of shop with minilm and vit"),
        (("study", "ablation", "/w/datasets/shop", "--preset", "demo"), "Study ablation on shop"),
        (("demo",), "The demo world"),
        (("gradio", "/w/runs/one", "--port", "80"), "Demo of one"),
        (("plan", "/w/datasets/shop"), "plan shop"),
    ],
)  # fmt: skip
def test_jobs_have_readable_names(workspace: Path, argv: tuple[str, ...], title: str) -> None:
    here = Workspace(workspace)
    job = make_job(here, "one", *argv)
    assert title_of(Listed(job, job.status())) == title


def test_a_job_whose_card_is_broken_goes_by_its_folder(workspace: Path) -> None:
    job = make_job(Workspace(workspace), "one", "demo")
    (job.path / "job.json").write_text("{")
    assert title_of(Listed(job, job.status())) == "one"


@pytest.mark.parametrize(
    ("values", "share", "said"),
    [
        ({"state": "queued", "message": "waits for cpu"}, None, "waits for cpu"),
        ({"state": "starting"}, None, "getting ready"),
        ({"state": "running", "epoch": 3, "epochs": 12}, 0.25, "epoch 3 of 12"),
        ({"state": "running", "epoch": 3, "epochs": 12, "steps": {"doing": "epoch 4", "done": 1, "total": 2}},
         3.5 / 12, "epoch 4: 1 of 2"),
        ({"state": "running", "steps": {"doing": "text states", "done": 5, "total": 20}}, 0.25, "text states: 5 of 20"),
        ({"state": "finished", "epoch": 12, "epochs": 12}, 1.0, ""),
    ],
)  # fmt: skip
def test_how_far_a_job_is(values: dict[str, Any], share: float | None, said: str) -> None:
    status = Status.model_validate({"pid": 1, "pid_started": 0, "heartbeat": 0, **values})
    assert (share_of(status), how_far(status)) == (share, said)


def test_what_is_recent_and_what_the_browser_is_told(workspace: Path) -> None:
    here = Workspace(workspace)
    make_job(here, "waits", "extract", "shop", state="queued")
    make_job(here, "works", "demo", state="running", steps={"doing": "x", "done": 1, "total": 4})
    make_job(here, "fell", "plan", "shop", state="failed", message="no space")
    old = make_job(here, "old", "plan", "shop")
    past = time.time() - 2 * jobs_panel.JUST
    write_json(old.path / "status.json", read_json(old.path / "status.json", what="status") | {
        "since": past, "heartbeat": past})  # fmt: skip
    found = recent(here)
    assert [job.folder.name for job in found] == ["works", "waits", "fell"]
    assert told(found) == {
        "ask": False,
        "active": ["jobs/works", "jobs/waits"],
        "share": 25,
        "ended": [{"id": "jobs/fell", "said": "plan shop", "state": "failed"}],
    }


def test_what_was_dismissed_is_gone_until_it_ends_again(workspace: Path, open_page: OpenPage) -> None:
    here = Workspace(workspace)
    job = make_job(here, "fell", "plan", "shop", state="failed", message="no space")
    make_job(here, "done", "demo")
    page = open_page("train")
    assert "no space" in shown(page)
    next(b for b in page.button if b.key == "panel jobs/fell dismiss").click().run()
    assert labels_of(job.path).dismissed > 0
    assert [each.folder.name for each in recent(here)] == ["done"]
    job.write_status("running")
    job.write_status("failed")
    assert {each.folder.name for each in recent(here)} == {"done", "fell"}
    page = open_page("train")
    next(b for b in page.button if b.key == "dismiss all").click().run()
    assert recent(here) == []


def test_a_job_is_stopped_from_any_page(workspace: Path, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(Workspace(workspace), "works", "plan", "shop", state="running")
    stopped: list[JobFolder] = []
    monkeypatch.setattr(jobs_panel, "stop_detached", stopped.append)
    page = open_page("backbones")
    next(b for b in page.button if b.key == "panel jobs/works stop").click().run()
    assert stopped == [job]


def test_the_history_shows_every_job(workspace: Path, open_page: OpenPage) -> None:
    here = Workspace(workspace)
    for number in range(14):
        make_job(here, f"job-{number:02}", "study", "layers", "/w/datasets/shop")
    said = shown(open_page("runs", view="Jobs"))
    assert "14 jobs" in said and said.count("**Study layers on shop**") == 12
