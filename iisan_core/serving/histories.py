"""Histories as the encoder reads them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def left_padded(histories: Sequence[Sequence[int]], *, length: int) -> Tensor:
    """The newest `length` of each history, int64 [B, length], padded with 0 on the left."""
    return torch.tensor([[0] * (length - len(h)) + list(h[-length:]) for h in histories])
