"""A sequence of item vectors becomes a user state at every position: what every encoder does, and SASRec's way.

SASRec, post-norm: method, section 4. Other encoders stand in `gru4rec.py` and `hstu.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPS = 1e-6


class SelfAttention(nn.Module):
    """Multi-head self-attention; query, key, value and output projections without bias."""

    def __init__(self, *, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.dropout = dropout

    def forward(self, x: Tensor, visible: Tensor) -> Tensor:
        """[B, S, E] and what each of the newest Q positions may see, bool [B, 1, Q, S] → [B, Q, E]."""
        return self.out(self._attended(self.qkv(x), visible))

    def packed(self, x: Tensor, visible: Tensor, rows: Tensor) -> Tensor:
        """`forward` on some of the B · S positions, whose numbers are `rows` [P]: [P, E] → [P, E]."""
        B, _, _, S = visible.shape  # noqa: N806
        qkv = spread(self.qkv(x), rows, B * S).view(B, S, -1)
        return self.out(self._attended(qkv, visible).flatten(0, 1).index_select(0, rows))

    def _attended(self, qkv: Tensor, visible: Tensor) -> Tensor:
        """[B, S, 3E] → values mixed by the newest Q positions' attention, [B, Q, E]."""
        B, _, Q, S = visible.shape  # noqa: N806
        q, k, v = qkv.view(B, S, 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # [B, heads, S, ·]
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q[:, :, S - Q :], k, v, attn_mask=visible, dropout_p=dropout)
        return mixed.transpose(1, 2).reshape(B, Q, -1)


class Block(nn.Module):
    """Attention, then a ReLU feed-forward `4E`; each with a shortcut and a norm *after* it."""

    def __init__(self, *, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = SelfAttention(width=width, heads=heads, dropout=dropout)
        self.attention_norm = nn.LayerNorm(width, eps=EPS)
        self.wide = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)
        self.feed_forward_norm = nn.LayerNorm(width, eps=EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, visible: Tensor) -> Tensor:
        """[B, S, E] and what each of the newest Q positions may see, bool [B, 1, Q, S] → [B, Q, E]."""
        newest = x[:, x.shape[1] - visible.shape[2] :]
        return self._joined(newest, self.attention(x, visible))

    def packed(self, x: Tensor, visible: Tensor, rows: Tensor) -> Tensor:
        """`forward` on some of the B · S positions, whose numbers are `rows` [P]: [P, E] → [P, E]."""
        return self._joined(x, self.attention.packed(x, visible, rows))

    def _joined(self, x: Tensor, attended: Tensor) -> Tensor:
        """All that follows the attention, position by position: both […, E] → […, E]."""
        x = self.attention_norm(x + self.dropout(attended))
        return self.feed_forward_norm(x + self.dropout(self.narrow(F.relu(self.wide(x)))))


class UserEncoder(nn.Module, ABC):
    """What reads a user's items in order, oldest first and left-padded, into states that scores are products with."""

    @abstractmethod
    def forward(self, items: Tensor, real: Tensor) -> Tensor:
        """Item vectors [B, S, E] and real positions bool [B, S] → user states [B, S, E].

        The state at position `t` has seen positions `≤ t` only; states at padding positions mean nothing.
        """

    @abstractmethod
    def newest(self, items: Tensor, real: Tensor) -> Tensor:
        """The state at the last position only, [B, E], as `forward` has it.

        Columns on the left that are padding for every user may be cut off: the sequences may be shorter than S.
        """


class SASRec(UserEncoder):
    """`x = Dropout(LayerNorm(e + position))`, then the blocks. Sequences are left-padded.

    `padded` is the plain form. `packed` has the same states at real positions and `newest` the same last one, for
    less work: most positions of a shop's sequences are padding, and a recommendation needs no state but the last.
    """

    def __init__(self, *, width: int, positions: int, blocks: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.position = nn.Embedding(positions, width)
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.dropout = nn.Dropout(dropout)
        self.block = nn.ModuleList(Block(width=width, heads=heads, dropout=dropout) for _ in range(blocks))
        self.apply(_init)

    def forward(self, items: Tensor, real: Tensor) -> Tensor:
        """As every encoder: [B, S, E] → [B, S, E]."""
        # A CPU leaves padding out; a GPU would have to wait to count it.
        return self.padded(items, real) if items.is_cuda else self.packed(items, real)

    def padded(self, items: Tensor, real: Tensor) -> Tensor:
        """`forward`, padding computed like the rest."""
        x, visible = self._start(items), causal_visibility(real)
        for block in self.block:
            x = block(x, visible)
        return x

    def packed(self, items: Tensor, real: Tensor) -> Tensor:
        """`forward`, with nothing but attention computed for padding; zeros there."""
        rows = real.flatten().nonzero().squeeze(1)  # [P]
        position = self.position(rows % real.shape[1])
        x = self.dropout(self.norm(items.flatten(0, 1).index_select(0, rows) + position))  # [P, E]
        visible = causal_visibility(real)
        for block in self.block:
            x = block.packed(x, visible, rows)  # type: ignore[operator]
        return spread(x, rows, real.numel()).view(items.shape)

    def newest(self, items: Tensor, real: Tensor) -> Tensor:
        """As every encoder, [B, E]: the last block computes no other state."""
        x, visible = self._start(items), causal_visibility(real)
        for block in self.block[:-1]:
            x = block(x, visible)
        return self.block[-1](x, visible[:, :, -1:])[:, 0]

    def _start(self, items: Tensor) -> Tensor:
        """[B, S, E] → the same; positions are counted from the newest item, which has the last."""
        newest = self.position.weight[len(self.position.weight) - items.shape[1] :]
        return self.dropout(self.norm(items + newest))


def spread(x: Tensor, rows: Tensor, count: int) -> Tensor:
    """[P, ·] at `rows` [P] of [count, ·], zeros elsewhere."""
    return x.new_zeros(count, x.shape[1]).index_copy(0, rows, x)


def causal_visibility(real: Tensor) -> Tensor:
    """Bool [B, 1, S, S]: a position sees itself and earlier real ones (itself always, so no row is empty)."""
    S = real.shape[1]  # noqa: N806
    itself = torch.eye(S, dtype=torch.bool, device=real.device)
    earlier = itself.new_ones(S, S).tril()
    return ((earlier & real[:, None, :]) | itself)[:, None]


def _init(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.xavier_normal_(module.weight)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
