"""What a run has to show: its items with titles and small pictures, users to begin with, and what it answers.

Pictures stand inside the page itself: no file of the machine is served.
"""

from __future__ import annotations

import base64
import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import polars as pl
from PIL import Image

from iisan_core.data.pictures import UNREADABLE, upright
from iisan_core.serving.explanation import Explanation
from iisan_core.serving.recommender import Recommender

LONGEST_HISTORY = 20_000
"""Items that a question may name; what is older is not read."""
LONGEST_QUERY = 200
MOST_RECOMMENDED = 24
SPOKEN_AS = {"image": "picture", "joint": "picture with text"}
"""What a modality is called where its own name would not do."""
SIDE = 256
"""Pixels; larger pictures are made smaller."""
MOST_PIXELS = 50_000_000
"""A picture that claims more is not decoded."""
KEPT = 4096
"""Small pictures at hand."""


@dataclass(frozen=True)
class Run:
    """A recommender with its name and its catalogue."""

    name: str
    recommender: Recommender
    catalogue: Catalogue

    @classmethod
    def of(cls, name: str, recommender: Recommender) -> Run:
        """A run under a name."""
        return cls(name, recommender, Catalogue(recommender))

    @property
    def known_by(self) -> tuple[str, ...]:
        """What the run knows items by, in words."""
        return tuple(SPOKEN_AS.get(name, name) for name in self.recommender.modalities) or ("ids",)

    def recommend(self, history: Sequence[str], *, k: int) -> list[Explanation]:
        """The best items with their reasons, for the newest items of a history.

        Raises `RefusedError` for an empty history or an unknown item.
        """
        kept = list(history[-LONGEST_HISTORY:])
        (answer,) = self.recommender.recommend(histories=[kept], k=min(k, MOST_RECOMMENDED, len(self.catalogue)))
        return [self.recommender.explain(item.item_id, history=kept) for item in answer]


class Catalogue:
    """The ranked items of a recommender, as they are shown. Nothing in it changes."""

    def __init__(self, recommender: Recommender, *, seed: int = 0) -> None:
        dataset = recommender.dataset
        ranked = pl.DataFrame({"item_id": recommender.item_ids})
        self._items = ranked.join(dataset.items, on="item_id", how="left", maintain_order="left")
        self._titles = dict(self._items.select("item_id", "title").iter_rows())
        paths = zip(dataset.items["item_id"], dataset.image_paths(), strict=True)
        self._paths = {item_id: path for item_id, path in paths if path is not None}
        self._known_users = dataset.interactions["user_id"].unique(maintain_order=True)
        self._seed = seed

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._titles

    def __len__(self) -> int:
        return len(self._titles)

    def title(self, item_id: str) -> str:
        """The title, or the id where there is none."""
        return self._titles.get(item_id) or item_id

    def path(self, item_id: str) -> Path | None:
        """The file of the picture; also of items that are not ranked."""
        return self._paths.get(item_id)

    def picture(self, item_id: str) -> str | None:
        """The picture as a data address; None where there is none."""
        path = self.path(item_id)
        return None if path is None else thumbnail(path)

    def search(self, query: str, *, most: int) -> list[str]:
        """Ids of items whose title (or id) holds every word of the query; some items of all kinds for no words."""
        words = query[:LONGEST_QUERY].lower().split()
        if not words:
            return self._some_items[:most]
        text = pl.concat_str(pl.col("title").fill_null(""), pl.col("item_id"), separator=" ").str.to_lowercase()
        holds_all = pl.all_horizontal([text.str.contains(word, literal=True) for word in words])
        return self._items.filter(holds_all)["item_id"].head(most).to_list()

    def users(self, count: int) -> list[str]:
        """Some users, the same ones at every call."""
        return self._known_users.sample(min(count, len(self._known_users)), seed=self._seed).to_list()

    @cached_property
    def _some_items(self) -> list[str]:
        ids = list(self._titles)
        return random.Random(self._seed).sample(ids, min(len(ids), 200))


def changed(history: Sequence[str], item_id: str, action: str) -> list[str]:
    """A history after a click: `add` puts the item at its end, `remove` takes its newest occurrence out."""
    kept = list(history)
    if action == "add":
        kept.append(item_id)
    elif action == "remove" and item_id in kept:
        del kept[len(kept) - 1 - kept[::-1].index(item_id)]
    return kept[-LONGEST_HISTORY:]


def newest(history: Sequence[str], *, most: int) -> list[str]:
    """The end of a history, newest first."""
    return list(reversed(history[-most:]))


@lru_cache(maxsize=KEPT)
def thumbnail(path: Path) -> str | None:
    """A picture as a data address; None where it cannot be read."""
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                return None
            return as_address(picture)
    except UNREADABLE:
        return None


def as_address(picture: Image.Image) -> str:
    """A picture, at most `SIDE` pixels wide and high, as a data address."""
    turned = upright(picture)
    small = turned.convert("RGBA" if turned.has_transparency_data else "RGB")
    small.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    small.save(stream, format="WEBP", quality=85)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"
