"""From cached hidden states to item vectors: SANs, heads, fusion (IISAN, section 3; method, section 3)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, nn

from iisan_core.config import ModelConfig
from iisan_core.model.gaps import StandIn, drop_modalities
from iisan_core.model.heads import init_linear, make_head
from iisan_core.model.san import InterSAN, IntraSAN
from iisan_core.model.standardize import Standardize

INTER = "inter"


class ItemEncoder(nn.Module):
    """One intra SAN per modality, one inter SAN over all; each state goes through a head, then they fuse.

    `widths` names the modalities in fusion order and gives the width of every kept layer, as the cache manifests
    do. `gaps` are the modalities that some items lack; each gets a learned stand-in.
    """

    def __init__(self, *, widths: Mapping[str, Sequence[int]], config: ModelConfig, gaps: Collection[str] = ()) -> None:
        super().__init__()
        self.widths = {name: list(w) for name, w in widths.items()}
        self.modality_dropout = config.dropout_for(gaps)
        r, activation = config.bottleneck, config.activation
        towers: dict[str, IntraSAN | InterSAN] = {}
        if config.intra or len(widths) == 1:
            towers |= {name: IntraSAN(widths=w, bottleneck=r, activation=activation) for name, w in widths.items()}
        if config.inter and len(widths) > 1:
            towers[INTER] = InterSAN(widths=widths, bottleneck=r, activation=activation)
        self.towers = nn.ModuleDict(towers)
        self.heads = nn.ModuleDict(
            {name: make_head(config.head, width=t.width, embedding=config.embedding) for name, t in towers.items()}
        )
        self.fusion = nn.Linear(len(towers) * config.embedding, config.embedding)
        init_linear(self.fusion)
        self.standardize = nn.ModuleDict(
            {name: Standardize(width=sum(w)) for name, w in widths.items() if config.standardize}
        )
        self.stand_ins = nn.ModuleDict({name: StandIn(width=sum(widths[name])) for name in widths if name in gaps})

    def fit_scale(self, states: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> None:
        """Measure the catalogue, modality → [N, ΣD] and bool [N], where the configuration standardizes."""
        for name, module in self.standardize.items():
            module.fit(states[name], present[name])  # type: ignore[operator]

    def forward(self, states: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """Modality → states [n, ΣD] (any float dtype) and presence bool [n] → item vectors [n, E]."""
        return self.fusion(torch.cat(list(self._embeddings(states, present).values()), dim=1))

    def parts(self, states: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What each tower adds to the item vectors, tower → [n, E]; with `fusion.bias` they sum to `forward`."""
        embeddings = self._embeddings(states, present)
        weights = self.fusion.weight.chunk(len(embeddings), dim=1)
        return {name: e @ w.T for (name, e), w in zip(embeddings.items(), weights, strict=True)}

    def _embeddings(self, states: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tower → [n, E], before the fusion."""
        if self.training and self.modality_dropout > 0:
            present = drop_modalities(present, rate=self.modality_dropout)
        layers = {name: self._layers(name, states[name], present) for name in self.widths}
        return {
            name: self.heads[name](tower(layers if name == INTER else layers[name]))
            for name, tower in self.towers.items()
        }

    def _layers(self, name: str, states: Tensor, present: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Cached rows [n, ΣD] → kept layers, each [n, D_l], in the precision of the arithmetic."""
        if name in self.standardize:
            states = self.standardize[name](states.float())
        if name in self.stand_ins:
            states = self.stand_ins[name](states, present[name])
        # Widened layer by layer: each is then contiguous, as the products like it.
        dtype = arithmetic_dtype(self.fusion.weight)
        return tuple(layer.to(dtype) for layer in states.split(self.widths[name], dim=1))


def arithmetic_dtype(weight: Tensor) -> torch.dtype:
    """The dtype in which `weight` multiplies: autocast's where that is on, else its own."""
    device = weight.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
