"""The user encoder in the form of the released programs, with our weights put in.

Query, key and value are three products, attention is written out, and every position is computed, padding too.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from iisan_core.model import user_encoder

INVISIBLE = -1e9


class Attention(nn.Module):
    def __init__(self, ours: user_encoder.SelfAttention) -> None:
        super().__init__()
        self.heads = ours.heads
        self.query, self.key, self.value = (_product(w) for w in ours.qkv.weight.chunk(3))
        self.out = _product(ours.out.weight)
        self.dropout = nn.Dropout(ours.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        B, S, E = x.shape
        q, k, v = (p(x).view(B, S, self.heads, -1).transpose(1, 2) for p in (self.query, self.key, self.value))
        scores = q @ k.transpose(-2, -1) / (E // self.heads) ** 0.5 + mask
        mixed = self.dropout(scores.softmax(dim=-1)) @ v
        return self.out(mixed.transpose(1, 2).contiguous().view(B, S, E))


class Block(nn.Module):
    def __init__(self, ours: user_encoder.Block) -> None:
        super().__init__()
        self.attention = Attention(ours.attention)
        self.attention_norm = deepcopy(ours.attention_norm)
        self.wide, self.narrow = deepcopy(ours.wide), deepcopy(ours.narrow)
        self.feed_forward_norm = deepcopy(ours.feed_forward_norm)
        self.dropout = deepcopy(ours.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.attention_norm(x + self.dropout(self.attention(x, mask)))
        return self.feed_forward_norm(x + self.dropout(self.narrow(self.wide(x).relu())))


class ReleasedUsers(nn.Module):
    def __init__(self, ours: user_encoder.SASRec) -> None:
        super().__init__()
        self.position = deepcopy(ours.position)
        self.norm, self.dropout = deepcopy(ours.norm), deepcopy(ours.dropout)
        self.block = nn.ModuleList(Block(block) for block in ours.block)

    def forward(self, items: Tensor, mask: Tensor) -> Tensor:
        """Item vectors [B, S, E], 1 where real [B, S] → user states [B, S, E]."""
        S = mask.shape[1]
        visible = torch.tril((mask != 0)[:, None, None].expand(-1, -1, S, -1))
        places = torch.arange(S).expand_as(mask)
        x = self.dropout(self.norm(items + self.position(places)))
        for block in self.block:
            x = block(x, torch.where(visible, 0.0, INVISIBLE))
        return x


def _product(weight: Tensor) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    linear.weight.data.copy_(weight)
    return linear
