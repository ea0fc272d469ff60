"""A small demo shop with two runs, one title of which is hostile, and the demo of both on a port of its own."""

import asyncio
import contextlib
import shutil
import socket
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from PIL import Image

from app.demo import build_demo, launch
from data_tools.demo.backbones.image import build_image_backbone
from data_tools.demo.backbones.text import build_text_backbone
from data_tools.demo.world import make_demo_world
from iisan_core.backbones.loading import load_backbone
from iisan_core.cache.extract import extract
from iisan_core.cache.manifest import CacheSettings, read_manifest
from iisan_core.config.schema import RunConfig
from iisan_core.data.dataset import DATASET_FILES, Dataset
from iisan_core.files import seal, write_json
from iisan_core.runs.run_folder import RunFolder
from iisan_core.runs.train import train
from iisan_core.serving.recommender import Recommender
from tests.iisan_core.backbones.tiny_joint import save_tiny_joint

HOSTILE = '<img src=x onerror="window.hacked=1"> ${window.hacked=2} {{constructor}} `hostile` <b>bold</b>'


@dataclass(frozen=True)
class Shop:
    """Run folders of one catalogue: of pictures and titles, and of titles alone."""

    both: Path
    titles: Path
    hostile: str
    """Id of the item with the hostile title."""


@pytest.fixture(scope="session", autouse=True)
def loops_closed() -> Iterator[None]:
    """Gradio makes event loops that it neither uses nor closes."""
    made: list[asyncio.AbstractEventLoop] = []
    make = asyncio.new_event_loop

    def recorded() -> asyncio.AbstractEventLoop:
        made.append(make())
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "new_event_loop", recorded)
        yield
    asyncio.set_event_loop(None)
    for loop in made:
        if not loop.is_running():
            loop.close()


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("shop")
    make_demo_world(folder / "dataset", items=240, users=260)
    hostile = _spoil_a_title(folder / "dataset")
    dataset = Dataset.load(folder / "dataset")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    image = build_image_backbone([p for p in dataset.image_paths() if p], folder / "image", steps=3)
    text = build_text_backbone([t for t in dataset.texts() if t], folder / "text", steps=3)
    caches = {name: _cache(dataset, path, name) for name, path in (("image", image), ("text", text))}
    runs = {
        name: _run(folder / name, dataset, {m: caches[m] for m in modalities})
        for name, modalities in (("both", ("image", "text")), ("titles", ("text",)))
    }
    torch.set_num_threads(threads)
    return Shop(runs["both"], runs["titles"], hostile)


def _spoil_a_title(folder: Path) -> str:
    items = pl.read_parquet(folder / "items.parquet")
    popular = pl.read_parquet(folder / "interactions.parquet")["item_id"].mode().sort()[0]
    title = pl.when(pl.col("item_id") == popular).then(pl.lit(HOSTILE)).otherwise("title")
    spoilt = items.with_columns(title=title)
    spoilt.with_columns(caption="title").write_parquet(folder / "items.parquet")
    seal(folder, DATASET_FILES)
    return popular


def _cache(dataset: Dataset, backbone: Path, modality: str) -> Path:
    steps = extract(
        dataset, load_backbone(backbone, modality), CacheSettings(layers="all"), folder=dataset.folder.parent / "caches"
    )
    return deque(steps, maxlen=1)[0].folder


def _run(path: Path, dataset: Dataset, caches: dict[str, Path]) -> Path:
    config = {
        "dataset": dataset.folder,
        "caches": caches,
        "model": {"bottleneck": 8, "embedding": 16, "standardize": True},
        "training": {"epochs": 2, "learning_rate": 0.005, "device": "cpu"},
    }
    place = path.with_name(f"run-{path.name}")
    deque(train(RunConfig.model_validate(config), place, command="iisan train"), maxlen=0)
    return place


@pytest.fixture(scope="session")
def recommender(shop: Shop) -> Recommender:
    return Recommender.load(shop.both)


@pytest.fixture(scope="session")
def titles_only(shop: Shop) -> Recommender:
    return Recommender.load(shop.titles)


def _another(shop: Shop, folder: Path, **changes: Any) -> Recommender:
    """A short run of the same shop, otherwise configured."""
    config = RunFolder.open(shop.both).config()
    settings = {"model": config.model, "caches": config.caches} | changes
    training = config.training.model_copy(update={"epochs": 1})
    deque(train(config.model_copy(update=settings | {"training": training}), folder), maxlen=0)
    return Recommender.load(folder)


@pytest.fixture(scope="session")
def ids_only(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    model = RunFolder.open(shop.both).config().model.model_copy(update={"ids": True, "standardize": False})
    return _another(shop, tmp_path_factory.mktemp("ids") / "run", caches={}, model=model)


@pytest.fixture(scope="session")
def with_captions(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    """Of pictures, titles and captions, which are the titles once more."""
    folder = tmp_path_factory.mktemp("captions")
    caches = RunFolder.open(shop.both).config().caches
    shutil.copytree(caches["text"], folder / "cache")
    manifest = read_manifest(caches["text"]).model_copy(update={"modality": "caption", "text_fields": ("caption",)})
    write_json(folder / "cache" / "manifest.json", manifest.model_dump(mode="json"))
    return _another(shop, folder / "run", caches=caches | {"caption": folder / "cache"})


@pytest.fixture(scope="session")
def read_together(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    """Of pictures and titles that one model reads together."""
    folder = tmp_path_factory.mktemp("joint")
    dataset = Dataset.load(RunFolder.open(shop.both).config().dataset)
    backbone = load_backbone(save_tiny_joint("smolvlm", folder / "smolvlm"), "joint")
    (last,) = deque(extract(dataset, backbone, CacheSettings(layers="all"), folder=folder / "caches"), maxlen=1)
    return _another(shop, folder / "run", caches={"joint": last.folder})


@pytest.fixture
def png(tmp_path: Path) -> str:
    Image.new("RGB", (64, 48), "teal").save(tmp_path / "teal.png")
    return str(tmp_path / "teal.png")


@contextlib.contextmanager
def served(demo) -> Iterator[str]:
    """The demo's address while it runs."""
    with socket.socket() as free:  # gradio itself leaves a socket open for every port that is taken
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    try:
        yield launch(demo, port=port, wait=False)
    finally:
        demo.close(verbose=False)


@pytest.fixture(scope="session")
def address(recommender: Recommender) -> Iterator[str]:
    """One run, served."""
    with served(build_demo(recommender, names=("both", ""))) as url:
        yield url


@pytest.fixture(scope="session")
def address_of_two(recommender: Recommender, titles_only: Recommender) -> Iterator[str]:
    """Two runs side by side, served."""
    with served(build_demo(recommender, other=titles_only, names=("both", "titles"))) as url:
        yield url


@pytest.fixture(scope="session")
def address_of_titles(titles_only: Recommender) -> Iterator[str]:
    """A run that reads no pictures, served."""
    with served(build_demo(titles_only, names=("titles", ""))) as url:
        yield url


@pytest.fixture(scope="session")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium here: neither chromium, chromium-browser nor google-chrome is on the path")
    return found
