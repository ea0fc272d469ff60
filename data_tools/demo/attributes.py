"""What a demo item is: the attributes behind its picture, its title, and what only both together tell.

The picture shows `motif`, `palette` and `texture`; the title names `product`, `material` and `season`.
Neither says anything of the other. `style` is a Latin square over palette and season: every palette and
every season occurs equally often in every style, so neither picture nor title alone tells anything of it.
"""

from __future__ import annotations

from dataclasses import dataclass

MOTIFS = ("circle", "square", "triangle", "star", "cross", "ring")
PALETTES = ("red", "yellow", "green", "blue")
TEXTURES = ("plain", "stripes", "dots", "checks")

PRODUCTS = ("mug", "lamp", "scarf", "notebook", "cushion", "backpack", "vase", "umbrella")
MATERIALS = ("wooden", "woollen", "ceramic", "leather", "bamboo", "copper")
SEASONS = ("spring", "summer", "autumn", "winter")

STYLES = ("calm", "bold", "rustic", "festive")


@dataclass(frozen=True)
class Attributes:
    """The truth behind one demo item; every field is an index into the tuple of the same name above."""

    motif: int
    palette: int
    texture: int
    product: int
    material: int
    season: int

    @property
    def style(self) -> int:
        """Index into `STYLES`: known only to who sees both the palette and the season."""
        return (self.palette + self.season) % len(STYLES)
