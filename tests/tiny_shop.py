"""A dataset with pictures and titles, and caches that tiny backbones made of it: real extraction, real gaps."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from data_tools.writing import write_dataset
from iisan_core.backbones.loading import load_backbone
from iisan_core.cache.extract import extract
from iisan_core.cache.manifest import CacheSettings
from iisan_core.config.schema import RunConfig
from iisan_core.data.dataset import Dataset

ITEMS, USERS, CLASSES = 60, 80, 6
WORDS = ["red", "green", "blue", "mug", "lamp", "scarf", "wool", "steel", "big", "small"]


@dataclass(frozen=True)
class Shop:
    """A dataset and one float32 cache per modality."""

    dataset: Dataset
    caches: dict[str, Path]
    backbones: dict[str, Path]

    def config(self, **groups: dict[str, Any]) -> RunConfig:
        """A run of seconds, with changes laid over."""
        quick = {"epochs": 2, "batch_size": 16, "learning_rate": 0.01, "san_learning_rate": 0.005, "device": "cpu"}
        values = {
            "protocol": {"max_history": 4},
            "model": {"bottleneck": 4, "embedding": 8} | groups.get("model", {}),
            "training": quick | groups.get("training", {}),
        }
        return RunConfig.model_validate({"dataset": self.dataset.folder, "caches": self.caches, **values})


@pytest.fixture(scope="session")
def shop(bert_folder: Path, vit_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Items whose title and picture show their class, some without one of them; tests must not change its files."""
    folder = tmp_path_factory.mktemp("shop")
    rng = np.random.default_rng(0)
    titles = [" ".join([WORDS[n % CLASSES]] * 2 + [*rng.choice(WORDS, n % 3)]) if n % 7 else None for n in range(ITEMS)]
    items = pl.DataFrame(
        {
            "item_id": [f"i{n:02}" for n in range(ITEMS)],
            "title": titles,
            "image": [f"{n}.png" if n % 5 else None for n in range(ITEMS)],
        },
        schema={"item_id": pl.String, "title": pl.String, "image": pl.String},
    )
    dataset = write_dataset(
        folder / "dataset",
        name="shop",
        source="made by a test",
        items=items,
        interactions=_log(rng),
        images={f"{n}.png": _picture(n % CLASSES * 40) for n in range(ITEMS)},
    )
    backbones = {"image": vit_folder, "text": bert_folder}
    caches = {}
    for name, backbone in backbones.items():
        loaded = load_backbone(backbone, name)  # type: ignore[arg-type]
        *_, last = extract(dataset, loaded, CacheSettings(layers="all", dtype="float32"), folder=folder / "caches")
        caches[name] = last.folder
    return Shop(dataset, caches, backbones)


def _log(rng: np.random.Generator) -> pl.DataFrame:
    """Users of 5 to 10 interactions, each with items of one class: item `n` is of class `n mod 6`."""
    rows = []
    for user in range(USERS):
        own = rng.permutation(np.arange(user % CLASSES, ITEMS, CLASSES))[: rng.integers(5, 11)]
        rows += [(f"u{user:02}", f"i{item:02}", time) for time, item in enumerate(own)]
    return pl.DataFrame(rows, schema={"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64}, orient="row")


def _picture(red: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (red, 255 - red, 90)).save(stream, format="PNG")
    return stream.getvalue()
