"""The cached states of the ranked items, side by side on the device where they are used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class StateBank:
    """Modality → states of items 1 … N, in the cache's precision; item number `n` is row `n − 1`."""

    states: dict[str, Tensor]
    """Each [N, ΣD]."""
    present: dict[str, Tensor]
    """Each bool [N]: False where the item lacks that modality."""
    widths: dict[str, list[int]]
    """Width of each kept layer."""

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
        )

    def gather(self, items: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Item numbers [C], none of them padding → states [C, ΣD] and presence [C] by modality."""
        rows = items - 1
        return _rows(self.states, rows), _rows(self.present, rows)

    def blocks(self, size: int) -> list[Tensor]:
        """All item numbers in blocks of at most `size`."""
        first = next(iter(self.states.values()))
        return list(torch.arange(1, len(first) + 1, device=first.device).split(size))


def _rows(tensors: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    return {name: tensor.index_select(0, rows) for name, tensor in tensors.items()}
