"""`iisan blend` on two runs of seconds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.train import ensure_trained
from tests.tiny_world import TinyWorld

pytestmark = pytest.mark.usefixtures("one_thread")


def test_two_runs_become_one(shell: Callable[..., Any], world: TinyWorld, tmp_path: Path, workspace: Path) -> None:
    for seed in (0, 1):
        ensure_trained(world.config(training={"epochs": 1, "seed": seed}), tmp_path / str(seed))
    outcome = shell("blend", tmp_path / "0", tmp_path / "1", "--run", tmp_path / "both", "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["blend"]["members"][0] == 1
    assert RunFolder.open(tmp_path / "both").status().state == "finished"
    answer = shell("recommend", tmp_path / "both", "--user", "u03", "--json")
    assert answer.code == 0, answer.err
    assert shell("evaluate", tmp_path / "both").code == 0
    assert shell("compare", tmp_path / "0", tmp_path / "both").code == 0


def test_one_run_is_no_blend(shell: Callable[..., Any], tmp_path: Path) -> None:
    outcome = shell("blend", tmp_path, "--run", tmp_path / "new")
    assert outcome.code == 2
    assert "a blend takes two runs or more; found 1" in outcome.err
