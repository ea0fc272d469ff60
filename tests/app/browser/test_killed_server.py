"""A training goes on without the app, and another server finds it: kill -9 of the one that started it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.workspace import Workspace

from .conftest import Keep, served, server_process, settled

pytestmark = [pytest.mark.browser, pytest.mark.network, pytest.mark.long]


@pytest.fixture
def run(small_shop: Path) -> Iterator[RunFolder]:
    """The run that the test starts in the small shop, taken out again at the end."""
    folder = RunFolder(Workspace(small_shop).runs / "outlives")
    yield folder
    shutil.rmtree(folder.path)


def test_another_server_finds_the_run_stops_it_and_goes_on(
    small_shop: Path, run: RunFolder, page: Page, keep: Keep
) -> None:
    with served(small_shop) as address:
        page.goto(f"{address}/train")
        settled(page)
        page.get_by_role("spinbutton", name="Epochs").fill("2000")
        page.get_by_role("textbox", name="Name of the run").fill("outlives")
        page.get_by_role("textbox", name="Name of the run").press("Enter")
        settled(page)
        page.get_by_role("button", name="Start training").click()
        _wait(lambda: run.path.is_dir() and run.status().epoch >= 1)
        server_process().kill()
    with served(small_shop) as address:
        reached = run.status().epoch
        page.goto(f"{address}/train?run=outlives")
        settled(page)
        expect(page.get_by_text("running").first).to_be_visible()
        _wait(lambda: run.status().epoch > reached)
        keep(page, "train-found-again")
        page.get_by_role("button", name="Stop").click()
        _wait(lambda: not run.status().active)
        assert run.status().state == "stopped", run.log_tail()
        page.get_by_role("button", name="Resume").click()
        _wait(lambda: run.status().active)
        page.get_by_role("button", name="Stop").click()
        _wait(lambda: not run.status().active)


def _wait(for_it: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not for_it():
        assert time.monotonic() < deadline
        time.sleep(0.2)
