"""From one vector per token to one vector per item (method, section 1). Axes: B items, T tokens, D width."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Pooling = Callable[[Tensor, Tensor], Tensor]


def cls(hidden: Tensor, mask: Tensor) -> Tensor:
    """The first real token: hidden `[B, T, D]`, mask `[B, T]` (1 = real) → `[B, D]`."""
    first = mask.long().argmax(dim=1)
    return _token(hidden, first)


def last(hidden: Tensor, mask: Tensor) -> Tensor:
    """The last real token: hidden `[B, T, D]`, mask `[B, T]` (1 = real) → `[B, D]`."""
    from_the_end = mask.long().flip(1).argmax(dim=1)
    return _token(hidden, mask.shape[1] - 1 - from_the_end)


def mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """The mean over real tokens, summed in float32: hidden `[B, T, D]`, mask `[B, T]` (1 = real) → `[B, D]`."""
    weights = mask.to(torch.float32).unsqueeze(1)  # [B, 1, T]
    return (weights @ hidden.float()).squeeze(1) / weights.sum(dim=2)


def _token(hidden: Tensor, position: Tensor) -> Tensor:
    rows = torch.arange(len(hidden), device=hidden.device)
    return hidden[rows, position].float()


POOLINGS: dict[str, Pooling] = {"cls": cls, "mean": mean, "last": last}
