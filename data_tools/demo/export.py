"""The demo shop as somebody's export would look: two CSV files and a folder of photos."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl

from iisan_core.data.dataset import Dataset
from iisan_core.files import new_folder


def write_export(dataset: Dataset, folder: Path) -> Path:
    """Write `products.csv` (sku, name, photo), `orders.csv` (customer, sku, bought_at) and `photos/`; returns `folder`.

    What is there already is left as it is.
    """
    if not folder.is_dir():
        with new_folder(folder) as unfinished:
            _write(dataset, unfinished)
    return folder


def _write(dataset: Dataset, folder: Path) -> None:
    (folder / "photos").mkdir()
    photos = {path.name: path for path in dataset.image_paths() if path is not None}
    for name, path in photos.items():
        shutil.copyfile(path, folder / "photos" / name)
    photo = pl.col("image").str.split("/").list.last()
    dataset.items.select(sku="item_id", name="title", photo=photo).write_csv(folder / "products.csv")
    log = dataset.interactions.select(customer="user_id", sku="item_id", bought_at="timestamp")
    log.write_csv(folder / "orders.csv")
