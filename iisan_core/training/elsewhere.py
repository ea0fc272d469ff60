"""States of one modality that do not lie on the device that computes: fetched row by row.

Axes: N ranked items, n rows of a batch, ΣD the kept layers' widths in order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iisan_core.cache.states import TORCH_DTYPES
from iisan_core.cache.store import HiddenStateCache
from iisan_core.training.placement import Where

BLOCK_BYTES = 1 << 26


@dataclass(frozen=True)
class Elsewhere(ABC):
    """Reads like a tensor [N, ΣD] on `device`, one indexing by row numbers at a time."""

    device: torch.device
    """Where rows are wanted."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """(N, ΣD)."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes of all rows, wherever they lie."""

    @abstractmethod
    def fetch(self, rows: Tensor) -> Tensor:
        """Rows [n], on the CPU → states [n, ΣD], on the CPU; page-locked where the device is a GPU. Any thread."""

    def to(self, device: torch.device) -> Self:
        """The same states, wanted on another device."""
        return replace(self, device=device)

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Rows [n], on any device → states [n, ΣD] on `device`."""
        return self.fetch(rows.cpu()).to(self.device, non_blocking=True)

    def _pinned(self, states: Tensor) -> Tensor:
        return states.pin_memory() if self.device.type == "cuda" else states


@dataclass(frozen=True)
class InMemory(Elsewhere):
    """Whole in RAM."""

    states: Tensor
    """[N, ΣD]."""

    @property
    def shape(self) -> tuple[int, int]:
        """(N, ΣD)."""
        return self.states.shape[0], self.states.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes in RAM."""
        return self.states.nbytes

    def fetch(self, rows: Tensor) -> Tensor:
        """Rows [n] → states [n, ΣD]."""
        return self._pinned(self.states.index_select(0, rows))


@dataclass(frozen=True)
class InCache(Elsewhere):
    """In the cache's file; the operating system keeps in RAM what there is room for."""

    cache: HiddenStateCache
    rows: NDArray[np.int64]
    """[N]: the cache's row of each item."""

    @property
    def shape(self) -> tuple[int, int]:
        """(N, ΣD)."""
        return len(self.rows), self.cache.manifest.row_width

    @property
    def nbytes(self) -> int:
        """Bytes of these rows in the file."""
        return len(self.rows) * self.cache.manifest.row_bytes

    def fetch(self, rows: Tensor) -> Tensor:
        """Rows [n] → states [n, ΣD]."""
        return self._pinned(self.cache.gather(self.rows[rows.numpy()]))


def put(cache: HiddenStateCache, rows: NDArray[np.int64], *, device: torch.device, where: Where) -> Tensor | Elsewhere:
    """Rows [N] of a cache as states [N, ΣD] that a model on `device` can index."""
    if where == "mapped":
        return InCache(device, cache, rows)
    in_ram = where == "memory" or device.type == "cpu"
    states = _whole(cache, rows, device=torch.device("cpu") if in_ram else device)
    return InMemory(device, states) if in_ram and device.type != "cpu" else states


def _whole(cache: HiddenStateCache, rows: NDArray[np.int64], *, device: torch.device) -> Tensor:
    """Block by block, so that the states need no second room on the way to `device`."""
    manifest = cache.manifest
    states = torch.empty(len(rows), manifest.row_width, dtype=TORCH_DTYPES[manifest.dtype], device=device)
    size = max(1, BLOCK_BYTES // manifest.row_bytes)
    for start in range(0, len(rows), size):
        states[start : start + size] = cache.gather(rows[start : start + size])
    return states
