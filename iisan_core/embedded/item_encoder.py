"""An item encoder that runs its backbones in every step."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from iisan_core.config import IDS
from iisan_core.embedded.tower import BackboneTower
from iisan_core.model.ids import IdVectors
from iisan_core.model.item_encoder import ItemEncoder


class EmbeddedItemEncoder(nn.Module):
    """Backbones, and the encoder of cached states on top of what they compute.

    On frozen backbones that encoder is IISAN as it is trained from a cache; on adapted ones, which need no side
    networks, it is one linear per modality and the fusion (`model.adapter: linear`).
    """

    def __init__(self, backbones: Mapping[str, BackboneTower], head: ItemEncoder) -> None:
        super().__init__()
        self.backbones = nn.ModuleDict(dict(backbones))
        self.head = head

    @property
    def towers(self) -> nn.ModuleDict:
        """What has the towers' learning rate: adapted backbones, else the side networks."""
        adapted = any(tower.trains for tower in self.backbones.values())
        return self.backbones if adapted else self.head.towers

    @property
    def ids(self) -> IdVectors | None:
        """The id vectors, where the model has them."""
        return self.head.ids

    def forward(self, inputs: Mapping[str, dict[str, Tensor]], present: Mapping[str, Tensor]) -> Tensor:
        """Modality → model inputs of its present items, and presence bool [n] → item vectors [n, E]."""
        return self.head(self.states(inputs, present), present)

    def states(self, inputs: Mapping[str, dict[str, Tensor]], present: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Modality → pooled states [n, ΣD], as a cache would hold them, and the item numbers."""
        states = {name: tower(inputs[name], present[name]) for name, tower in self.backbones.items()}
        return states | {IDS: inputs[IDS]["numbers"]}
