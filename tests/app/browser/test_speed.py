"""How long pages take with many runs and a large catalogue, and whether the app's memory grows.

Bounds are those that the app must keep where it has a processor for itself, times `SLACK` for shared ones.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from PIL import Image
from playwright.sync_api import Page

from iisan_core.data.dataset import Dataset, DatasetCard
from iisan_core.files import write_json
from iisan_core.runs.workspace import Workspace
from tests.app.pages.conftest import make_cache, make_run

from .conftest import served, server_process, settled

pytestmark = [pytest.mark.browser, pytest.mark.network, pytest.mark.slow]

SLACK = float(os.environ.get("IISAN_SLACK", 5))
PAGES = ("Data", "Backbones", "Train", "Compare", "Recommendations", "Home")
CAUGHT_UP = 4.0
"""Seconds, times `SLACK`, in which somebody looks at the first page, and torch comes meanwhile."""


@pytest.fixture
def large(small_shop: Path, tmp_path: Path) -> Workspace:
    """A catalogue of 20,000 items with pictures, and 50 runs, most of them on it and newest."""
    workspace = Workspace(tmp_path / "workspace")
    shutil.copytree(small_shop, workspace.root)
    dataset = Dataset.load(_large_dataset(workspace.datasets / "a-large-one"))
    cache = make_cache(workspace, dataset, "text", workspace.backbones / "demo-text")
    make_run(workspace, "large-00", dataset, {"text": cache})
    for number in range(1, 48):
        shutil.copytree(workspace.runs / "large-00", workspace.runs / f"large-{number:02}")
    return workspace


def _large_dataset(folder: Path) -> Path:
    (folder / "images").mkdir(parents=True)
    for number in range(64):
        Image.new("RGB", (128, 128), (4 * number, 255 - 4 * number, 128)).save(folder / "images" / f"{number}.png")
    ids = [f"i{n}" for n in range(20_000)]
    items = {
        "item_id": ids,
        "title": [f"item number {i}" for i in ids],
        "image": [f"images/{n % 64}.png" for n in range(20_000)],
    }
    pl.DataFrame(items).write_parquet(folder / "items.parquet")
    log = [(f"u{u}", ids[(u * 7 + n * n) % 20_000], n) for u in range(10_000) for n in range(8)]
    pl.DataFrame(log, schema=["user_id", "item_id", "timestamp"], orient="row").write_parquet(
        folder / "interactions.parquet"
    )
    card = DatasetCard(name=folder.name, source="a test", counts={"items": 20_000, "users": 10_000})
    write_json(folder / "dataset.json", card.model_dump())
    return folder


def _go(page: Page, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).click()
    page.wait_for_function(
        f"document.querySelector('h1')?.innerText == '{'IISAN Workbench' if name == 'Home' else name}'"
    )
    page.wait_for_function("document.querySelector('[data-testid=stApp]').dataset.testScriptState == 'notRunning'")


@dataclass(frozen=True)
class Visit:
    page: str
    seconds: float
    cpu_seconds: float
    """Of the server's process: what a busy machine leaves as it is."""


def _visit(page: Page, name: str) -> Visit:
    server = server_process()
    before, start = sum(server.cpu_times()[:2]), time.perf_counter()
    _go(page, name)
    seconds = time.perf_counter() - start
    return Visit(name, seconds, sum(server.cpu_times()[:2]) - before)


def _tell(capsys: pytest.CaptureFixture[str], figures: str) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\n{figures}\n")


def test_first_page_and_page_changes(large: Workspace, page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    with served(large.root) as address:
        start = time.perf_counter()
        page.goto(address)
        page.wait_for_selector("h1")
        first = time.perf_counter() - start
        settled(page)
        page.wait_for_timeout(1000 * CAUGHT_UP * SLACK)
        visits = [_visit(page, name) for name in (*PAGES, *PAGES)]
    told = ", ".join(f"{v.page} {v.seconds:.2f} ({v.cpu_seconds:.2f} of processor)" for v in visits)
    _tell(capsys, f"load {os.getloadavg()[0]:.1f}; first page {first:.2f} s; first and second visits: {told}")
    assert first < 2 * SLACK
    assert all(visit.seconds < SLACK for visit in visits)
    assert all(visit.cpu_seconds < 1 for visit in visits)


def test_memory_does_not_grow_over_200_reruns(large: Workspace, page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    with served(large.root) as address:
        process = server_process()
        page.goto(f"{address}/recommendations?run=both")
        settled(page)
        resident = []
        for number in range(200):
            page.get_by_role("button", name="Another user").click()
            page.wait_for_timeout(60)
            page.wait_for_function(
                "document.querySelector('[data-testid=stApp]').dataset.testScriptState == 'notRunning'"
            )
            if number % 50 == 49:
                resident.append(process.memory_info().rss / 1e6)
    _tell(capsys, f"resident after 50, 100, 150, 200 reruns: {', '.join(f'{mb:.0f} MB' for mb in resident)}")
    assert resident[-1] - resident[1] < 60
