"""The whole trainable model: item encoder and user encoder (method, sections 3 and 4). What its gates let through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from iisan_core.config.schema import ModelConfig, Strict, renamed
from iisan_core.model.frozen import FrozenProfile
from iisan_core.model.gru4rec import GRU4Rec
from iisan_core.model.hstu import HSTU
from iisan_core.model.item_encoder import ItemEncoder
from iisan_core.model.san import InterSAN, IntraSAN
from iisan_core.model.user_encoder import SASRec, UserEncoder


class ModelShape(Strict):
    """All that a model needs to be built; weights apart, `best/config.json` is just this."""

    widths: dict[str, tuple[int, ...]]
    """Modality, in fusion order → width of each cached layer, from the cache manifests."""
    kept: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    """Modality → the cached layers that the model reads, numbered from 0; all where it names none."""
    missing: tuple[str, ...] = ()
    """Modalities that some items lack."""
    max_history: int
    """S."""
    items: int = 0
    """N, where each item has an id vector of its own; else 0."""
    config: ModelConfig

    @property
    def widest(self) -> int:
        """D of the widest cached layer; 0 without states."""
        return max((max(widths) for widths in self.widths.values()), default=0)

    @model_validator(mode="before")
    @classmethod
    def _named_as_before(cls, values: Any) -> Any:
        return renamed(values, inputs="max_history", gaps="missing")


USER_ENCODERS: dict[str, type[SASRec] | type[GRU4Rec] | type[HSTU]] = {
    "sasrec": SASRec,
    "gru4rec": GRU4Rec,
    "hstu": HSTU,
}
"""By `model.user_encoder`."""


class RecommenderModel(nn.Module):
    """Item vectors from cached states, user states from sequences of item vectors; a score is their product.

    Side-adapted networks of IISAN and IISAN-Versa, section 3 of either, under a user encoder, SASRec's by default; a
    newly built one has random weights. `items` is the item encoder, `users` the user encoder.

    Args:
        shape: Widths of the cached layers, inputs S, and the configuration; `RunInputs.shape` reads it from caches.

    Raises:
        RefusedError: One linear for all blocks was asked for over layers of several widths, or ids without items.

    Example:
        >>> import torch
        >>> from iisan_core import RecommenderModel
        >>> from iisan_core.config.schema import ModelConfig, renamed
        >>> from iisan_core.model.recommender import ModelShape
        >>> config = ModelConfig(bottleneck=4, embedding=8)
        >>> widths = {"image": (16, 16), "text": (24, 24)}
        >>> model = RecommenderModel(ModelShape(widths=widths, max_history=3, config=config))
        >>> states = {"image": torch.randn(5, 32), "text": torch.randn(5, 48)}  # five items, two layers side by side
        >>> present = {name: torch.ones(5, dtype=torch.bool) for name in states}
        >>> users, items = model(states, present, torch.tensor([[-1, 0, 1], [2, 3, 4]]))
        >>> users.shape, items.shape
        (torch.Size([2, 3, 8]), torch.Size([5, 8]))
        >>> scores = users[:, -1] @ items.T  # of every item, for both users
    """

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        config = shape.config
        self.items = ItemEncoder(
            widths=shape.widths, kept=shape.kept, config=config, missing=shape.missing, items=shape.items
        )
        self.users: UserEncoder = USER_ENCODERS[config.user_encoder](
            width=config.embedding,
            positions=shape.max_history,
            blocks=config.blocks,
            heads=config.heads,
            dropout=config.dropout,
        )
        frozen = self.items.frozen
        self.frozen = FrozenProfile(widths=frozen.widths, ages=config.frozen_ages) if frozen is not None else None

    def forward(
        self, states: Mapping[str, Tensor], present: Mapping[str, Tensor], slots: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Distinct items' states and each slot's index among them → user states, item vectors.

        Args:
            states: Modality → [C, ΣD], any float dtype; where the model has ids, `ids` → item numbers int64 [C].
            present: Modality → bool [C]; what an absent row holds does not matter.
            slots: int64 [B, S], −1 where padded, on the left.

        Returns:
            User states float32 [B, S, E], and item vectors float32 [C, E].
        """
        vectors = self.item_vectors(states, present)
        return self.user_states(vectors, slots), vectors

    def item_vectors(self, states: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """The first half of `forward`: float32 [C, E]."""
        return self.items(states, present).float()

    def user_states(self, vectors: Tensor, slots: Tensor) -> Tensor:
        """The second half of `forward`: item vectors [C, E] and each slot's index among them [B, S] → [B, S, E]."""
        sequence = F.embedding(slots.clamp(min=0), vectors)  # [B, S, E]
        with torch.autocast(vectors.device.type, enabled=False):
            return self._states_of(sequence, slots >= 0)

    @property
    def max_history(self) -> int:
        """S."""
        return self.shape.max_history

    @property
    def modalities(self) -> tuple[str, ...]:
        """What items are known by; nothing for a model of ids alone."""
        return tuple(self.shape.widths)

    @property
    def learned_width(self) -> int:
        """E: the columns by which items are alike, first of all."""
        return self.shape.config.embedding

    @property
    def frozen_columns(self) -> dict[str, slice]:
        """Modality → where its part of the frozen path lies in item vectors and user states; none without that path."""
        frozen = self.items.frozen
        return frozen.columns(after=self.shape.config.embedding) if frozen is not None else {}

    @property
    def width(self) -> int:
        """Columns of item vectors and user states: E, and F of a frozen path."""
        return max((c.stop for c in self.frozen_columns.values()), default=self.shape.config.embedding)

    def newest(self, items: Tensor, real: Tensor) -> Tensor:
        """Item vectors [B, S, E] and real positions bool [B, S], padding on the left → newest user states [B, E]."""
        if self.frozen is None:
            return self.users.newest(items, real)
        learned, frozen = self._columns(items)
        return torch.cat([self.users.newest(learned, real), self.frozen.newest(frozen, real)], dim=1)

    def _states_of(self, items: Tensor, real: Tensor) -> Tensor:
        """Item vectors [B, S, E] and real positions bool [B, S] → user states [B, S, E]."""
        if self.frozen is None:
            return self.users(items, real)
        learned, frozen = self._columns(items)
        return torch.cat([self.users(learned, real), self.frozen(frozen, real)], dim=2)

    def _columns(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """Item vectors […, E + F] → what is learned […, E], and what is frozen […, F]."""
        E = self.shape.config.embedding  # noqa: N806
        return items[..., :E], items[..., E:]


SO_FAR = "so far"


@dataclass(frozen=True)
class Gates:
    """The gates of one tower, first block first."""

    tower: str
    """A modality, or `inter`."""
    shares: dict[str, list[float]]
    """Source → its share per block, 0 to 1; the shares of a block sum to 1.

    An intra tower mixes the modality's hidden state with the state before (`so far`); the inter tower mixes modalities.
    """


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
