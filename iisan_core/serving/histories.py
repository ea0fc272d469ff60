"""Histories as the encoder reads them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor


def left_padded(histories: Sequence[Sequence[int]], *, length: int) -> Tensor:
    """The newest `length` of each history, int64 [B, length], padded with 0 on the left."""
    newest = [history[-length:] for history in histories]
    lengths = np.fromiter(map(len, newest), dtype=np.int64, count=len(newest))
    padded = np.zeros((len(newest), length), dtype=np.int64)
    padded[np.arange(length) >= length - lengths[:, None]] = np.fromiter(chain.from_iterable(newest), dtype=np.int64)
    return torch.from_numpy(padded)
