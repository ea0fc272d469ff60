"""HSTU: gated pointwise attention in place of the softmax's (Zhai et al., 2024, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iisan_core.model.user_encoder import EPS, UserEncoder, causal_visibility


class HSTUBlock(nn.Module):
    """`x + W_o · (LayerNorm(A V) ⊙ U)`, `A = SiLU(Q Kᵀ + bias by distance) / S`; `U, V, Q, K = SiLU(W · LayerNorm(x))`.

    Weights of attention do not sum to one, so that a state tells how much of something a user had, and not only which
    part of it. S is the longest history, whatever the length of the sequences at hand.
    """

    def __init__(self, *, width: int, positions: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.positions = heads, positions
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.uvqk = nn.Linear(width, 4 * width, bias=False)
        self.bias = nn.Parameter(torch.zeros(positions))  # by distance: 0 for a position and itself
        self.mixed_norm = nn.LayerNorm(width, eps=EPS)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        nn.init.xavier_normal_(self.uvqk.weight)
        nn.init.normal_(self.bias, std=0.02)

    def forward(self, x: Tensor, visible: Tensor) -> Tensor:
        """[B, S, E] and what each of the newest Q positions may see, bool [B, 1, Q, S] → [B, Q, E]."""
        B, _, Q, S = visible.shape  # noqa: N806
        gate, values, queries, keys = F.silu(self.uvqk(self.norm(x))).chunk(4, dim=2)  # [B, S, E] each
        q, k, v = (part.view(B, S, self.heads, -1).transpose(1, 2) for part in (queries, keys, values))
        scores = q[:, :, S - Q :] @ k.transpose(2, 3) + self._by_distance(Q, S)  # [B, heads, Q, S]
        weights = (F.silu(scores) / self.positions).where(visible, 0)
        mixed = (weights @ v).transpose(1, 2).reshape(B, Q, -1)
        return x[:, S - Q :] + self.out(self.dropout(self.mixed_norm(mixed) * gate[:, S - Q :]))

    def _by_distance(self, newest: int, length: int) -> Tensor:
        """[Q, S]: the bias for each of the newest Q positions and those before; what comes later is not visible."""
        place = torch.arange(length, device=self.bias.device)
        return self.bias[(place[length - newest :, None] - place).clamp(min=0)]


class HSTU(UserEncoder):
    """`x = Dropout(e + position)`, the blocks, and a LayerNorm at the end. Sequences are left-padded."""

    def __init__(self, *, width: int, positions: int, blocks: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.position = nn.Embedding(positions, width)
        self.dropout = nn.Dropout(dropout)
        shape = {"width": width, "positions": positions, "heads": heads}
        self.block = nn.ModuleList(HSTUBlock(**shape, dropout=dropout) for _ in range(blocks))
        self.norm = nn.LayerNorm(width, eps=EPS)
        nn.init.xavier_normal_(self.position.weight)

    def forward(self, items: Tensor, real: Tensor) -> Tensor:
        """As every encoder: [B, S, E] → [B, S, E]."""
        x, visible = self._start(items), causal_visibility(real)
        for block in self.block:
            x = block(x, visible)
        return self.norm(x)

    def newest(self, items: Tensor, real: Tensor) -> Tensor:
        """As every encoder, [B, E]: the last block computes no other state."""
        x, visible = self._start(items), causal_visibility(real)
        for block in self.block[:-1]:
            x = block(x, visible)
        return self.norm(self.block[-1](x, visible[:, :, -1:])[:, 0])

    def _start(self, items: Tensor) -> Tensor:
        """[B, S, E] → the same; positions are counted from the newest item, which has the last."""
        newest = self.position.weight[len(self.position.weight) - items.shape[1] :]
        return self.dropout(items + newest)
