"""A world whose states come from real (tiny) backbones, so that new items can go the same way."""

import io
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from data_tools.writing import write_dataset
from iisan_core.backbones.loading import load_backbone
from iisan_core.cache.extract import extract
from iisan_core.cache.manifest import CacheSettings
from iisan_core.config.schema import RunConfig
from iisan_core.data.dataset import Dataset
from iisan_core.files import write_json
from iisan_core.runs.ensemble import ensemble_config
from iisan_core.runs.train import train
from iisan_core.serving.recommender import Recommender

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 60), "blue": (40, 60, 220)}
THINGS = ["mug", "lamp", "scarf"]
USERS = 36


def picture(colour: str, shade: int) -> Image.Image:
    """A plain picture whose tone tells its colour; some noise, so that no two are alike."""
    noise = np.random.default_rng(shade).integers(-15, 16, size=(40, 40, 3))
    return Image.fromarray((np.array(COLOURS[colour]) + noise).clip(0, 255).astype(np.uint8))


def as_png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()


def items_table(colours: list[str], things: list[str], ids: list[str]) -> pl.DataFrame:
    titles = [f"{colour} {thing}" for colour, thing in zip(colours, things, strict=True)]
    return pl.DataFrame({"item_id": ids, "title": titles})


@dataclass(frozen=True)
class ContentWorld:
    """Users who keep to one colour, items that show it in title and picture."""

    dataset: Dataset
    backbones: dict[str, Path]
    caches: dict[str, Path]

    def config(self, *, modalities: tuple[str, ...] = ("image", "text"), **groups: dict) -> RunConfig:
        quick = {"epochs": 6, "batch_size": 12, "learning_rate": 0.01, "san_learning_rate": 0.005, "device": "cpu"}
        model = {"bottleneck": 4, "embedding": 8, "standardize": True} | groups.get("model", {})
        return RunConfig.model_validate(
            {
                "dataset": self.dataset.folder,
                "caches": {name: self.caches[name] for name in modalities},
                "protocol": {"max_history": 4} | groups.get("protocol", {}),
                "model": model,
                "training": quick | groups.get("training", {}),
            }
        )


def make_world(folder: Path, backbones: dict[str, Path], *, without_picture: int | None = None) -> ContentWorld:
    """45 items, 15 of each colour; every user knows 5 to 8 of one."""
    colours = [list(COLOURS)[n % 3] for n in range(45)]
    items = items_table(colours, [THINGS[n // 3 % 3] for n in range(45)], [f"i{n:02}" for n in range(45)])
    shown = [n for n in range(45) if n != without_picture]
    items = items.with_columns(image=pl.Series([f"{n}.png" if n in shown else None for n in range(45)]))
    rng = np.random.default_rng(0)
    log = [
        (f"u{user:02}", f"i{item:02}", time)
        for user in range(USERS)
        for time, item in enumerate(rng.permutation(np.arange(user % 3, 45, 3))[: rng.integers(5, 9)])
    ]
    dataset = write_dataset(
        folder / "dataset",
        name="colours",
        source="made by a test",
        items=items,
        interactions=pl.DataFrame(log, schema=["user_id", "item_id", "timestamp"], orient="row"),
        images={f"{n}.png": as_png(picture(colours[n], n)) for n in shown},
    )
    caches = {}
    for modality, place in backbones.items():
        backbone = load_backbone(place, modality)
        # With the class token in the mean, no part of a score is so good that validation gives another no weight.
        settings = CacheSettings(layers="all", pooling="mean-all" if modality == "image" else None)
        (last,) = deque(extract(dataset, backbone, settings, folder=folder / "caches"), maxlen=1)
        caches[modality] = last.folder
    return ContentWorld(dataset, backbones, caches)


def trained(config: RunConfig, path: Path) -> Path:
    """A finished run."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    deque(train(config, path, command="iisan train"), maxlen=0)
    torch.set_num_threads(threads)
    return path


@pytest.fixture(scope="session")
def tiny_backbones(bert_folder: Path, vit_folder: Path) -> dict[str, Path]:
    return {"image": vit_folder, "text": bert_folder}


@pytest.fixture(scope="session")
def content_world(tmp_path_factory: pytest.TempPathFactory, tiny_backbones: dict[str, Path]) -> ContentWorld:
    """Whole items; tests must not change its files."""
    return make_world(tmp_path_factory.mktemp("content"), tiny_backbones)


@pytest.fixture(scope="session")
def content_run(content_world: ContentWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(content_world.config(), tmp_path_factory.mktemp("content-run") / "run")


KINDS = ["plain", "all parts", "several runs"]


@pytest.fixture(scope="session")
def everything(world, tmp_path_factory):
    """A run with all parts of a score, none of which weighs nothing."""
    model = {"frozen": True, "frozen_width": 6, "together": True}
    run = trained(world.config(model=model), tmp_path_factory.mktemp("bulk") / "everything")
    write_json(run / "blend.json", {"frozen": {"image": 0.5, "text": 2.0}, "together": 3.0})
    return run


@pytest.fixture(scope="session")
def several(everything, finished, tmp_path_factory):
    """A blend of two runs."""
    return trained(ensemble_config([everything, finished.path]), tmp_path_factory.mktemp("several") / "run")


@pytest.fixture(params=KINDS)
def recommender(request, everything, several, finished):
    return Recommender.load({"plain": finished.path, "all parts": everything, "several runs": several}[request.param])
