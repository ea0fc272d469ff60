"""From opening the app to judging recommendations, as somebody would who has never seen it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.workspace import Workspace
from tests.app.pages.conftest import HOSTILE

from .conftest import Keep, served, settled

pytestmark = [pytest.mark.browser, pytest.mark.network, pytest.mark.long]


def test_train_reload_finish_and_look(small_shop: Path, server: str, page: Page, keep: Keep) -> None:
    run = RunFolder(Workspace(small_shop).runs / "first")
    page.goto(server)
    settled(page)
    expect(page.locator(".card img").first).to_be_visible()
    keep(page, "home")
    page.get_by_role("link", name="Train", exact=True).click()
    expect(page.get_by_role("heading", name="Train", exact=True)).to_be_visible()
    settled(page)
    page.get_by_role("spinbutton", name="Epochs").fill("60")
    page.get_by_role("textbox", name="Name of the run").fill("first")
    page.get_by_role("textbox", name="Name of the run").press("Enter")
    settled(page)
    keep(page, "train-form")
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_text("running").or_(page.get_by_text("starting")).first).to_be_visible()
    page.reload()
    settled(page)
    expect(page.get_by_text("first").first).to_be_visible()
    keep(page, "train-running")
    _wait_until_finished(run)
    expect(page.get_by_text("finished").first).to_be_visible()
    keep(page, "train-finished")
    page.goto(f"{server}/recommendations?run=first")
    settled(page)
    expect(page.locator("button.card")).to_have_count(10)
    pictures = page.locator(".card img")
    expect(pictures.first).to_be_visible()
    assert pictures.first.evaluate("image => image.naturalWidth") > 0
    keep(page, "recommendations")
    page.locator("button.card").first.click()
    expect(page.get_by_text("What each part adds")).to_be_visible()
    keep(page, "why")


def _wait_until_finished(run: RunFolder) -> None:
    deadline = time.monotonic() + 300
    while run.status().active and time.monotonic() < deadline:
        time.sleep(0.5)
    assert run.status().state == "finished", run.log_tail()


def test_a_history_is_composed_by_clicking_and_titles_are_text(server: str, page: Page, keep: Keep) -> None:
    page.goto(f"{server}/recommendations?run=both&group=My+own+history")
    settled(page)
    hostile = page.locator("button.card", has_text="window.hacked")
    expect(hostile.locator(".title")).to_have_text(HOSTILE)
    hostile.click()
    expect(page.get_by_text("Your history")).to_be_visible()
    settled(page)
    expect(page.locator("button.card[aria-label^='Why']")).to_have_count(10)
    keep(page, "composed")
    page.locator("button.card[aria-label^='Take out']").click()
    expect(page.get_by_text("Click a few items")).to_be_visible()
    assert page.evaluate("window.hacked") is None


def test_a_cache_is_deleted_after_a_question(shop: Workspace, page: Page, keep: Keep) -> None:
    caches = list((shop.root / "caches" / "demo").glob("*/manifest.json"))
    with served(shop.root) as address:
        page.goto(f"{address}/backbones?view=Caches")
        settled(page)
        page.get_by_role("button", name="Delete").first.click()
        expect(page.get_by_text("Delete this cache?")).to_be_visible()
        keep(page, "delete-cache")
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(page.get_by_text("1 cache ·")).to_be_visible()
    assert sum(manifest.exists() for manifest in caches) == len(caches) - 1


@pytest.mark.parametrize("name", ["", "data", "backbones", "train", "compare", "recommendations"])
def test_every_page_opens_in_the_dark(server: str, page: Page, keep: Keep, name: str) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto(f"{server}/{name}")
    settled(page)
    expect(page.get_by_role("link", name="Home")).to_be_visible()
    keep(page, f"dark-{name or 'home'}")


def test_a_fresh_server_opens_on_a_page_that_is_not_the_first(small_shop: Path, page: Page) -> None:
    with served(small_shop) as address:
        page.goto(f"{address}/compare")
        settled(page)
        expect(page.get_by_role("heading", name="Compare", exact=True)).to_be_visible()
        expect(page.get_by_role("link", name="Home")).to_be_visible()
        expect(page.get_by_text("main", exact=True)).to_have_count(0)
