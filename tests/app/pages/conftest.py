"""Prepared workspaces, and pages run on them without a browser."""

from __future__ import annotations

import json
import shutil
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import streamlit as st
import torch
from streamlit.testing.v1 import AppTest

from data_tools.demo.backbones.image import build_image_backbone
from data_tools.demo.backbones.text import build_text_backbone
from data_tools.demo.world import make_demo_world
from iisan_core.backbones.loading import load_backbone
from iisan_core.cache.extract import extract
from iisan_core.cache.manifest import CacheSettings
from iisan_core.config.schema import RunConfig
from iisan_core.data.dataset import DATASET_FILES, Dataset
from iisan_core.files import seal, write_json
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.train import train
from iisan_core.runs.workspace import Workspace

APP = Path(__file__).parents[3] / "app"
HOSTILE = "<script>window.hacked=1</script> <b>bold</b> [link](http://example.org) `code` $x$ :material/home:"


@pytest.fixture(scope="session")
def small_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a small demo world, caches and two finished runs; an item in demand has a hostile title."""
    workspace = Workspace(tmp_path_factory.mktemp("pages") / "workspace")
    make_demo_world(workspace.datasets / "demo", items=240, users=260)
    _spoil_a_title(workspace.datasets / "demo")
    dataset = Dataset.load(workspace.datasets / "demo")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    pictures, titles = [p for p in dataset.image_paths() if p], [t for t in dataset.texts() if t]
    folders = {
        "image": build_image_backbone(pictures, workspace.backbones / "demo-image", steps=3),
        "text": build_text_backbone(titles, workspace.backbones / "demo-text", steps=3),
    }
    caches = {name: make_cache(workspace, dataset, name, folder) for name, folder in folders.items()}
    make_run(workspace, "both", dataset, caches)
    make_run(workspace, "titles", dataset, {"text": caches["text"]})
    torch.set_num_threads(threads)
    return workspace.root


def _spoil_a_title(folder: Path) -> None:
    items = pl.read_parquet(folder / "items.parquet")
    popular = pl.read_parquet(folder / "interactions.parquet")["item_id"].mode().sort()[0]
    title = pl.when(pl.col("item_id") == popular).then(pl.lit(HOSTILE)).otherwise("title")
    items.with_columns(title=title).write_parquet(folder / "items.parquet")
    seal(folder, DATASET_FILES)


def make_cache(workspace: Workspace, dataset: Dataset, modality: str, folder: Path) -> Path:
    """Read a dataset through the backbone in `folder`."""
    backbone = load_backbone(folder, modality)  # type: ignore[arg-type]
    steps = extract(dataset, backbone, CacheSettings(layers="even"), folder=workspace.caches(dataset))
    return deque(steps, maxlen=1)[0].folder


def make_run(workspace: Workspace, name: str, dataset: Dataset, caches: dict[str, Path]) -> None:
    """Train for two epochs."""
    config = {
        "dataset": dataset.folder,
        "caches": caches,
        "model": {"bottleneck": 8, "embedding": 16, "standardize": True},
        "training": {"epochs": 2, "learning_rate": 0.005, "device": "cpu"},
    }
    events = train(RunConfig.model_validate(config), workspace.runs / name, command="iisan train")
    deque(events, maxlen=0)


@pytest.fixture
def shop(small_shop: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """That workspace, read only."""
    monkeypatch.setenv("IISAN_WORKSPACE", str(small_shop))
    return Workspace(small_shop)


@pytest.fixture
def own_shop(small_shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A copy that a test may change; the runs in it still read the dataset of the original."""
    shutil.copytree(small_shop, tmp_path / "workspace")
    monkeypatch.setenv("IISAN_WORKSPACE", str(tmp_path / "workspace"))
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def troubled(own_shop: Workspace) -> Workspace:
    """Beside finished runs: one at work, one queued, failed and interrupted ones, and such as cannot be read."""
    for state in ("running", "queued", "failed"):
        run = _unfinished(own_shop, state)
        run.write_status(state, epoch=1, epochs=9, message="the reason" if state == "failed" else "")  # type: ignore[arg-type]
    vanished = _unfinished(own_shop, "vanished")
    gone = {"state": "running", "pid": 2**22 + 1, "pid_started": 1.0, "heartbeat": time.time()}
    write_json(vanished.path / "status.json", gone)
    for name, text in (("no-yaml", "{"), ("other-version", "format: 9\n")):
        (own_shop.runs / name).mkdir()
        (own_shop.runs / name / "config.yaml").write_text(text)
    shutil.copytree(own_shop.runs / "both", own_shop.runs / "old-results")
    (own_shop.runs / "old-results" / "results.json").write_text('{"accuracy": 1}')
    return own_shop


def _unfinished(workspace: Workspace, name: str) -> RunFolder:
    config = RunFolder.open(workspace.runs / "both").config()
    return RunFolder.create(workspace.runs / name, config=config, command="iisan train")


OpenPage = Callable[..., AppTest]


@pytest.fixture
def open_page() -> OpenPage:
    """Run a page: `open_page("data", view="Items")`."""

    def run(name: str, **query: str) -> AppTest:
        st.cache_resource.clear()
        st.cache_data.clear()
        test = AppTest.from_file(str(APP / "main.py"), default_timeout=60)
        test.switch_page(f"pages/{name}.py")
        for key, value in query.items():
            test.query_params[key] = value
        return test.run()

    return run


def shown(test: AppTest) -> str:
    """All text of a page, which must not have failed."""
    assert not test.exception
    kinds = ("title", "subheader", "markdown", "caption", "error", "warning", "info", "success", "code", "metric")
    return "\n".join(str(element.value) for kind in kinds for element in getattr(test, kind))


def cards(test: AppTest, key: str) -> list[dict[str, Any]]:
    """What the card component named `key` was told to draw."""
    for element in test.get("bidi_component"):
        if f"-{key}" in element.proto.id:
            return list(json.loads(element.proto.json)["cards"])
    raise AssertionError(f"no cards {key!r} on the page")
