"""The app served as a user would, and a browser without a screen."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from iisan_core.runs.workspace import Workspace
from tests.app.pages.conftest import small_shop

__all__ = ["small_shop"]

MAIN = Path(__file__).parents[3] / "app" / "main.py"
PATIENCE = 90_000
"""Milliseconds; where processors are shared, a page may take long."""
expect.set_options(timeout=PATIENCE)


@contextmanager
def served(workspace: Path) -> Iterator[str]:
    """The app's address while it runs on `workspace`, as `streamlit run app/main.py` serves it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(MAIN), "--server.port", str(port)]
    environment = os.environ | {"IISAN_WORKSPACE": str(workspace), "IISAN_RUNTIME": str(workspace / ".runtime")}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(f"http://localhost:{port}/_stcore/health")
        yield f"http://localhost:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def server_process() -> psutil.Process:
    """The server that this test has started, to be measured or killed."""
    return next(c for c in psutil.Process().children() if "streamlit" in " ".join(c.cmdline()))


def _wait_for(address: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"nothing answers at {address}")


@pytest.fixture(scope="module")
def server(small_shop: Path) -> Iterator[str]:
    """The address of one server on the small shop, for all tests of a module that need no server of their own."""
    with served(small_shop) as address:
        yield address


@pytest.fixture
def shop(small_shop: Path, tmp_path: Path) -> Workspace:
    """A copy of the small shop without its runs, to be changed."""
    workspace = Workspace(tmp_path / "workspace")
    shutil.copytree(small_shop, workspace.root, ignore=shutil.ignore_patterns("runs"))
    return workspace


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium here: neither chromium, chromium-browser nor google-chrome is on the path")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails its test if its own program fails, or if anything is fetched from elsewhere."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(PATIENCE)
    faults: list[str] = []
    outside: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("request", lambda request: outside.append(request.url))
    yield opened
    opened.close()
    assert faults == []
    here = ("http://localhost:", "ws://localhost:", "data:", "blob:")
    assert [url for url in outside if not url.startswith(here)] == []


Keep = Callable[[Page, str], None]


@pytest.fixture(scope="session")
def keep(tmp_path_factory: pytest.TempPathFactory) -> Keep:
    """Keep a screenshot, in the folder that `IISAN_SCREENSHOTS` names or a temporary one."""
    folder = Path(os.environ.get("IISAN_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)

    def take(page: Page, name: str) -> None:
        page.screenshot(path=folder / f"{name}.png")

    return take


def settled(page: Page) -> None:
    """Wait until the page is drawn and nothing is at work for it."""
    page.wait_for_selector("h1")
    page.wait_for_timeout(300)
    page.wait_for_function("document.querySelector('[data-testid=stApp]').dataset.testScriptState == 'notRunning'")
