"""Items that came after the training, through the same backbones, settings and side networks as all others.

They come as a small dataset of their own: checked, their pictures in place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import TYPE_CHECKING

import polars as pl
import torch
from PIL import Image
from torch import Tensor

from iisan_core.cache.inputs import inputs_of
from iisan_core.cache.manifest import VECTORS, CacheManifest, read_manifest
from iisan_core.cache.rows import TORCH_DTYPES
from iisan_core.data.dataset import ITEM_COLUMNS, Dataset
from iisan_core.data.pictures import as_rgb
from iisan_core.errors import RefusedError
from iisan_core.model.inference import Contributions, item_contributions, item_table
from iisan_core.model.recommender import RecommenderModel
from iisan_core.training.states import ItemStates, States

if TYPE_CHECKING:
    from iisan_core.backbones.base import Backbone

CALLED = {"text": "text", "image": "picture", "joint": "text and picture"}
Vectors = Mapping[str, Mapping[str, Sequence[float]]]
"""Modality → item id → vector."""
Picture = str | os.PathLike[str] | Image.Image


class NewItemEncoder:
    """Vectors for new items, by the settings that the caches' manifests record.

    Backbones are loaded when the first items come, and kept. Threads may share one: they take turns. Where the model
    has a vector per item, a new item's is the zero vector that stands for items unknown in training: nothing but
    interactions can teach it another, so such a model knows new items by their content alone.
    """

    def __init__(self, *, model: RecommenderModel, caches: Mapping[str, Path], precision: str) -> None:
        self._model = model
        self._caches = dict(caches)
        self._precision = precision
        self._loaded: dict[str, Backbone] = {}
        # A backbone collects its layers by hooks, so two passes at once would mix.
        self._one_at_a_time = Lock()

    def encode(self, dataset: Dataset, *, vectors: Vectors | None = None) -> tuple[Tensor, Contributions]:
        """Vectors of a small dataset's items, float32 [n + 1, E], and their parts; row 0 is padding and zero.

        `vectors` are those of modalities whose states came as vectors. Raises `RefusedError` where an input cannot be
        read or is missing and the model learned no stand-in for it, and where the backbone that made the caches is not
        there as it was.
        """
        with self._one_at_a_time:
            bank = self._bank(dataset, vectors or {})
        table = item_table(self._model, bank, precision=self._precision)
        return table, item_contributions(self._model, bank, table, precision=self._precision)

    def _bank(self, dataset: Dataset, vectors: Vectors) -> ItemStates:
        if not self._caches:
            raise RefusedError(
                "this model knows items by their ids alone and can say nothing about new ones; train one with caches"
            )
        from iisan_core.cache.fill import states_of

        item_ids = dataset.items["item_id"].to_list()
        self._refuse_strange(vectors, item_ids)
        states: dict[str, States] = {}
        present, widths = {}, {}
        for name in self._caches:
            manifest = self._manifest(name)
            widths[name] = list(manifest.widths)
            if manifest.kind == VECTORS:
                states[name], present[name] = _given(vectors.get(name, {}), item_ids, manifest)
                continue
            backbone = self._backbone(name, manifest)
            inputs = inputs_of(dataset, manifest.kind, text_fields=manifest.text_fields)
            states[name], problems = states_of(inputs, backbone, manifest)
            if problems:
                row, why = min(problems.items())
                raise RefusedError(f"item {inputs.item_ids[row]!r}: {why}; give another {_called(name)}, or none")
            present[name] = torch.tensor([value is not None for value in inputs.values])
        bank = ItemStates(states, present, widths, numbers=torch.zeros(dataset.items.height, dtype=torch.int64))
        _check_present(bank, dataset.items["item_id"].to_list(), missing=self._model.shape.missing)
        return bank

    def _manifest(self, name: str) -> CacheManifest:
        manifest = read_manifest(self._caches[name])
        if manifest.widths != self._model.shape.widths[name]:
            raise RefusedError(
                f"the cache {self._caches[name]} has layers of the widths {list(manifest.widths)}, the model reads "
                f"{list(self._model.shape.widths[name])}; it is another cache than the run was trained on"
            )
        return manifest

    def _backbone(self, name: str, manifest: CacheManifest) -> Backbone:
        if name not in self._loaded:
            self._loaded[name] = load_same_backbone(manifest)
        return self._loaded[name]

    def _refuse_strange(self, vectors: Vectors, item_ids: list[str]) -> None:
        """Raise `RefusedError` for vectors of a modality that takes none, or of items that are not new."""
        takes = [name for name in self._caches if self._manifest(name).kind == VECTORS]
        if strange := sorted(set(vectors) - set(takes)):
            allowed = (
                f"vectors are taken for {', '.join(takes)}" if takes else "this run's states all come from backbones"
            )
            raise RefusedError(f"there are vectors of {strange[0]!r}; {allowed}")
        for name, of_items in vectors.items():
            if others := sorted(set(of_items) - set(item_ids)):
                raise RefusedError(f"there is a {name} vector of {others[0]!r}, but no such item among the new ones")


def _given(
    vectors: Mapping[str, Sequence[float]], item_ids: list[str], manifest: CacheManifest
) -> tuple[Tensor, Tensor]:
    """States `[n, ΣD]` as the cache would store them, and which items have any; the rest are zeros."""
    states = torch.zeros(len(item_ids), manifest.row_width)
    for row, item_id in enumerate(item_ids):
        if item_id not in vectors:
            continue
        vector = torch.as_tensor(vectors[item_id], dtype=torch.float32).flatten()
        if len(vector) != manifest.row_width or not bool(vector.isfinite().all()):
            raise RefusedError(
                f"the {manifest.modality} vector of {item_id!r} has {len(vector):,} numbers, or some not finite; "
                f"the run reads {manifest.row_width:,}, as {manifest.backbone!r} makes them"
            )
        states[row] = vector
    present = torch.tensor([item_id in vectors for item_id in item_ids])
    return states.to(TORCH_DTYPES[manifest.dtype]), present


def joined(first: Contributions, second: Contributions) -> Contributions:
    """The parts of two lots of items of one model, [N + 1, E] and [n + 1, E] → [N + n + 1, E]."""
    towers = {name: torch.cat([tower, second.towers[name][1:]]) for name, tower in first.towers.items()}
    return Contributions(towers, first.bias)


def load_same_backbone(manifest: CacheManifest) -> Backbone:
    """The backbone that made a cache, by its revision; raises `RefusedError` if it is not there, or is another one."""
    from iisan_core.backbones.hub import find_source
    from iisan_core.backbones.loading import load_backbone

    assert manifest.kind != VECTORS
    source = find_source(manifest.backbone, revision=manifest.revision)
    if source.revision != manifest.revision:
        raise RefusedError(
            f"the backbone {manifest.backbone} has changed: the cache was made by revision {manifest.revision[:12]}, "
            f"there is {source.revision[:12]}; bring that one back, or extract and train again"
        )
    revision = None if Path(source.location).is_dir() else manifest.revision
    return load_backbone(manifest.backbone, manifest.kind, compute_dtype=manifest.compute_dtype, revision=revision)


def _called(modality: str) -> str:
    return CALLED.get(modality, modality)


def _check_present(bank: ItemStates, item_ids: list[str], *, missing: tuple[str, ...]) -> None:
    """A stand-in is learned only of what the training's catalogue lacked, and cannot stand for everything."""
    for name, present in bank.present.items():
        if name not in missing and not bool(present.all()):
            item_id = item_ids[int((~present).nonzero()[0])]
            raise RefusedError(
                f"item {item_id!r} has no {_called(name)}, and the model has learned nothing to stand in for one, for "
                f"every item that it was trained on had its {_called(name)}; give one"
            )
    something = torch.stack(list(bank.present.values())).any(dim=0)
    if not bool(something.all()):
        item_id = item_ids[int((~something).nonzero()[0])]
        wanted = " and no ".join(_called(name) for name in bank.present)
        raise RefusedError(f"item {item_id!r} has no {wanted}, so there is nothing to know it by; give one")


