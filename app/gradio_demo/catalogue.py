"""What there is to choose from: titles, pictures, a search over the titles, and users to begin with."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cached_property

import polars as pl

from app.gradio_demo.thumbnails import thumbnail
from iisan_core.serving.recommender import Recommender

SAMPLE_USERS = 40
LONGEST_QUERY = 200


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

    def picture(self, item_id: str) -> str | None:
        """The picture as a data address; None where there is none."""
        path = self._paths.get(item_id)
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


def newest(history: Sequence[str], *, most: int) -> list[str]:
    """The end of a history, newest first."""
    return list(reversed(history[-most:]))
