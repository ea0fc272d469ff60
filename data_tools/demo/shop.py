"""The demo world ready for training, made once in a workspace and found there ever after; or as a shop's export."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from data_tools.demo.backbones.image import build_image_backbone
from data_tools.demo.backbones.text import build_text_backbone
from data_tools.demo.backbones.training import DEMO_SIZE, EncoderSize, OnStep
from data_tools.demo.parameters import DemoWorld
from data_tools.demo.world import make_demo_world
from iisan_core.backbones.loading import load_backbone
from iisan_core.cache.extract import extract
from iisan_core.cache.manifest import CacheSettings
from iisan_core.config.schema import Modality
from iisan_core.data.dataset import Dataset
from iisan_core.files import new_folder
from iisan_core.runs.workspace import Workspace

SETTINGS = CacheSettings(layers="even")
"""How the demo's states are cached."""
ITEMS, USERS = DemoWorld().items, DemoWorld().users
MODALITIES: tuple[Modality, ...] = ("image", "text")


@dataclass(frozen=True)
class DemoShop:
    """All that a training on the demo world reads."""

    dataset: Dataset
    backbones: dict[str, Path]
    """Modality → model folder."""
    caches: dict[str, Path]
    """Modality → hidden-state cache, in fusion order."""


def demo_shop(workspace: Workspace, *, items: int = ITEMS, users: int = USERS) -> DemoShop:
    """The demo's dataset, backbones and caches; what is not in the workspace yet is made, in about a minute.

    A shop of another size is one more dataset, for whoever is in a hurry; all sizes share the backbones.
    """
    world, dataset = demo_dataset(workspace), demo_dataset(workspace, items=items, users=users)
    backbones = {str(modality): demo_backbone(workspace, world, modality) for modality in MODALITIES}
    caches = {str(modality): _cache(workspace, dataset, modality, backbones[modality]) for modality in MODALITIES}
    return DemoShop(dataset, backbones, caches)


def demo_dataset(workspace: Workspace, *, items: int = ITEMS, users: int = USERS) -> Dataset:
    """The shop's catalogue and its users' choices."""
    folder = workspace.datasets / ("demo" if (items, users) == (ITEMS, USERS) else f"demo-{items}x{users}")
    found = (folder / "dataset.json").is_file()
    return Dataset.load(folder) if found else make_demo_world(folder, items=items, users=users)


def demo_backbone(
    workspace: Workspace,
    dataset: Dataset,
    modality: Modality,
    *,
    size: EncoderSize = DEMO_SIZE,
    on_step: OnStep | None = None,
) -> Path:
    """A small model trained on the shop's own titles, or on its pictures; `on_step` is called while it is made.

    It is found again under its modality and size.
    """
    name = f"demo-{modality}" if size == DEMO_SIZE else f"demo-{modality}-{size.layers}x{size.width}"
    folder = workspace.backbones / name
    if folder.is_dir():
        return folder
    if modality == "text":
        return build_text_backbone([t for t in dataset.texts() if t], folder, size=size, on_step=on_step)
    return build_image_backbone([path for path in dataset.image_paths() if path], folder, size=size, on_step=on_step)


def _cache(workspace: Workspace, dataset: Dataset, modality: Modality, backbone: Path) -> Path:
    folder = workspace.caches(dataset)
    *_, last = extract(dataset, load_backbone(str(backbone), modality), SETTINGS, folder=folder)
    return last.folder


def write_export(dataset: Dataset, folder: Path) -> Path:
    """Write two CSV files and photos as somebody's shop would export them; returns `folder`.

    They are `products.csv` (sku, name, photo), `orders.csv` (customer, sku, bought_at) and `photos/`.
    What is there already is left as it is.
    """
    if not folder.is_dir():
        with new_folder(folder) as unfinished:
            _export(dataset, unfinished)
    return folder


def _export(dataset: Dataset, folder: Path) -> None:
    (folder / "photos").mkdir()
    photos = {path.name: path for path in dataset.image_paths() if path is not None}
    for name, path in photos.items():
        shutil.copyfile(path, folder / "photos" / name)
    photo = pl.col("image").str.split("/").list.last()
    dataset.items.select(sku="item_id", name="title", photo=photo).write_csv(folder / "products.csv")
    log = dataset.interactions.select(customer="user_id", sku="item_id", bought_at="timestamp")
    log.write_csv(folder / "orders.csv")
