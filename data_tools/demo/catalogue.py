"""The items of the demo world: attributes, popularity, launch, and what is missing."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from data_tools.demo.attributes import MATERIALS, MOTIFS, PALETTES, PRODUCTS, SEASONS, TEXTURES, Attributes
from data_tools.demo.parameters import DemoWorld

REGULAR, LATE, UNSOLD = 0, 1, 2
LAUNCHES = ("regular", "late", "unsold")
"""When an item can occur: at any time, only as a user's last interaction, or not at all."""

Array = NDArray[np.int64]


@dataclass(frozen=True)
class Catalogue:
    """What is true of every item; arrays of length N, attributes as indices (see `attributes`)."""

    attributes: dict[str, Array]
    """The fields of `Attributes`, and `style`."""
    popularity: NDArray[np.float64]
    """Weight of the item among those to choose from; they sum to 1."""
    launch: Array
    """Index into `LAUNCHES`."""
    has_picture: NDArray[np.bool_]
    has_title: NDArray[np.bool_]

    @property
    def item_ids(self) -> list[str]:
        """Ids as a shop would give them."""
        return [f"P{number:04d}" for number in range(1, len(self.launch) + 1)]

    def item(self, index: int) -> Attributes:
        """The attributes of one item."""
        return Attributes(**{f.name: int(self.attributes[f.name][index]) for f in fields(Attributes)})


def draw_catalogue(world: DemoWorld, *, rng: np.random.Generator) -> Catalogue:
    """Draw the items; every value of every attribute, and every style, occurs equally often (± 1)."""
    n = world.items
    # Palette and season are dealt as pairs, so that neither tells anything of their sum, the style.
    pair = _dealt(n, len(PALETTES) * len(SEASONS), rng=rng)
    palette, season = pair // len(SEASONS), pair % len(SEASONS)
    attributes = {
        "motif": _dealt(n, len(MOTIFS), rng=rng),
        "palette": palette,
        "texture": _dealt(n, len(TEXTURES), rng=rng),
        "product": _dealt(n, len(PRODUCTS), rng=rng),
        "material": _dealt(n, len(MATERIALS), rng=rng),
        "season": season,
    }
    attributes["style"] = _styles(attributes)
    weight = rng.permutation(np.arange(1, n + 1) ** -world.popularity_exponent)
    late, unsold = _disjoint(n, world.late_items, world.unsold_items, rng=rng)
    no_picture, no_title = _disjoint(n, world.without_picture, world.without_title, rng=rng)
    return Catalogue(
        attributes=attributes,
        popularity=weight / weight.sum(),
        launch=np.where(late, LATE, np.where(unsold, UNSOLD, REGULAR)),
        has_picture=~no_picture,
        has_title=~no_title,
    )


def _styles(attributes: dict[str, Array]) -> Array:
    columns = [attributes[f.name].tolist() for f in fields(Attributes)]
    return np.array([Attributes(*values).style for values in zip(*columns, strict=True)])


def _dealt(n: int, values: int, *, rng: np.random.Generator) -> Array:
    """`n` values of `0 … values − 1`, each equally often (± 1), in random order."""
    return rng.permutation(np.arange(n) % values)


def _disjoint(
    n: int, first: float, second: float, *, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Two disjoint random sets with these shares of `n` items."""
    place = rng.permutation(n)
    end = round(n * first)
    return place < end, (place >= end) & (place < end + round(n * second))
