"""The whole trainable model: item encoder and user encoder.

What the learned gates of a model let through, block by block (method, section 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from iisan_core.config.schema import ModelConfig, Strict
from iisan_core.model.item_encoder import ItemEncoder
from iisan_core.model.san import InterSAN, IntraSAN
from iisan_core.model.user_encoder import UserEncoder


class ModelShape(Strict):
    """All that a model needs to be built; weights apart, `best/config.json` is just this."""

    widths: dict[str, tuple[int, ...]]
    """Modality, in fusion order → width of each cached layer, from the cache manifests."""
    kept: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    """Modality → the cached layers that the model reads, numbered from 0; all where it names none."""
    gaps: tuple[str, ...] = ()
    """Modalities that some items lack."""
    inputs: int
    """S."""
    items: int = 0
    """N, where each item has an id vector of its own; else 0."""
    config: ModelConfig


class RecommenderModel(nn.Module):
    """Item vectors from cached states, user states from sequences of item vectors; a score is their product."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        config = shape.config
        self.items = ItemEncoder(
            widths=shape.widths, kept=shape.kept, config=config, gaps=shape.gaps, items=shape.items
        )
        self.users = UserEncoder(
            width=config.embedding,
            positions=shape.inputs,
            blocks=config.blocks,
            heads=config.heads,
            dropout=config.dropout,
        )

    def forward(
        self, states: Mapping[str, Tensor], present: Mapping[str, Tensor], slots: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Distinct items' states and each slot's index among them → user states, item vectors.

        states   modality → [C, ΣD], and item numbers [C] under `ids` where the model has them
        present  modality → bool [C]
        slots    [B, S]                  −1 where padded
        returns  float32 [B, S, E] and [C, E]
        """
        vectors = self.items(states, present).float()
        sequence = F.embedding(slots.clamp(min=0), vectors)  # [B, S, E]
        with torch.autocast(vectors.device.type, enabled=False):
            return self.users(sequence, slots >= 0), vectors


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
