"""Put the demo world together: items, pictures, titles, users and their choices, as a dataset folder.

Beside the dataset's own files lies `truth/`: what a recommender has to find out, and can be judged against.
"""

from __future__ import annotations

import io
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl

from data_tools.demo.catalogue import LATE, LAUNCHES, Array, Catalogue, compose_title, draw_catalogue
from data_tools.demo.parameters import KINDS, VALUES, DemoWorld
from data_tools.demo.pictures import draw_picture
from data_tools.demo.tastes import NOTHING, Tastes, choose_items, draw_tastes, draw_timestamps
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
        write_text(truth / "README.md", _describe(world, seed=seed))

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
    return pl.DataFrame(
        {
            "item_id": catalogue.item_ids,
            **{name: np.array(values)[catalogue.attributes[name]].tolist() for name, values in VALUES.items()},
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


def _describe(world: DemoWorld, *, seed: int) -> str:
    """`truth/README.md`: how items, users and choices came about, and what an ablation should find."""
    picture, title, both = world.kind_shares
    names = {attribute: ", ".join(values) for attribute, values in VALUES.items()}
    palettes, styles = len(VALUES["palette"]), len(VALUES["style"])
    return f"""# The truth behind this demo world

A shop with {world.items} items and {world.users} users that the program made from seed {seed}. No part of it is
real, so it is known what a recommender can learn from where. `world.json` holds the numbers below,
`items.parquet` and `users.parquet` the truth of every item and user. No model may read this folder.

## Items
| seen in | attributes |
| --- | --- |
| the picture only | motif ({names["motif"]}), palette ({names["palette"]}), texture ({names["texture"]}) |
| the title only | product ({names["product"]}), material ({names["material"]}), season ({names["season"]}) |
| both together | style ({names["style"]}) = (number of the palette + number of the season) modulo {styles} |

Attributes are drawn independently and every value is equally frequent. Palettes and seasons are dealt in pairs:
within any one palette, and within any one season, all styles are equally frequent. So whoever sees the
picture alone, or the title alone, knows nothing of the style. A sum of one part from the picture and one from
the title is uncorrelated with it; the most that a sum can do is to put one of a style's
{palettes} pairs of palette and season on top, and so miss the others.

Popularity is independent of all attributes: the item of rank n has weight n^-{world.popularity_exponent}.
{world.late_items:.0%} of the items are `late`: they were launched at the end and occur only as a user's last
interaction (cold test targets). {world.unsold_items:.0%} are `unsold`: on offer, without any interaction.
{world.without_picture:.0%} have no picture, {world.without_title:.0%} other ones have no title.

## Users
| kind | share | likes one |
| --- | --- | --- |
| `picture` | {picture:.0%} | motif |
| `title` | {title:.0%} | material |
| `combination` | {both:.0%} | style |

A user makes {world.shortest} to {world.longest} choices, all lengths equally likely. Each choice:
1. With probability {world.taste}, only items with the liked value count; else taste plays no part.
2. Habit: with probability {world.habit}, only items of the product after the last one's count, in the order
   {names["product"]}, and round again; else any product. (Where nothing is left, habit yields.)
3. Among what is left and not chosen before, one item is drawn by popularity.
With probability {world.late_choices} the last choice is made, in the same way, among the late items.

## What an ablation should find
* Habit shows in titles only, so without titles all users are served worse.
* `picture` users need pictures for their taste, `title` users titles.
* `combination` users need a model that mixes both *within* an item (the inter-modal network). A model whose
  item vector is a sum of one part from the picture and one from the title (intra-modal networks only) can serve
  their habit but hardly their taste; on the other kinds it should be no worse.
* Texture means nothing to anybody.
"""
