"""`iisan doctor` names what is missing and how to get it, and fails where something essential is broken."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def findings(outcome: Any) -> dict[str, dict[str, str]]:
    return {finding["what"]: finding for finding in json.loads(outcome.out)}


def test_a_whole_installation(shell: Callable[..., Any], workspace: Path) -> None:
    outcome = shell("doctor", "--json")
    assert outcome.code == 0, outcome.err
    found = findings(outcome)
    assert {"Python", "torch", "transformers", "RAM", "workspace", "workspace's disk", "hub"} <= set(found)
    assert str(workspace) in found["workspace"]["found"]
    assert not workspace.exists(), "looking makes nothing"
    assert "torch" in shell("doctor").out


def test_a_missing_extra_comes_with_its_pip_line(shell: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else find(name))
    outcome = shell("doctor", "--json")
    assert outcome.code == 0
    extra = findings(outcome)["extra quantized"]
    assert (extra["state"], extra["remedy"]) == ("missing", 'pip install "iisan-workbench[quantized]"')


def test_a_missing_library_is_broken(shell: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version

    def without_peft(name: str) -> str:
        if name == "peft":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_peft)
    outcome = shell("doctor", "--json")
    assert outcome.code == 1
    assert findings(outcome)["peft"]["state"] == "broken"
    assert "broken: peft" in outcome.err


def test_a_workspace_that_cannot_be_written_is_broken(
    shell: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = tmp_path / "file"
    taken.write_text("no folder")
    monkeypatch.setenv("IISAN_WORKSPACE", str(taken))
    outcome = shell("doctor", "--json")
    assert outcome.code == 1
    assert "set IISAN_WORKSPACE" in findings(outcome)["workspace"]["remedy"]


def test_what_killed_processes_left_is_cleared(shell: Callable[..., Any], workspace: Path) -> None:
    left = workspace / "datasets" / ".mine.abcdefgh.tmp"
    left.mkdir(parents=True)
    assert f"cleared away {left}" in " ".join(shell("doctor").err.split())
    assert not left.exists()
