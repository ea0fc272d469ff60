"""The cached states of the ranked items, on the device where they are used or on their way to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from iisan_core.config import IDS
from iisan_core.prefetch import ahead
from iisan_core.training.elsewhere import Elsewhere, InCache
from iisan_core.training.placement import Where

BATCHES_AHEAD = 2

Gathered: TypeAlias = tuple[dict[str, Tensor], dict[str, Tensor]]
"""Modality → states [C, ΣD], and modality → presence bool [C]; all on the device."""


@dataclass(frozen=True)
class StateBank:
    """Modality → states of items 1 … N, in the cache's precision; item number `n` is row `n − 1`."""

    states: dict[str, Tensor | Elsewhere]
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

    @property
    def where(self) -> Where:
        """Where the states lie; in RAM for a model on the CPU, too."""
        elsewhere = [s for s in self.states.values() if isinstance(s, Elsewhere)]
        if any(isinstance(s, InCache) for s in elsewhere):
            return "mapped"
        return "memory" if elsewhere or self.numbers.device.type == "cpu" else "device"

    def to(self, device: torch.device) -> StateBank:
        """The same bank on `device`."""
        return replace(
            self,
            states={name: states.to(device) for name, states in self.states.items()},
            present={name: tensor.to(device) for name, tensor in self.present.items()},
            numbers=self.numbers.to(device),
        )

    def gather(self, items: Tensor) -> Gathered:
        """Item numbers [C] on any device, none of them padding → states [C, ΣD] and presence [C] by modality.

        Among the states stand the `numbers`, as `ids`, for models with a vector per item.
        """
        return self._gathered(items, self._fetched(items))

    def gathered(self, batches: Iterable[Tensor]) -> Iterator[Gathered]:
        """`gather` for one batch of item numbers after the other; states that lie elsewhere are fetched ahead."""
        if not any(isinstance(states, Elsewhere) for states in self.states.values()):
            yield from map(self.gather, batches)
            return
        for items, fetched in ahead(batches, self._fetched, count=BATCHES_AHEAD):
            yield self._gathered(items, fetched)

    def blocks(self, size: int) -> list[Tensor]:
        """All item numbers in blocks of at most `size`."""
        return list(torch.arange(1, len(self.numbers) + 1, device=self.numbers.device).split(size))

    def _fetched(self, items: Tensor) -> dict[str, Tensor]:
        """The part of gathering that waits for RAM or disk: modality → states [C, ΣD] on the CPU."""
        elsewhere = {name: states for name, states in self.states.items() if isinstance(states, Elsewhere)}
        if not elsewhere:
            return {}
        rows = items.cpu() - 1
        return {name: states.fetch(rows) for name, states in elsewhere.items()}

    def _gathered(self, items: Tensor, fetched: Mapping[str, Tensor]) -> Gathered:
        rows = items.to(self.numbers.device, non_blocking=True) - 1
        states = {IDS: self.numbers.index_select(0, rows)}
        for name, source in self.states.items():
            here = source.index_select(0, rows) if isinstance(source, Tensor) else fetched[name]
            states[name] = here.to(rows.device, non_blocking=True)
        return states, _rows(self.present, rows)


def _rows(tensors: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    return {name: tensor.index_select(0, rows) for name, tensor in tensors.items()}
