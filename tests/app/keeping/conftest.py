"""A workspace with a dataset, its caches and a run: what of them is read when names change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from data_tools.writing import write_dataset
from iisan_core.cache.manifest import CacheManifest, write_manifest
from iisan_core.config.schema import RunConfig
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.workspace import Workspace

MakeRun = Callable[..., RunFolder]


@pytest.fixture
def shop(workspace: Path) -> Workspace:
    """A dataset `shop` with two caches."""
    here = Workspace(workspace)
    items = pl.DataFrame({"item_id": ["a", "b"], "title": ["x", "y"], "image": ["a.png", None]})
    log = pl.DataFrame({"user_id": ["u", "u"], "item_id": ["a", "b"], "timestamp": [0, 1]})
    folder = here.datasets / "shop"
    write_dataset(folder, name="shop", source="made by a test", items=items, interactions=log, images={"a.png": b"x"})
    for modality in ("image", "text"):
        plan = CacheManifest(
            dataset="shop", dataset_folder=str(folder), modality=modality, backbone=f"tiny/{modality}", revision="1",
            compute_dtype="float32", pooling="mean", layers=(0,), widths=(4,), dtype="float16", text_fields=None,
            max_tokens=30, image_size=None, items=2, shard_size=2, ids_sha256="0", inputs_sha256="0", libraries={},
            complete=True,
        )  # fmt: skip
        cache = here.root / "caches" / "shop" / f"{modality}-one"
        cache.mkdir(parents=True)
        write_manifest(plan, cache)
    return here


@pytest.fixture
def make_run(shop: Workspace) -> MakeRun:
    """A finished run on the shop's caches."""
    shelf = shop.root / "caches" / "shop"

    def make(name: str, **values: object) -> RunFolder:
        caches = {modality: shelf / f"{modality}-one" for modality in ("image", "text")}
        config = RunConfig.model_validate({"dataset": shop.datasets / "shop", "caches": caches, **values})
        run = RunFolder.create(
            (shop.runs / name).absolute(), config=config.with_absolute_paths(), command="iisan train"
        )
        run.write_status("finished")
        run.write_results({"data": {"dataset": "shop"}, "quality": {}})
        return run

    return make
