"""Items without a text or a picture: a learned vector stands in for what is missing (method, section 3)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from iisan_core.model.standardize import ALL


class StandIn(nn.Module):
    """One learned vector per kept layer, side by side: [ΣD]. Replaces the hidden states of a missing modality."""

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.vector = nn.Parameter(torch.zeros(width))
        nn.init.normal_(self.vector, std=0.02)

    def forward(self, states: Tensor, present: Tensor, columns: slice = ALL) -> Tensor:
        """`columns` of the states [n, ΣD] and presence [n] → the same with every absent row replaced."""
        return torch.where(present.unsqueeze(1), states, self.vector[columns].to(states.dtype))


def drop_modalities(present: Mapping[str, Tensor], *, rate: float) -> dict[str, Tensor]:
    """Modality dropout: hide each present modality with probability `rate`, but never an item's last one.

    Presence is modality → bool [n]; so the stand-ins are trained on items that are whole, too.
    """
    names = list(present)
    whole = torch.stack([present[name] for name in names])  # [M, n]
    kept = whole & (torch.rand(whole.shape, device=whole.device) >= rate)
    kept = torch.where(kept.any(dim=0), kept, whole)
    return dict(zip(names, kept, strict=True))
