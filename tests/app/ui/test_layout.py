"""One look for every state that a run, a job or a cache can be in; pages import `ui`, and nothing below a page does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from app.ui.layout import PAGES, STATES, TITLES
from iisan_core.runs.status import State

APP = PAGES.parent


def test_every_state_has_one_look() -> None:
    assert set(STATES) == {*get_args(State), "complete", "unfinished", "broken", "damaged"}


def test_every_page_has_its_title() -> None:
    assert {path.stem for path in PAGES.glob("*.py")} == {"__init__", *TITLES}


def _imports(path: Path) -> list[str]:
    return re.findall(r"^\s*(?:from|import) ([\w.]+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_imports_point_from_pages_to_their_pieces_and_no_way_back() -> None:
    pages = [APP / "main.py", *PAGES.glob("*.py")]
    pieces = list((APP / "ui").glob("*.py"))
    others = set(APP.rglob("*.py")) - {*pages, *pieces}
    assert {name for path in pieces for name in _imports(path) if name.startswith(("app.pages", "app.main"))} == set()
    faces = ("app.pages", "app.main", "app.ui", "streamlit")
    assert {(path, name) for path in others for name in _imports(path) if name.startswith(faces)} == set()
    assert any("streamlit" in _imports(path) for path in pieces), "the test does see such imports"
