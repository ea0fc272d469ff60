"""Titles of demo items: a small grammar that names product, material and season, each in one of several ways.

Nothing in a title depends on motif, palette or texture, and no word names a colour, a shape or a pattern.
Several titles name the season or the material twice in different words; that is what lets a language model
learn from the titles alone which words mean the same.
"""

from __future__ import annotations

import numpy as np

from data_tools.demo.attributes import MATERIALS, PRODUCTS, SEASONS, Attributes

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
