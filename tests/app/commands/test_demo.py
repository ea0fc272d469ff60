"""`iisan demo` end to end, as a new user runs it."""

from __future__ import annotations

import json
import re

import polars as pl
import pytest

from tests.conftest import Demo, call_demo

pytestmark = pytest.mark.long
STAGES = ("1 data", "2 backbone", "3 states", "image cache", "text cache", "4 training")


def test_demo_says_at_each_stage_what_it_did_and_where(demo: Demo) -> None:
    assert demo.code == 0, demo.err
    for stage in STAGES:
        assert stage in demo.err
    assert re.search(r"took .*: data .*, backbones .*, states .*, training .*", demo.err)
    assert str(demo.workspace / "datasets" / "demo") in demo.err
    assert "test metrics" in demo.out
    assert ": history, " in demo.out
    assert "recommended" in demo.out


def test_demo_learns_each_kind_of_taste(demo: Demo) -> None:
    """Popularity alone reaches about 5 in each group, popularity with habit 13 to 15 (truth/README.md)."""
    users = pl.read_parquet(demo.workspace / "datasets" / "demo" / "truth" / "users.parquet").select("user_id", "kind")
    ranks = pl.read_parquet(demo.workspace / "runs" / "demo" / "ranks.parquet").join(users, on="user_id")
    hits = dict(ranks.group_by("kind").agg((pl.col("test") <= 10).mean() * 100).iter_rows())
    assert set(hits) == {"picture", "title", "combination"}
    assert min(hits.values()) > 15, hits


def test_a_second_call_reuses_everything_in_seconds(demo: Demo) -> None:
    written = demo.workspace / "runs" / "demo" / "results.json"
    results = json.loads(written.read_text())
    again = call_demo(demo.workspace)
    assert again.code == 0, again.err
    assert again.err.count("found") == 4
    assert again.err.count("was there already") == 2
    assert again.out == demo.out
    assert json.loads(written.read_text()) == results
