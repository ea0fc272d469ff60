"""Titles of demo items: a small grammar that names product, material and season, each in one of several ways.

Nothing in a title depends on motif, palette or texture, and no word names a colour, a shape or a pattern.
Several titles name the season or the material twice in different words; that is what lets a language model
learn from the titles alone which words mean the same.
"""

from __future__ import annotations

import numpy as np

from data_tools.demo.attributes import MATERIALS, PRODUCTS, SEASONS, Attributes

PRODUCT_NAMES = {
    "mug": ("mug", "cup", "tea mug"),
    "lamp": ("lamp", "table lamp", "lantern"),
    "scarf": ("scarf", "shawl", "neck scarf"),
    "notebook": ("notebook", "journal", "diary"),
    "cushion": ("cushion", "sofa cushion", "throw pillow"),
    "backpack": ("backpack", "rucksack", "daypack"),
    "vase": ("vase", "flower vase", "bud vase"),
    "umbrella": ("umbrella", "parasol", "folding umbrella"),
}
MATERIAL_NAMES = {
    "wooden": ("wooden", "oak", "beech-wood"),
    "woollen": ("woollen", "merino", "lambswool"),
    "ceramic": ("ceramic", "stoneware", "porcelain"),
    "leather": ("leather", "calfskin", "suede"),
    "bamboo": ("bamboo", "bamboo-cane", "bamboo-fibre"),
    "copper": ("copper", "copper-plated", "beaten-copper"),
}
CRAFTS = {
    "wooden": ("hand-carved", "oiled"),
    "woollen": ("hand-knitted", "felted"),
    "ceramic": ("glazed", "kiln-fired"),
    "leather": ("hand-stitched", "waxed"),
    "bamboo": ("hand-woven", "steamed"),
    "copper": ("hand-hammered", "riveted"),
}
SEASON_NAMES = {
    "spring": ("spring", "springtime", "April", "blossom-time"),
    "summer": ("summer", "summertime", "July", "midsummer"),
    "autumn": ("autumn", "autumnal", "October", "harvest-time"),
    "winter": ("winter", "wintertime", "January", "yuletide"),
}
OCCASIONS = {
    "spring": ("fresh spring mornings", "the first blossoms", "Easter brunch", "picnics in May"),
    "summer": ("long summer afternoons", "days at the beach", "midsummer parties", "August holidays"),
    "autumn": ("crisp autumn evenings", "harvest suppers", "falling leaves", "misty November walks"),
    "winter": ("quiet winter nights", "snowy weekends", "Christmas mornings", "the frosty fireside"),
}
TEMPLATES = (
    "{maker} {adjective} {material} {product} for {occasion}",
    "{adjective} {material} {product} for {occasion}, {size}",
    "{season} {product} by {maker}, {craft} {material}",
    "{craft} {material} {product}, {season} edition for {occasion}",
    "{maker} {season} collection: {adjective} {material} {product} for {occasion}",
    "{adjective} {product} in {craft} {material}, made for {occasion} ({size})",
    "the {season} {product}: {adjective}, {material}, {size}",
    "{craft} {season} {product}, {adjective} {material}, by {maker}",
)
MAKERS = ("Norrvik", "Tamsel", "Ostrella", "Kestrum", "Lumora", "Pellwick", "Audenmill", "Hollin & Vey")
ADJECTIVES = (
    "handmade",
    "everyday",
    "classic",
    "sturdy",
    "elegant",
    "simple",
    "charming",
    "modern",
    "timeless",
)
SIZES = ("small", "medium", "large", "size S", "size M", "size L", "gift-boxed", "set of two")


def compose_title(attributes: Attributes, *, rng: np.random.Generator) -> str:
    """One title for an item; wording, maker, adjective and size are drawn from `rng` and mean nothing."""
    product = PRODUCTS[attributes.product]
    material = MATERIALS[attributes.material]
    season = SEASONS[attributes.season]
    title = _pick(TEMPLATES, rng=rng).format(
        product=_pick(PRODUCT_NAMES[product], rng=rng),
        material=_pick(MATERIAL_NAMES[material], rng=rng),
        craft=_pick(CRAFTS[material], rng=rng),
        season=_pick(SEASON_NAMES[season], rng=rng),
        occasion=_pick(OCCASIONS[season], rng=rng),
        maker=_pick(MAKERS, rng=rng),
        adjective=_pick(ADJECTIVES, rng=rng),
        size=_pick(SIZES, rng=rng),
    )
    return title[0].upper() + title[1:]


def _pick(words: tuple[str, ...], *, rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]
