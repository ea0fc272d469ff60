"""The shell, called in this process, and a demo workspace that the whole session shares."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.cli import main


@dataclass(frozen=True)
class Outcome:
    """What a call of the shell left behind."""

    code: int
    out: str
    err: str


Shell = Callable[..., Outcome]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Call `iisan` with arguments: `shell("data", "stats", folder)`."""

    def call(*arguments: Any) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["iisan", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty workspace that the shell uses."""
    folder = tmp_path / "workspace"
    monkeypatch.setenv("IISAN_WORKSPACE", str(folder))
    return folder