@contextmanager
def as_dataset(items: pl.DataFrame, images: Mapping[str, Picture], catalogue: Dataset) -> Iterator[Dataset]:
    """New rows of the catalogue; pictures that are no files yet are files within the block.

    items   `item_id` and further columns of the catalogue
    images  item id → file or PIL image; where an id is missing, the column `image` names a file, if there is one

    Raises `RefusedError` for a table that does not fit the catalogue, or a picture of an item that is not in it.
    """
    _check(items, images, catalogue)
    with TemporaryDirectory(prefix="iisan-items-") as folder:
        paths = {item_id: _path(picture, Path(folder) / str(n)) for n, (item_id, picture) in enumerate(images.items())}
        named = items["image"].to_list() if "image" in items.columns else [None] * len(items)
        image = [paths.get(item_id, name) for item_id, name in zip(items["item_id"], named, strict=True)]
        rows = pl.concat([catalogue.items.clear(), items], how="diagonal_relaxed")
        rows = rows.with_columns(image=pl.Series(image, dtype=pl.String))
        yield Dataset(catalogue.folder, catalogue.card, rows, catalogue.interactions.clear())


def enlarged(catalogue: Dataset, rows: pl.DataFrame) -> Dataset:
    """The catalogue with new rows at its end; they take the place of rows with the same ids."""
    kept = catalogue.items.join(rows, on="item_id", how="anti", maintain_order="left")
    items = pl.concat([kept, rows], how="diagonal_relaxed")
    return Dataset(catalogue.folder, catalogue.card, items, catalogue.interactions)


def _check(items: pl.DataFrame, images: Mapping[str, Picture], catalogue: Dataset) -> None:
    if "item_id" not in items.columns or items.is_empty():
        raise RefusedError(
            f"new items come as a table with at least one row and a column item_id; this one has {len(items)} rows and "
            f"the columns {', '.join(items.columns) or 'none'}"
        )
    wanted = ITEM_COLUMNS | dict(catalogue.items.schema)
    faults = [
        f"{c} should be {wanted[c]}, is {t}" for c, t in items.schema.items() if t not in (wanted.get(c, t), pl.Null)
    ]
    if faults:
        raise RefusedError(f"the new items do not fit the catalogue: {'; '.join(faults)}; cast these columns")
    twice = items.filter(pl.col("item_id").is_duplicated() | pl.col("item_id").is_null())["item_id"]
    if not twice.is_empty():
        raise RefusedError(f"item id {twice[0]!r} stands in more than one row, or is null; ids must be unique")
    strangers = images.keys() - set(items["item_id"])
    if strangers:
        raise RefusedError(f"there is a picture of {min(strangers)!r}, but no such item among the new ones")


def _path(picture: Picture, place: Path) -> str:
    """The absolute path of a picture's file; an image in memory is written to `place`, without loss."""
    if not isinstance(picture, Image.Image):
        return str(Path(picture).absolute())
    as_rgb(picture).save(place, format="PNG")
    return str(place)
