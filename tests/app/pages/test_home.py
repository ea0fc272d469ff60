"""The first page: what is here, what to do next, the demo world as a job."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app.ui import home
from app.ui.readers import runs
from iisan_core.files import write_json
from iisan_core.runs.job_folder import JobCard, JobFolder
from iisan_core.runs.workspace import Workspace

from .conftest import OpenPage, cards, shown


def test_an_empty_workspace_offers_the_demo_world(workspace: Path, open_page: OpenPage) -> None:
    page = open_page("home")
    assert "Start with the demo world" in shown(page)
    assert [b.label for b in page.button if b.key is None] == ["Import data", "Make the demo world and train on it"]
    assert [metric.value for metric in page.metric] == ["0", "0", "0"]
    assert not workspace.exists(), "looking makes nothing"


def test_the_button_starts_the_demo_as_a_job(
    workspace: Path, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[Any, ...]] = []

    def start(argv: list[str], *, workspace: Workspace, device: str) -> JobFolder:
        started.append((argv, device))
        card = JobCard(argv=tuple(argv), device=device, workspace=workspace.root, folder=Path.cwd())
        folder = JobFolder.create_job(workspace.jobs / "demo-1", card=card)
        folder.write_status("running", steps={"doing": "titles", "done": 30, "total": 120})  # type: ignore[arg-type]
        return folder

    monkeypatch.setattr(home, "start", start)
    page = open_page("home")
    next(b for b in page.button if "demo world" in b.label).click()
    page.run()
    assert started == [(["demo"], "auto")]
    assert "Start with the demo world" not in shown(page)
    assert "running" in shown(page)
    assert [b.label for b in page.button if b.key == "demo job stop"] == ["Stop"]
    assert [b.label for b in page.button if str(b.key).startswith("panel")] == ["Stop"]


def test_a_demo_that_broke_off_can_go_on(workspace: Path, open_page: OpenPage) -> None:
    shelf = Workspace(workspace).jobs
    card = JobCard(argv=("demo",), device="auto", workspace=workspace, folder=Path.cwd())
    folder = JobFolder.create_job(shelf / "demo-1", card=card)
    folder.write_status("failed", message="no space left on the disk")
    page = open_page("home")
    assert "no space left on the disk" in shown(page)
    assert "Go on" in [b.label for b in page.button]


def test_a_workspace_with_runs_points_at_their_recommendations(shop: Workspace, open_page: OpenPage) -> None:
    page = open_page("home")
    best = max(runs(shop), key=lambda run: run.reached() or 0.0)
    links = [(link.proto.label, link.proto.query_string) for link in page.get("page_link")]
    assert ("**See what it recommends**", f"run={best.name}") in links
    assert {("both", "run=both"), ("titles", "run=titles"), ("demo", "dataset=demo")} <= set(links)
    assert [metric.value for metric in page.metric] == ["1", "2", "2"]
    assert "validation HR@10" in shown(page)
    assert len(page.get("plotly_chart")) == 1
    drawn = cards(page, "pictures of demo")
    assert drawn and all(card["image"].startswith("data:image/webp;base64,") for card in drawn)


def drawn_run(page: AppTest) -> str:
    """The run whose curve is drawn: its name is the last link of the page."""
    return str(page.get("page_link")[-1].proto.query_string).removeprefix("run=")


def test_the_newest_curve_that_can_be_read_is_drawn(own_shop: Workspace, open_page: OpenPage) -> None:
    newest = drawn_run(open_page("home"))
    (own_shop.runs / newest / "metrics.jsonl").write_text("no event\n")
    page = open_page("home")
    assert len(page.get("plotly_chart")) == 1
    assert drawn_run(page) != newest
    assert not page.error and not page.exception


def test_every_state_is_told_and_broken_runs_hide_nothing(troubled: Workspace, open_page: OpenPage) -> None:
    page = open_page("compare")
    said = shown(page)
    assert "7 runs not in the table" in [e.label for e in page.expander]
    for name, why in {
        "running": "running",
        "queued": "queued",
        "failed": "the reason",
        "vanished": "vanished without a word",
        "no\\-yaml": "not valid YAML",
        "other\\-version": "format",
    }.items():
        assert any(name in line and why in line.replace("\\", "") for line in said.splitlines()), (name, said)
    home = shown(open_page("home"))
    assert "4 runs at work" not in home
    assert "2 runs at work" in home


def test_a_broken_dataset_is_told_in_a_sentence(own_shop: Workspace, open_page: OpenPage) -> None:
    write_json(own_shop.datasets / "broken" / "dataset.json", {"format_version": 7})
    said = shown(open_page("home"))
    assert "**broken** cannot be read" in said
    assert "240 items" in said


def test_an_unforeseen_fault_is_one_sentence_and_goes_to_the_log(
    own_shop: Workspace, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("three <b>apples</b>")

    monkeypatch.setattr("app.ui.home.gpus", fail)
    page = open_page("home")
    (error,) = page.error
    assert "ZeroDivisionError" in error.value
    assert "app\\.log" in error.value
    assert "Traceback" not in error.value
    assert "three <b>apples</b>" in (own_shop.root / "app.log").read_text()


def _demo(workspace: Path, state: Any, *stages: dict[str, Any]) -> JobFolder:
    card = JobCard(argv=("demo",), device="auto", workspace=workspace, folder=Path.cwd())
    folder = JobFolder.create_job(Workspace(workspace).jobs / "demo-1", card=card)
    folder.write_status(state, steps={"doing": "learning text", "done": 30, "total": 120})  # type: ignore[arg-type]
    write_json(folder.path / "stages.json", list(stages))
    return folder


def test_the_demo_is_a_stepper_with_times_and_counters(workspace: Path, open_page: OpenPage) -> None:
    began = time.time() - 200
    _demo(
        workspace, "running",
        {"name": "data", "began": began, "ended": began + 30, "result": "1,800 items"},
        {"name": "backbones", "began": began + 30}, {"name": "states"}, {"name": "training"},
    )  # fmt: skip
    page = open_page("home")
    said = shown(page).replace("\\", "")
    assert "1,800 items · 30 s" in said
    assert [n for n in (1, 2, 3, 4) if f"{n} · " in said] == [1, 2, 3, 4]
    assert "every item once through each frozen model" in said
    assert "Import data" not in [button.label for button in page.button]
    texts = [element.proto.text for element in page.get("progress")]
    assert any(text.replace("\\", "").startswith("learning text: 30 of 120 · 3 min") for text in texts)


def test_a_demo_that_is_made_leads_to_what_was_made_until_dismissed(own_shop: Workspace, open_page: OpenPage) -> None:
    (own_shop.runs / "both").rename(own_shop.runs / "demo")
    stages = [
        {"name": n, "began": 1.0, "ended": 2.0, "result": "x"} for n in ("data", "backbones", "states", "training")
    ]
    _demo(own_shop.root, "finished", *stages)
    page = open_page("home")
    assert len(page.get("plotly_chart")) == 2, "the curve of the demo, and the newest one"
    (button,) = [button for button in page.button if button.key == "demo done"]
    assert button.label == "See what it recommends"
    next(button for button in page.button if button.key == "demo dismiss").click().run()
    assert "The demo world" not in shown(page)
