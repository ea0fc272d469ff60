"""A run under its name, and the new items that it is enlarged by: as they came, so that a newer run takes them, too."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import polars as pl
from PIL import Image

from app.api.bodies import NewItem
from app.pictures import MOST_BYTES, brought
from iisan_core.errors import RefusedError
from iisan_core.serving.recommender import Recommender


@dataclass(frozen=True)
class Kept:
    """A new item as it came, so that it can go through a newer run, too."""

    row: dict[str, str | None]
    picture: Image.Image | None
    vectors: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Run:
    """A run under its name. Nothing in it changes."""

    name: str
    recommender: Recommender
    kept: tuple[Kept, ...] = ()

    @cached_property
    def titles(self) -> dict[str, str | None]:
        """Item id → title, also of items that the run does not rank."""
        return dict(self.recommender.dataset.items.select("item_id", "title").iter_rows())

    def facts(self) -> dict[str, object]:
        """What can be said of it at once."""
        recommender = self.recommender
        counts = {"items": len(recommender.item_ids), "kept_items": len(self.kept)}
        return {"name": self.name, **counts, "modalities": list(recommender.modalities)}


def as_kept(item: NewItem, recommender: Recommender) -> Kept:
    """A new item, its picture decoded; raises `RefusedError` if that is none, or there is no such column of texts."""
    dataset = recommender.dataset
    unknown = set(item.texts) - set(dataset.text_columns)
    if unknown:
        allowed = ", ".join(dataset.text_columns)
        raise RefusedError(f"item {item.item_id!r} has a text {min(unknown)!r}; the catalogue has {allowed}")
    picture = None if item.image is None else decoded(item.image)
    return Kept({"item_id": item.item_id, "title": item.title, **item.texts}, picture, item.vectors)


def decoded(text: str) -> Image.Image:
    """A picture file in base64; raises `RefusedError` where it is none, or too large."""
    if len(text) > 4 * (MOST_BYTES // 3 + 1):
        raise RefusedError(f"the picture has more than {MOST_BYTES // 2**20} MB; save it smaller")
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise RefusedError(
            "the picture is not in base64; send the bytes of its file so, no path and no address"
        ) from None
    return brought(io.BytesIO(raw), size=len(raw))


def enlarged(run: Run, new: Sequence[Kept]) -> Run:
    """The run with new items; raises `RefusedError` where they cannot be taken."""
    table = pl.DataFrame([item.row for item in new], schema=_columns(new))
    images = {str(item.row["item_id"]): item.picture for item in new if item.picture is not None}
    vectors: dict[str, dict[str, Sequence[float]]] = {}
    for item in new:
        for modality, vector in item.vectors.items():
            vectors.setdefault(modality, {})[str(item.row["item_id"])] = vector
    larger = run.recommender.add_items(table, images=images, vectors=vectors)
    return replace(run, recommender=larger, kept=(*run.kept, *new))


def _columns(new: Sequence[Kept]) -> dict[str, type[pl.DataType]]:
    return {column: pl.String for item in new for column in item.row}


def with_kept(run: Run, kept: Sequence[Kept]) -> Run:
    """A newer run with what was kept in the older one; what it has by now is its own."""
    known = set(run.recommender.item_ids)
    left = [item for item in kept if item.row["item_id"] not in known]
    return enlarged(run, left) if left else run
