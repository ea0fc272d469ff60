"""GRU4Rec: a recurrent network reads a user's item vectors in order (Hidasi et al., 2016)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from iisan_core.model.user_encoder import UserEncoder


class GRU4Rec(UserEncoder):
    """`Linear(GRU(Dropout(e)))`; the state starts from zero at a user's oldest item. Sequences are left-padded.

    The network reads them right-padded: so it begins with an item, and what it makes of padding comes after all states.
    """

    def __init__(self, *, width: int, positions: int, blocks: int, heads: int, dropout: float) -> None:
        """`positions` and `heads` are what other encoders need: this one reads any length, without attention."""
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        between = dropout if blocks > 1 else 0.0
        self.gru = nn.GRU(width, width, num_layers=blocks, dropout=between, batch_first=True)
        self.out = nn.Linear(width, width)

    def forward(self, items: Tensor, real: Tensor) -> Tensor:
        """As every encoder: [B, S, E] → [B, S, E]."""
        order = shifted_left(real)
        states = self._read(_rows_taken(items, order))
        return torch.empty_like(states).scatter_(1, order.unsqueeze(2).expand_as(states), states)

    def newest(self, items: Tensor, real: Tensor) -> Tensor:
        """As every encoder, [B, E]."""
        last = (real.sum(dim=1) - 1).clamp(min=0)
        states = self._read(_rows_taken(items, shifted_left(real)))
        return states[torch.arange(states.shape[0], device=states.device), last]

    def _read(self, items: Tensor) -> Tensor:
        """Right-padded [B, S, E] → states [B, S, E]."""
        states: Tensor = self.out(self.gru(self.dropout(items))[0])
        return states


def shifted_left(real: Tensor) -> Tensor:
    """Places [B, S] from which each row's left-padded items come when they stand at its beginning, padding after."""
    S = real.shape[1]  # noqa: N806
    padding = S - real.sum(dim=1, keepdim=True)
    return (torch.arange(S, device=real.device) + padding) % S


def _rows_taken(items: Tensor, places: Tensor) -> Tensor:
    return items.gather(1, places.unsqueeze(2).expand_as(items))
