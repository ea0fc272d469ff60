"""What the learned gates of a model let through, block by block (method, section 3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from iisan_core.model.recommender_model import RecommenderModel
from iisan_core.model.san import InterSAN, IntraSAN


@dataclass(frozen=True)
class Gates:
    """The gates of one tower, first block first."""

    tower: str
    """A modality, or `inter`."""
    shares: dict[str, list[float]]
    """Source → its share per block, 0 to 1; the shares of a block sum to 1.

    An intra tower mixes the modality's hidden state with the state before (`so far`); the inter tower mixes modalities.
    """


SO_FAR = "so far"


@torch.no_grad()
def gates_of(model: RecommenderModel) -> list[Gates]:
    """The gates of every tower that has some, in the towers' order."""
    towers = model.items.towers.items()
    return [_gates(name, tower) for name, tower in towers if isinstance(tower, IntraSAN | InterSAN)]


def _gates(name: str, tower: IntraSAN | InterSAN) -> Gates:
    if isinstance(tower, IntraSAN):
        here = tower.shares()
        return Gates(name, {name: here.tolist(), SO_FAR: (1 - here).tolist()})
    return Gates(name, dict(zip(tower.dtl, tower.shares().T.tolist(), strict=True)))
