"""The truth behind the demo world: what its items are, and in numbers, how its users choose.

The picture shows `motif`, `palette` and `texture`; the title names `product`, `material` and `season`.
Neither says anything of the other. `style` is a Latin square over palette and season: every palette and
every season occurs equally often in every style, so neither picture nor title alone tells anything of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from iisan_core.errors import RefusedError

MOTIFS = ("circle", "square", "triangle", "star", "cross", "ring")
PALETTES = ("red", "yellow", "green", "blue")
TEXTURES = ("plain", "stripes", "dots", "checks")

PRODUCTS = ("mug", "lamp", "scarf", "notebook", "cushion", "backpack", "vase", "umbrella")
MATERIALS = ("wooden", "woollen", "ceramic", "leather", "bamboo", "copper")
SEASONS = ("spring", "summer", "autumn", "winter")

STYLES = ("calm", "bold", "rustic", "festive")

VALUES = {
    "motif": MOTIFS,
    "palette": PALETTES,
    "texture": TEXTURES,
    "product": PRODUCTS,
    "material": MATERIALS,
    "season": SEASONS,
    "style": STYLES,
}
"""Attribute → the names of its values."""

KINDS = {"picture": "motif", "title": "material", "combination": "style"}
"""Kinds of users, and the attribute that a user of each kind likes one value of."""


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


@dataclass(frozen=True)
class DemoWorld:
    """How many there are of everything in the demo world, and how its users choose."""

    items: int = 1800
    """Items on offer."""
    users: int = 5000
    """Users, each with one kind and one liked value for good."""
    kind_shares: tuple[float, float, float] = (0.3, 0.3, 0.4)
    """Shares of users whose taste hangs on the picture, on the title, and on both together."""
    taste: float = 0.9
    """Probability that a choice is made among the items with the liked value; else taste plays no part."""
    habit: float = 0.8
    """Probability that the next item's product is the successor of the last one's; else any product."""
    popularity_exponent: float = 0.6
    """The item of popularity rank n has weight n to the power of minus this, among those to choose from."""
    shortest: int = 6
    """Fewest interactions of a user."""
    longest: int = 16
    """Most interactions of a user; lengths in between are equally likely."""
    late_items: float = 0.05
    """Share of items launched at the very end: they occur only as a user's last interaction."""
    late_choices: float = 0.1
    """Probability that a user's last interaction is with a late item, chosen by the same taste and habit."""
    unsold_items: float = 0.02
    """Share of items that nobody has interacted with yet."""
    without_picture: float = 0.03
    """Share of items that have no picture."""
    without_title: float = 0.03
    """Share of items that have no title; never the same items as those without a picture."""

    def __post_init__(self) -> None:
        if self.items < 64 or self.users < 1:
            raise RefusedError(
                f"a demo world of {self.items} items and {self.users} users: it needs at least 64 items, so that "
                "every taste finds some, and 1 user"
            )
