"""The text beside the demo world that says what is true in it."""

from __future__ import annotations

from data_tools.demo.attributes import MATERIALS, MOTIFS, PALETTES, PRODUCTS, SEASONS, STYLES, TEXTURES
from data_tools.demo.parameters import DemoWorld


def describe(world: DemoWorld, *, seed: int) -> str:
    """`truth/README.md`: how items, users and choices came about, and what an ablation should find."""
    picture, title, both = world.kind_shares
    return f"""# The truth behind this demo world

A shop with {world.items} items and {world.users} users that the program made from seed {seed}. No part of it is
real, so it is known what a recommender can learn from where. `world.json` holds the numbers below,
`items.parquet` and `users.parquet` the truth of every item and user. No model may read this folder.

## Items
| seen in | attributes |
| --- | --- |
| the picture only | motif ({", ".join(MOTIFS)}), palette ({", ".join(PALETTES)}), texture ({", ".join(TEXTURES)}) |
| the title only | product ({", ".join(PRODUCTS)}), material ({", ".join(MATERIALS)}), season ({", ".join(SEASONS)}) |
| both together | style ({", ".join(STYLES)}) = (number of the palette + number of the season) modulo {len(STYLES)} |

Attributes are drawn independently and every value is equally frequent. Palettes and seasons are dealt in pairs:
within any one palette, and within any one season, all styles are equally frequent. So whoever sees the
picture alone, or the title alone, knows nothing of the style. A sum of one part from the picture and one from
the title is uncorrelated with it; the most that a sum can do is to put one of a style's
{len(PALETTES)} pairs of palette and season on top, and so miss the others.

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
   {", ".join(PRODUCTS)}, and round again; else any product. (Where nothing is left, habit yields.)
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
