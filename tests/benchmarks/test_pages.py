"""Pages of a workspace with 100 datasets, 500 runs and 200,000 items open within a second of the server's processor."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.app.pages.conftest import small_shop

from .pages import fill, measured, table

__all__ = ["small_shop"]

pytestmark = pytest.mark.slow


def test_pages_open_within_a_second(
    small_shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IISAN_WORKSPACE", "")
    visits = list(measured(fill(tmp_path / "workspace", small_shop)))
    with capsys.disabled():
        sys.stdout.write(f"\n{table(visits)}\n")
    assert {visit.page: visit.later for visit in visits if visit.later > 1} == {}
