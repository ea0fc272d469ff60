"""`iisan cache`: the whole cache stays, what is broken goes when told so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from data_tools.writing import write_dataset
from iisan_core.cache.inputs import inputs_of
from iisan_core.cache.manifest import CacheManifest
from iisan_core.cache.writer import CacheWriter
from iisan_core.data.dataset import Dataset

ITEMS, WIDTH = 3, 4


@pytest.fixture
def dataset(workspace: Path) -> Path:
    items = pl.DataFrame({"item_id": ["a", "b", "c"], "title": ["mug", "lamp", "scarf"], "image": [None] * ITEMS})
    log = pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "timestamp": [0]})
    folder = workspace / "datasets" / "small"
    items = items.with_columns(pl.col("image").cast(pl.String))
    write_dataset(folder, name="small", source="made by a test", items=items, interactions=log)
    return folder


@pytest.fixture
def whole(dataset: Path, workspace: Path) -> Path:
    """A complete cache, and beside it the copy of one that lost its manifest."""
    inputs = inputs_of(Dataset.load(dataset), "text", text_fields=("title",))
    plan = CacheManifest(
        dataset="small", modality="text", backbone="tiny", revision="1", compute_dtype="float32", pooling="mean",
        layers=(0,), widths=(WIDTH,), dtype="float16", text_fields=("title",), max_tokens=30, image_size=None,
        items=ITEMS, shard_size=ITEMS, ids_sha256=inputs.ids_sha256, inputs_sha256=inputs.inputs_sha256, libraries={},
    )  # fmt: skip
    folder = workspace / "caches" / "small" / "text-tiny"
    writer = CacheWriter(folder, plan)
    writer.write(0, torch.zeros(ITEMS, WIDTH).half(), {})
    writer.finish(inputs)
    shutil.copytree(folder, folder.with_name("text-broken"))
    (folder.with_name("text-broken") / "manifest.json").unlink()
    return folder


def test_list(shell: Callable[..., Any], dataset: Path, whole: Path) -> None:
    facts = json.loads(shell("cache", "list", "--json").out)
    assert [(Path(fact["cache"]).name, fact["state"], fact["rows"]) for fact in facts] == [
        ("text-broken", "damaged", None), ("text-tiny", "complete", ITEMS),
    ]  # fmt: skip
    assert json.loads(shell("cache", "list", dataset, "--json").out) == facts
    assert "damaged" in shell("cache", "list", dataset).out


def test_list_of_an_empty_workspace(shell: Callable[..., Any], workspace: Path) -> None:
    outcome = shell("cache", "list")
    assert (outcome.code, outcome.out) == (0, "")
    assert "make one with `iisan extract`" in outcome.err


def test_verify(shell: Callable[..., Any], whole: Path) -> None:
    outcome = shell("cache", "verify", whole)
    assert outcome.code == 0
    assert f"is whole: {ITEMS} rows, 1 parts" in outcome.err
    facts = json.loads(shell("cache", "verify", whole, "--json").out)
    assert facts == {"cache": str(whole), "whole": True, "rows": ITEMS, "parts": 1, "unreadable": 0}
    (whole / "states.bin").write_bytes(b"\1" * ITEMS * WIDTH * 2)
    outcome = shell("cache", "verify", whole)
    assert outcome.code == 1
    assert "part 0 (rows 0 to 2) has checksum" in outcome.err


def test_gc_lists_first_and_removes_when_told(shell: Callable[..., Any], dataset: Path, whole: Path) -> None:
    broken = whole.with_name("text-broken")
    (fact,) = json.loads(shell("cache", "gc", dataset, "--json").out)
    assert (fact["cache"], fact["removed"]) == (str(broken), False)
    assert "1 of the dataset's caches can go" in shell("cache", "gc", dataset).err
    assert broken.exists()
    assert shell("cache", "gc", dataset, "--yes").code == 0
    assert (broken.exists(), whole.exists()) == (False, True)
    assert "no cache can go" in shell("cache", "gc", dataset).err


def test_gc_clears_what_killed_imports_left(shell: Callable[..., Any], dataset: Path) -> None:
    left = dataset.resolve().parent / ".mine.abcdefgh.tmp"
    left.mkdir()
    assert "1 unfinished folders beside the dataset can go" in shell("cache", "gc", dataset).err
    assert left.exists()
    assert shell("cache", "gc", dataset, "--yes").code == 0
    assert not left.exists()
