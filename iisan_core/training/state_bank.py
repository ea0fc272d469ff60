"""The cached states of the ranked items, side by side on the device where they are used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from iisan_core.config import IDS


@dataclass(frozen=True)
class StateBank:
    """Modality → states of items 1 … N, in the cache's precision; item number `n` is row `n − 1`."""

    states: dict[str, Tensor]
    """Each [N, ΣD]."""
    present: dict[str, Tensor]
    """Each bool [N]: False where the item lacks that modality."""
    widths: dict[str, list[int]]
    """Width of each kept layer."""
    numbers: Tensor
    """Each row's item number for the model's id vectors, int64 [N]: 1 … N, or 0 for items unknown in training."""

    @property
    def gaps(self) -> list[str]:
        """Modalities that some items lack."""
        return [name for name, present in self.present.items() if not bool(present.all())]

    @property
    def nbytes(self) -> int:
        """Bytes that the states take."""
        return sum(s.nbytes for s in self.states.values())

    def to(self, device: torch.device) -> StateBank:
        """The same bank on `device`."""
        return replace(
            self,
            states={name: tensor.to(device) for name, tensor in self.states.items()},
            present={name: tensor.to(device) for name, tensor in self.present.items()},
            numbers=self.numbers.to(device),
        )

    def gather(self, items: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Item numbers [C], none of them padding → states [C, ΣD] and presence [C] by modality.

        Among the states stand the `numbers`, as `ids`, for models with a vector per item.
        """
        rows = items - 1
        return _rows(self.states, rows) | {IDS: self.numbers.index_select(0, rows)}, _rows(self.present, rows)

    def blocks(self, size: int) -> list[Tensor]:
        """All item numbers in blocks of at most `size`."""
        return list(torch.arange(1, len(self.numbers) + 1, device=self.numbers.device).split(size))


def _rows(tensors: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    return {name: tensor.index_select(0, rows) for name, tensor in tensors.items()}
