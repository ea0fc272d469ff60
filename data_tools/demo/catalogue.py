"""The items of the demo world: attributes, popularity, launch, what is missing, and how an item's title is worded.

A title names product, material and season, each in one of several ways. Nothing in it depends on motif, palette or
texture, and no word names a colour, a shape or a pattern. Several titles name the season or the material twice in
different words; that is what lets a language model learn from the titles alone which words mean the same.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from data_tools.demo.parameters import MATERIALS, PALETTES, PRODUCTS, SEASONS, VALUES, Attributes, DemoWorld

REGULAR, LATE, UNSOLD = 0, 1, 2
LAUNCHES = ("regular", "late", "unsold")
"""When an item can occur: at any time, only as a user's last interaction, or not at all."""

Array = NDArray[np.int64]

PRODUCT_NAMES = {
    "mug": ("mug", "cup"),
    "lamp": ("lamp", "lantern"),
    "scarf": ("scarf", "shawl"),
    "notebook": ("notebook", "journal"),
    "cushion": ("cushion", "pillow"),
    "backpack": ("backpack", "rucksack"),
    "vase": ("vase", "flower-vase"),
    "umbrella": ("umbrella", "parasol"),
}
DETAILS = {
    "mug": "tea-sized",
    "lamp": "dimmable",
    "scarf": "extra-long",
    "notebook": "ruled",
    "cushion": "washable",
    "backpack": "padded",
    "vase": "tall",
    "umbrella": "windproof",
}
MATERIAL_NAMES = {
    "wooden": ("wooden", "oak"),
    "woollen": ("woollen", "merino"),
    "ceramic": ("ceramic", "stoneware"),
    "leather": ("leather", "suede"),
    "bamboo": ("bamboo", "rattan"),
    "copper": ("copper", "copper-plated"),
}
CRAFTS = {
    "wooden": "carved",
    "woollen": "knitted",
    "ceramic": "glazed",
    "leather": "stitched",
    "bamboo": "woven",
    "copper": "hammered",
}
SEASON_NAMES = {
    "spring": ("spring", "April"),
    "summer": ("summer", "July"),
    "autumn": ("autumn", "harvest-time"),
    "winter": ("winter", "yuletide"),
}
OCCASIONS = {
    "spring": ("spring mornings", "Easter brunch", "first blossoms"),
    "summer": ("summer afternoons", "beach days", "garden parties"),
    "autumn": ("crisp autumn evenings", "harvest suppers", "November walks"),
    "winter": ("winter nights", "snowy weekends", "Christmas mornings"),
}
TEMPLATES = (
    "{adjective} {craft} {material} {product} for {occasion}",
    "{craft} {material} {product}, {detail}, {season} edition for {occasion}",
    "{season} {product} by {maker}, {detail}, {craft} {material}, for {occasion}",
    "{craft} {material} {product}, {season} edition for {occasion}",
    "{maker} {season} collection: {detail} {craft} {material} {product} for {occasion}",
    "{adjective} {season} {product}, {craft} {material}, {detail}, {size}",
)
MAKERS = ("Norrvik", "Tamsel", "Ostrella", "Kestrum", "Lumora", "Pellwick")
ADJECTIVES = ("hand-made", "everyday", "classic", "sturdy", "elegant", "charming")
SIZES = ("small", "medium", "large", "gift-boxed")


@dataclass(frozen=True)
class Catalogue:
    """What is true of every item; arrays of length N, attributes as indices (see `parameters`)."""

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
        "motif": _dealt(n, len(VALUES["motif"]), rng=rng),
        "palette": palette,
        "texture": _dealt(n, len(VALUES["texture"]), rng=rng),
        "product": _dealt(n, len(VALUES["product"]), rng=rng),
        "material": _dealt(n, len(VALUES["material"]), rng=rng),
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


def compose_title(attributes: Attributes, *, rng: np.random.Generator) -> str:
    """One title for an item; wording, maker, adjective and size are drawn from `rng` and mean nothing."""
    product = PRODUCTS[attributes.product]
    material = MATERIALS[attributes.material]
    season = SEASONS[attributes.season]
    title = _pick(TEMPLATES, rng=rng).format(
        product=_pick(PRODUCT_NAMES[product], rng=rng),
        material=_pick(MATERIAL_NAMES[material], rng=rng),
        detail=DETAILS[product],
        craft=CRAFTS[material],
        season=_pick(SEASON_NAMES[season], rng=rng),
        occasion=_pick(OCCASIONS[season], rng=rng),
        maker=_pick(MAKERS, rng=rng),
        adjective=_pick(ADJECTIVES, rng=rng),
        size=_pick(SIZES, rng=rng),
    )
    return title[0].upper() + title[1:]


def _pick(words: tuple[str, ...], *, rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]
