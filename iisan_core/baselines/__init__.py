"""Recommenders that are counted instead of trained: what every trained one has to beat.

Each is made from a split's training interactions and scores items for a block of histories; `COUNTED` names them
as configurations do. Learned baselines (ids, frozen states) are configurations of the model instead.
"""

from __future__ import annotations

from collections.abc import Callable

from iisan_core.baselines.item_knn import ItemKNN
from iisan_core.baselines.popular import Popular
from iisan_core.baselines.ranks import counted_ranks
from iisan_core.config import BaselineConfig
from iisan_core.sequences import Split

__all__ = ["COUNTED", "Counted", "ItemKNN", "Popular", "count", "counted_ranks"]

Counted = Popular | ItemKNN

COUNTED: dict[str, Callable[[Split, BaselineConfig], Counted]] = {
    "popular": lambda split, _: Popular(split),
    "item-knn": ItemKNN,
}
"""By `baseline.kind`."""


def count(split: Split, config: BaselineConfig) -> Counted:
    """The baseline that a configuration names, counted from the training interactions of a split."""
    return COUNTED[config.kind](split, config)
