"""Baselines through the shell: presets without caches, and all runs in one table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

USERS = 30
FAST = ("--set", "model.embedding=8", "--set", "training.epochs=1", "--set", "training.device=cpu")


@pytest.fixture
def dataset(shell: Callable[..., Any], tmp_path: Path, workspace: Path) -> Path:
    items, users = tmp_path / "items.tsv", tmp_path / "users.tsv"
    items.write_text("".join(f"i{n}\tlamp {n}\n" for n in range(40)))
    walks = [" ".join(f"i{(3 * u + step) % 40}" for step in range(5 + u % 9)) for u in range(USERS)]
    users.write_text("".join(f"u{u}\t{walk}\n" for u, walk in enumerate(walks)))
    folder = workspace / "datasets" / "small"
    source = ("--items", items, "--interactions", users, "--name", "small")
    assert shell("data", "import", "iisan-tsv", *source, "--out", folder).code == 0
    return folder


def test_baselines_need_no_cache_and_stand_in_one_table(
    shell: Callable[..., Any], dataset: Path, workspace: Path
) -> None:
    for preset, settings in {"popular": (), "item-knn": (), "ids": FAST}.items():
        outcome = shell("train", dataset, "--preset", preset, *settings)
        assert outcome.code == 0, outcome.err
    runs = sorted((workspace / "runs").glob("[!.]*"))
    assert [run.name for run in runs] == ["small-ids-1", "small-item-knn-1", "small-popular-1"]
    table = json.loads(shell("compare", *runs, "--json").out)
    assert {row["towers"] for row in table} == {"ids", "item-knn", "popular"}
    paired = json.loads(shell("compare", *runs, "--against", runs[2], "--json").out)
    assert {row["users"] for row in paired} == {USERS}


def test_a_counted_baseline_evaluates_but_does_not_recommend(
    shell: Callable[..., Any], dataset: Path, workspace: Path
) -> None:
    run = workspace / "runs" / "popular"
    assert shell("train", dataset, "--preset", "popular", "--run", run).code == 0
    assert shell("evaluate", run).code == 0
    assert shell("evaluate", run, "--anew").code == 0
    refused = shell("recommend", run, "--user", "u1")
    assert refused.code == 2
    assert "holds the baseline popular" in refused.err


def test_a_preset_for_texts_does_not_train_without_them(shell: Callable[..., Any], dataset: Path) -> None:
    refused = shell("train", dataset, "--preset", "text")
    assert refused.code == 2
    assert "no text cache of small" in refused.err
