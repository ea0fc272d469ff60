"""A model that starts from another one's weights: what fits is taken over, what does not is named and starts fresh.

Item vectors of their own go by item id, positions by their distance from the newest; all else by name and shape. Towers
that read other states than their namesakes there start fresh: their weights would mean nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from iisan_core.config.schema import INTER
from iisan_core.errors import RefusedError
from iisan_core.model.recommender import RecommenderModel

ID_VECTORS = "items.ids.vectors.weight"
POSITIONS = "position.weight"
FUSION = "items.fusion."


@dataclass
class Transfer:
    """What became of every tensor of the new model, by name."""

    loaded: list[str] = field(default_factory=list)
    in_part: dict[str, str] = field(default_factory=dict)
    """Name → how much of it was taken over."""
    fresh: dict[str, str] = field(default_factory=dict)
    """Name → why it was not."""

    def as_record(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    def in_words(self) -> list[str]:
        """A line in all, then one for each tensor that was not loaded whole."""
        counts = f"{len(self.loaded)} tensors loaded, {len(self.in_part)} in part, {len(self.fresh)} fresh"
        parts = [f"in part: {name}: {how}" for name, how in self.in_part.items()]
        return [counts, *parts, *(f"fresh: {name}: {why}" for name, why in self.fresh.items())]


@torch.no_grad()
def transfer(
    model: RecommenderModel,
    source: RecommenderModel,
    *,
    item_ids: Sequence[str],
    source_item_ids: Sequence[str],
    other_states: Collection[str] = (),
) -> Transfer:
    """Give `model` the weights of `source` that fit it.

    item_ids         of items 1 … N of `model`
    source_item_ids  of items 1 … N of `source`
    other_states     modalities whose states come from another backbone, pooling or layers than those of `source`

    Raises `RefusedError` where nothing fits.
    """
    found = Transfer()
    there = source.state_dict()
    for name, tensor in model.state_dict().items():
        other = there.get(name)
        why_fresh = _why_fresh(name, model, source, other_states)
        if other is None:
            found.fresh[name] = "the other model has none"
        elif why_fresh:
            found.fresh[name] = why_fresh
        elif name == ID_VECTORS and tensor.shape[1] == other.shape[1]:
            found.in_part[name] = _by_id(tensor, other, item_ids, source_item_ids)
        elif tensor.shape == other.shape:
            tensor.copy_(other)
            found.loaded.append(name)
        elif name.endswith(POSITIONS) and tensor.shape[1] == other.shape[1]:
            found.in_part[name] = _newest(tensor, other)
        else:
            found.fresh[name] = f"it is {list(tensor.shape)} here and {list(other.shape)} there"
    if not (found.loaded or found.in_part):
        raise RefusedError("nothing of the other model fits this one: " + "; ".join(found.in_words()[1:4]))
    return found


def _why_fresh(name: str, model: RecommenderModel, source: RecommenderModel, other_states: Collection[str]) -> str:
    """Why a tensor's values there would mean nothing here, though they may fit; empty where they do mean something."""
    if name.startswith(FUSION):
        ours, theirs = [*model.items.towers], [*source.items.towers]
        return "" if ours == theirs else f"it fuses {', '.join(ours)} here and {', '.join(theirs)} there"
    group, _, rest = name.removeprefix("items.").partition(".")
    tower = rest.split(".")[0]
    if not name.startswith("items.") or group == "ids":
        return ""
    if tower == INTER:
        ours, theirs = [*model.shape.widths], [*source.shape.widths]
        if ours != theirs:
            return f"it mixes {', '.join(ours)} here and {', '.join(theirs)} there"
        return f"the {', '.join(other_states)} states come from elsewhere" if other_states else ""
    return f"the {tower} states come from another backbone, pooling or layers" if tower in other_states else ""


def _by_id(vectors: Tensor, other: Tensor, item_ids: Sequence[str], source_item_ids: Sequence[str]) -> str:
    """Row `n ≥ 1` of both [N + 1, E] is of the n-th id."""
    place = {item_id: n for n, item_id in enumerate(source_item_ids, start=1)}
    known = [(n, place[item_id]) for n, item_id in enumerate(item_ids, start=1) if item_id in place]
    if known:
        rows, of = torch.tensor(known).T
        vectors[rows] = other[of].to(vectors)
    return f"{len(known):,} of {len(item_ids):,} items, by their ids"


def _newest(positions: Tensor, other: Tensor) -> str:
    """[S, E] of both: the last row is the newest item's."""
    count = min(len(positions), len(other))
    positions[-count:] = other[-count:]
    return f"the newest {count} of {len(positions)} positions"
