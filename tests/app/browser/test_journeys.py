"""Handling runs and datasets, following links, composing a history, being told: as somebody would, with reloads."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from iisan_core.data.dataset import Dataset
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.workspace import Workspace
from tests.app.pages.conftest import make_run
from tests.app.pages.test_jobs_panel import make_job

from .conftest import Keep, served, settled

pytestmark = [pytest.mark.browser, pytest.mark.network, pytest.mark.long]


def _pick(page: Page, item: str) -> None:
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_text(item).click()


def test_a_run_is_renamed_thrown_away_and_put_back(shop: Workspace, page: Page, keep: Keep) -> None:
    _quick_run(shop, "first")
    with served(shop.root) as address:
        page.goto(f"{address}/runs?run=first")
        settled(page)
        keep(page, "run")
        _pick(page, "Rename …")
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("New name").fill("better")
        dialog.get_by_label("New name").press("Enter")
        dialog.get_by_role("button", name="Rename", exact=True).click()
        expect(page).to_have_url(f"{address}/runs?run=better")
        expect(page.get_by_role("heading", name="better", exact=True)).to_be_visible()
        page.reload()
        settled(page)
        expect(page.get_by_role("heading", name="better", exact=True)).to_be_visible()
        _pick(page, "Delete …")
        keep(page, "delete-run")
        page.get_by_role("dialog").get_by_role("button", name="Move to the trash").click()
        expect(page.get_by_text("better is in the trash")).to_be_visible()
        assert not (shop.runs / "better").exists()
        page.get_by_role("button", name="Undo").click()
        expect(page.get_by_text("better is in the trash")).to_have_count(0)
        assert RunFolder.open(shop.runs / "better").status().state == "finished"
        page.go_back()
        settled(page)
        expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()


def _quick_run(shop: Workspace, name: str) -> None:
    dataset = Dataset.load(shop.datasets / "demo")
    caches = {manifest.modality: folder for folder, manifest in shop.complete_caches(dataset).items()}
    make_run(shop, name, dataset, {"text": caches["text"]})


def test_links_lead_round_and_the_address_shows_the_same_after_a_reload(server: str, page: Page, keep: Keep) -> None:
    page.goto(server)
    settled(page)
    page.get_by_role("link", name="both", exact=True).first.click()
    expect(page).to_have_url(f"{server}/runs?run=both")
    expect(page.get_by_text("Validation HR@10").first).to_be_visible()
    page.get_by_role("link", name="What it recommends", exact=True).click()
    expect(page.locator("button.card[aria-label^='Why']")).to_have_count(10)
    page.goto(f"{server}/recommendations?run=both&group=My+own+history&k=5")
    settled(page)
    page.locator("button.card[aria-label^='Add']").nth(2).click()
    expect(page.locator("button.card[aria-label^='Why']")).to_have_count(5)
    recommended = page.locator("button.card[aria-label^='Why']").evaluate_all("all => all.map(c => c.dataset.item)")
    page.reload()
    settled(page)
    expect(page.locator("button.card[aria-label^='Take out']")).to_have_count(1)
    expect(page.locator("button.card[aria-label^='Why']")).to_have_count(5)
    assert page.locator("button.card[aria-label^='Why']").evaluate_all("all => all.map(c => c.dataset.item)") == (
        recommended
    )
    keep(page, "composed-again")


def test_the_tab_says_what_is_at_work_and_what_ended(shop: Workspace, page: Page, keep: Keep) -> None:
    job = make_job(shop, "one", "study", "layers", "demo", state="running", steps={"doing": "x", "done": 1, "total": 4})
    with served(shop.root) as address:
        page.goto(f"{address}/data")
        settled(page)
        expect(page).to_have_title("(1 at work, 25 %) Data · IISAN Workbench")
        page.get_by_role("link", name="Runs", exact=True).click()
        expect(page).to_have_title("(1 at work, 25 %) Runs · IISAN Workbench")
        page.get_by_role("button", name="Jobs · 1").click()
        expect(page.get_by_text("Study layers on demo")).to_be_visible()
        keep(page, "jobs")
        job.write_status("finished")
        expect(page).to_have_title("✓ Study layers on demo finished · Runs · IISAN Workbench")
        page.get_by_role("button", name="Dismiss", exact=True).click()
        expect(page.get_by_text("Study layers on demo")).to_have_count(0)
        expect(page).to_have_title("Runs · IISAN Workbench")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (820, "dark")])
def test_new_pages_at_both_widths(server: str, page: Page, keep: Keep, width: int, scheme: str) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    for name, path in {
        "runs": "runs", "run": "runs?run=both", "log": "runs?run=both&part=Log",
        "machine": "runs?run=both&part=Machine",
        "settings": "runs?run=both&part=Settings", "files": "runs?run=both&part=Files", "trash": "runs?view=Trash",
        "datasets": "data?view=All+datasets", "study": "train?view=Study+or+search", "presets": "train?view=Presets",
    }.items():  # fmt: skip
        page.goto(f"{server}/{path}")
        settled(page)
        expect(page.get_by_text("Next", exact=True)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (name, width)
        keep(page, f"{name}-{width}-{scheme}")
