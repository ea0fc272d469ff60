"""`iisan demo` end to end, as a new user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

pytestmark = pytest.mark.long
STAGES = ("1 data", "2 backbone", "3 states", "image cache", "text cache", "4 training")


def demo(workspace: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from app.cli import main; main()", "demo"],
        env={"IISAN_WORKSPACE": str(workspace), "PATH": "", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    workspace = tmp_path_factory.mktemp("demo") / "workspace"
    return workspace, demo(workspace)


def test_demo_says_at_each_stage_what_it_did_and_where(
    first: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    workspace, outcome = first
    assert outcome.returncode == 0, outcome.stderr
    for stage in STAGES:
        assert stage in outcome.stderr
    assert str(workspace / "datasets" / "demo") in outcome.stderr
    assert "test metrics" in outcome.stdout
    assert ": history, " in outcome.stdout
    assert "recommended" in outcome.stdout


def test_demo_learns_each_kind_of_taste(first: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """Popularity alone reaches about 5 in each group, popularity with habit 13 to 15 (truth/README.md)."""
    workspace, _ = first
    users = pl.read_parquet(workspace / "datasets" / "demo" / "truth" / "users.parquet").select("user_id", "kind")
    ranks = pl.read_parquet(workspace / "runs" / "demo" / "ranks.parquet").join(users, on="user_id")
    hits = dict(ranks.group_by("kind").agg((pl.col("test") <= 10).mean() * 100).iter_rows())
    assert set(hits) == {"picture", "title", "combination"}
    assert min(hits.values()) > 15, hits


def test_a_second_call_reuses_everything_in_seconds(first: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    workspace, outcome = first
    results = json.loads((workspace / "runs" / "demo" / "results.json").read_text())
    again = demo(workspace)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("found") == 4
    assert again.stderr.count("was there already") == 2
    assert again.stdout == outcome.stdout
    assert json.loads((workspace / "runs" / "demo" / "results.json").read_text()) == results
