"""The whole trainable model: item encoder and user encoder."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from iisan_core.config import ModelConfig
from iisan_core.model.item_encoder import ItemEncoder
from iisan_core.model.user_encoder import UserEncoder
from iisan_core.validation import Strict


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
