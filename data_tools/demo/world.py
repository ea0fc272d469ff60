"""Put the demo world together: items, pictures, titles, users and their choices, as a dataset folder.

Beside the dataset's own files lies `truth/`: what a recommender has to find out, and can be judged against.
"""

from __future__ import annotations

import io
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl

from data_tools.demo import attributes as names
from data_tools.demo.catalogue import LATE, LAUNCHES, Array, Catalogue, draw_catalogue
from data_tools.demo.parameters import KINDS, DemoWorld
from data_tools.demo.pictures import draw_picture
from data_tools.demo.tastes import NOTHING, VALUES, Tastes, choose_items, draw_tastes, draw_timestamps
from data_tools.demo.titles import compose_title
from data_tools.demo.truth import describe
from data_tools.writing import write_dataset
from iisan_core.data.dataset import Dataset
from iisan_core.errors import RefusedError
from iisan_core.files import refuse_existing, write_json, write_text

# Every part draws from a stream of its own, so that changing one part leaves the others as they were.
_CATALOGUE, _TASTES, _CHOICES, _TIMES, _PICTURES, _TITLES = range(6)


def make_demo_world(folder: str | Path, *, seed: int = 0, items: int = 1800, users: int = 5000) -> Dataset:
    """Make the demo shop in `folder`; the same arguments give the same bytes.

    Raises `RefusedError` if `folder` is taken, the seed is negative or the world is too small.
    """
    refuse_existing(Path(folder))
    if seed < 0:
        raise RefusedError(f"seed {seed}: it must be 0 or more")
    world = DemoWorld(items=items, users=users)
    catalogue = draw_catalogue(world, rng=_rng(seed, _CATALOGUE))
    tastes = draw_tastes(world, rng=_rng(seed, _TASTES))
    sequences = choose_items(catalogue, tastes, world=world, rng=_rng(seed, _CHOICES))
    late = (np.where(sequences != NOTHING, catalogue.launch[sequences], NOTHING) == LATE).any(axis=1)
    times = draw_timestamps(sequences, late=late, rng=_rng(seed, _TIMES))

    def write_truth(unfinished: Path) -> None:
        truth = unfinished / "truth"
        truth.mkdir()
        _item_truth(catalogue).write_parquet(truth / "items.parquet")
        _user_truth(tastes).write_parquet(truth / "users.parquet")
        write_json(truth / "world.json", {"seed": seed, **asdict(world)})
        write_text(truth / "README.md", describe(world, seed=seed))

    return write_dataset(
        folder,
        name="demo",
        source=f"made by the program, seed {seed}",
        items=_items(catalogue, seed=seed),
        interactions=_interactions(catalogue, tastes, sequences=sequences, times=times),
        images=_pictures(catalogue, seed=seed),
        also=write_truth,
    )


def _rng(seed: int, *stream: int) -> np.random.Generator:
    return np.random.default_rng((seed, *stream))


def _items(catalogue: Catalogue, *, seed: int) -> pl.DataFrame:
    ids = catalogue.item_ids
    titles = [
        compose_title(catalogue.item(i), rng=_rng(seed, _TITLES, i)) if present else None
        for i, present in enumerate(catalogue.has_title)
    ]
    images = [item_id if present else None for item_id, present in zip(ids, catalogue.has_picture, strict=True)]
    return pl.DataFrame(
        {"item_id": ids, "title": titles, "image": images},
        schema={"item_id": pl.String, "title": pl.String, "image": pl.String},
    )


def _pictures(catalogue: Catalogue, *, seed: int) -> dict[str, bytes]:
    """Item id → PNG, for the items that have a picture."""
    pictures = {}
    for i in np.flatnonzero(catalogue.has_picture).tolist():
        encoded = io.BytesIO()
        draw_picture(catalogue.item(i), rng=_rng(seed, _PICTURES, i)).save(encoded, format="PNG")
        pictures[catalogue.item_ids[i]] = encoded.getvalue()
    return pictures


def _interactions(catalogue: Catalogue, tastes: Tastes, *, sequences: Array, times: Array) -> pl.DataFrame:
    users, positions = np.nonzero(sequences != NOTHING)
    return pl.DataFrame(
        {
            "user_id": np.array(tastes.user_ids)[users],
            "item_id": np.array(catalogue.item_ids)[sequences[users, positions]],
            "timestamp": times[users, positions],
        },
        schema={"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64},
    )


def _item_truth(catalogue: Catalogue) -> pl.DataFrame:
    values = {
        "motif": names.MOTIFS,
        "palette": names.PALETTES,
        "texture": names.TEXTURES,
        "product": names.PRODUCTS,
        "material": names.MATERIALS,
        "season": names.SEASONS,
        "style": names.STYLES,
    }
    columns = {column: np.array(value)[catalogue.attributes[column]] for column, value in values.items()}
    return pl.DataFrame(
        {
            "item_id": catalogue.item_ids,
            **{column: value.tolist() for column, value in columns.items()},
            "popularity": catalogue.popularity,
            "launch": np.array(LAUNCHES)[catalogue.launch].tolist(),
            "has_picture": catalogue.has_picture,
            "has_title": catalogue.has_title,
        }
    )


def _user_truth(tastes: Tastes) -> pl.DataFrame:
    kinds = list(KINDS.items())
    kind_of = [kinds[k] for k in tastes.kind.tolist()]
    return pl.DataFrame(
        {
            "user_id": tastes.user_ids,
            "kind": [kind for kind, _ in kind_of],
            "liked": [VALUES[a][v] for (_, a), v in zip(kind_of, tastes.liked.tolist(), strict=True)],
        }
    )
